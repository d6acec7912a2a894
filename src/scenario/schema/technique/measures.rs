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
    ("mean_single_accuracy", "Mean accuracy of a prompt alone"),
    ("best_single_accuracy", "Accuracy of the best prompt alone"),
    ("query_latency_seconds", "Latency of a query"),
    ("query_traffic_bytes", "Traffic of a query"),
    ("donor_accuracy", "Accuracy of the donors"),
    ("start_accuracy", "Accuracy at the start"),
    ("cold_accuracy", "Accuracy after a cold start"),
    ("chosen_similarity", "Similarity of the chosen donor's task"),
    ("neighbours_in_range", "Donors in range"),
    ("received_share", "Share of newcomers that received a prompt"),
    ("transfer_seconds", "Time until the prompt is there"),
    ("rounds_to_target", "Rounds to the target"),
    ("cold_rounds_to_target", "Rounds to the target after a cold start"),
    ("saved_rounds", "Rounds saved"),
    ("saved_seconds", "Time saved"),
    ("saved_joules", "Energy saved"),
];
