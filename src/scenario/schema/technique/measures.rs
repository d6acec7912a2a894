//! Numbers that only some techniques have: rows of `measures.csv`, axes of a search's plots.

/// Name, and the words of a plot's axis; names that end in `_seconds`, `_bytes` or `_joules` get their prefix in the plot.
/// `docs/metrics.md` defines each.
pub const MEASURES: &[(&str, &str)] = &[
    ("aggregation_mse", "expected squared error of the mean"),
    ("receive_snr_db", "receive SNR (dB)"),
    ("silent_devices", "silent devices a round"),
    ("split_point", "split point (blocks)"),
    ("edge_speed", "speed of the edge (share of its profile's)"),
    ("connection_snr_db", "SNR of a slice's values (dB)"),
    ("connection_noise", "noise of a sum over slices, relative to it"),
    ("connection_exact_accuracy", "final accuracy with exact connections"),
    ("blocks_trained", "blocks trained in a round"),
    ("planned_round_seconds", "planned length of a round"),
];
