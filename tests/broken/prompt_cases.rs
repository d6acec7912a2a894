//! What the files of this folder about prompts that are handed around are refused for.

use super::cases::Case;

pub const PROMPT_CASES: &[Case] = &[
    (
        "ensemble_larger_than_devices",
        (3, 52),
        &["technique.ensemble.top: found 9, allowed 1..=4 (each of 4 devices tunes one prompt)"],
    ),
    (
        "ensemble_of_another_kind",
        (3, 40),
        &["technique.ensemble: `federated` has no such section", "use `kind: prompt_ensemble`"],
    ),
    ("key_of_the_nearest", (3, 64), &["technique.transfer.key: `nearest` has no such key"]),
    (
        "prompts_of_low_rank",
        (3, 19),
        &[
            "technique.kind: `prompt_ensemble` hands prompts around, and `lora` tunes none",
            "for example: peft: {method: prompt, tokens: 8}",
        ],
    ),
    ("sidelink_of_nobody", (3, 61), &["technique.transfer.sidelink: `none` has no such key"]),
    ("top_of_uniform", (3, 65), &["technique.ensemble.top: `uniform` has no such key"]),
    (
        "transfer_draws_nobody",
        (3, 55),
        &["technique.devices_per_round: under `prompt_transfer` all donors tune, then all newcomers"],
    ),
    (
        "transfer_out_of_range",
        (6, 67),
        &["placement.positions_m[3]: device 3 has no donor in range: the nearest is 90000 m", "move them together"],
    ),
    (
        "transfer_to_everybody",
        (3, 58),
        &["technique.transfer.newcomers: every device starts late", "at least one newcomer and at least one donor"],
    ),
    (
        "transfer_too_short",
        (3, 44),
        &["technique.rounds: `prompt_transfer` cannot be played in 2 rounds", "at least 3"],
    ),
];
