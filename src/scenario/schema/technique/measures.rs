//! Numbers that only some techniques have: rows of `measures.csv`, axes of a search's plots.

/// Name, and the words of a plot's axis; names that end in `_seconds`, `_bytes` or `_joules` get their prefix in the plot.
/// `docs/metrics.md` defines each.
pub const MEASURES: &[(&str, &str)] = &[("staleness", "mean staleness of updates (server updates)")];
