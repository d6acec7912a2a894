//! What the files of this folder about federated optimisation are refused for.

use super::cases::Case;

pub const FEDERATED_CASES: &[Case] = &[
    (
        "asynchronous_deadline",
        (3, 48),
        &[
            "technique.round_deadline_s: `asynchronous` waits for no straggler",
            "drop the key, or use `synchrony: {kind: semi_asynchronous}`",
        ],
    ),
    (
        "asynchronous_over_the_air",
        (3, 81),
        &[
            "technique.synchrony.kind: the air needs all devices on the air at once",
            "use `aggregation: {method: digital}`",
        ],
    ),
    (
        "asynchronous_shared_server",
        (3, 82),
        &[
            "technique.synchrony.kind: a shared edge side belongs to a round",
            "drop the key, or use `cut: {server_side: per_device}`",
        ],
    ),
    (
        "buffer_beyond_devices",
        (3, 75),
        &["technique.synchrony.buffer: found 5, allowed 1..=4 (4 devices train at once)"],
    ),
    (
        "draw_of_all",
        (3, 47),
        &[
            "technique.sampling.kind: `by_channel` draws devices, and all of them take part in every round",
            "set `devices_per_round` below",
        ],
    ),
    (
        "mixing_of_a_buffer",
        (3, 67),
        &["technique.synchrony.mixing: `semi_asynchronous` has no such key", "its keys: kind, buffer, staleness"],
    ),
    (
        "ranks_of_a_projection",
        (4, 76),
        &[
            "devices[0].lora_rank: a projected gradient reaches the ranks that the device does not hold",
            "drop the key, or use `gradients: {}`, without `projection_dimension`",
        ],
    ),
    (
        "ranks_without_pairs",
        (4, 76),
        &[
            "devices[0].lora_rank: `lora_rank` cuts low-rank pairs, and `peft` has none",
            "drop the key, or use `peft: {method: lora}`",
        ],
    ),
    (
        "refactored_over_the_air",
        (3, 41),
        &["technique.averaging: `refactored` multiplies each device's pairs", "use `averaging: plain`"],
    ),
    (
        "scaffold_over_the_air",
        (3, 50),
        &[
            "technique.local.correction: `scaffold` sends control variates beside updates",
            "use `aggregation: {method: digital}`",
        ],
    ),
    (
        "scaffold_with_adamw",
        (3, 50),
        &[
            "technique.local.correction: `scaffold` reads mean gradients off the way that plain SGD went",
            "use `training: {optimizer: {kind: sgd}}`, without momentum",
        ],
    ),
    (
        "server_of_a_shared_side",
        (3, 84),
        &[
            "technique.server.optimizer: the server's optimiser follows averaged updates",
            "use `cut: {server_side: per_device}`",
        ],
    ),
    (
        "server_of_a_split",
        (3, 34),
        &[
            "technique.server: `server` moves the model along devices' averaged updates, and `split` averages none",
            "use a technique that averages models",
        ],
    ),
    (
        "server_of_blocks",
        (3, 44),
        &[
            "technique.server: `server` moves the model along devices' averaged updates, and `block_federated` averages each block",
            "federated, split_federated, gradient_download",
        ],
    ),
    (
        "slopes_without_rounds",
        (3, 54),
        &[
            "technique.synchrony: `synchrony` says when the server stops to wait for devices' updates, and `zeroth_order_federated` moves its model by scalars",
        ],
    ),
    (
        "tau_of_momentum",
        (3, 60),
        &["technique.server.tau: `momentum` has no such key", "its keys: optimizer, learning_rate, beta1"],
    ),
    (
        "utility_of_nothing",
        (3, 69),
        &[
            "technique.sampling.kind: `by_utility` asks for the losses of devices that serve one model",
            "use a technique that aggregates",
        ],
    ),
];
