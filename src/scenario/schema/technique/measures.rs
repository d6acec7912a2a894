//! Numbers that only some techniques have: rows of `measures.csv`, axes of a search's plots.

/// Name, and the words of a plot's axis; names that end in `_seconds`, `_bytes` or `_joules` get their prefix in the plot.
/// `docs/metrics.md` defines each.
pub const MEASURES: &[(&str, &str)] = &[
    ("emulator_bytes", "Size of the emulator"),
    ("download_seconds", "Download of the emulator"),
    ("zero_shot_accuracy", "Accuracy without tuning"),
    ("emulator_accuracy", "Accuracy of the emulator"),
    ("plug_in_accuracy", "Plug-in accuracy"),
    ("full_fine_tuning_accuracy", "Accuracy of full-model tuning"),
];
