//! What the files of this folder about dealt-out blocks, downloaded gradients and slopes are refused for.

use super::cases::Case;

pub const DEALT_CASES: &[Case] = &[
    (
        "blocks_over_the_air",
        (3, 58),
        &[
            "technique.aggregation.method: `air_comp` adds up updates of the same parameters, and here each device has others",
            "use `method: digital`, or `kind: federated`",
        ],
    ),
    (
        "blocks_of_a_head",
        (3, 19),
        &["technique.kind: `block_federated` deals out the blocks that train, and no block has trainable parameters"],
    ),
    (
        "best_band_of_two_cells",
        (3, 56),
        &[
            "technique.blocks.bandwidth: `optimal` cuts one band for all devices, and the scenario has 2 cells",
            "use `bandwidth: equal`, or one cell",
        ],
    ),
    (
        "blocks_of_another_kind",
        (3, 30),
        &["technique.blocks: `federated` has no such key", "`blocks` is a section of `block_federated`"],
    ),
    (
        "blocks_without_gradients",
        (5, 46),
        &["training.optimizer.kind: `zeroth_order` has no backward pass that would end at the block of a device"],
    ),
    (
        "gradients_of_a_prompt",
        (3, 19),
        &["technique.kind: the edge gets embedded inputs and finds no gradient of what trains before the first block"],
    ),
    (
        "gradients_below_the_edge",
        (3, 65),
        &[
            "technique.gradients.device_blocks: block 2 would run on the device, but it trains and needs its gradient",
            "use at most 2, or train later blocks",
        ],
    ),
    (
        "slopes_from_gradients",
        (5, 46),
        &[
            "training.optimizer.kind: under `zeroth_order_federated` devices send slopes, and this optimizer needs gradients",
        ],
    ),
    (
        "repetitions_of_digits",
        (3, 58),
        &[
            "technique.zeroth_order.repetitions: `aggregation: {method: digital}` has no such key",
            "its keys: slope_limit",
        ],
    ),
];
