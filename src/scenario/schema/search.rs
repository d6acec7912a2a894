//! An automated search over any keys of the scenario.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Dotted key (`technique.split_point`) to the values to try, as written in YAML.
pub type Space = BTreeMap<String, Vec<serde_json::Value>>;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpec {
    pub sampler: Sampler,
    /// Settings that stand side by side, each tried at every point of the space; empty for the scenario as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub space: Space,
    /// Plots of one number against a key or against another number, one line a variant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<PlotSpec>,
    pub objective: Objective,
}

/// A named change of the scenario: one side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    pub name: String,
    /// Dotted key to its value.
    pub set: BTreeMap<String, serde_json::Value>,
    /// Keys that only this variant varies, beside the search's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub space: Space,
}

/// One plot of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlotSpec {
    /// A key of a space, or a number.
    pub x: String,
    /// A number: one of [`NUMBERS`] or of [`MEASURES`](super::MEASURES).
    pub y: String,
}

/// What every trial has, with the words of a plot's axis; seconds, bytes and joules get their prefix in the plot.
pub const NUMBERS: &[(&str, &str)] = &[
    ("simulated_seconds", "Simulated time"),
    ("seconds_to_target", "Simulated time to the target accuracy"),
    ("final_accuracy", "Test accuracy"),
    ("uplink_bytes", "Uplink traffic"),
    ("downlink_bytes", "Downlink traffic"),
    ("device_joules", "Energy of the devices"),
    ("edge_joules", "Energy of the edge"),
    ("cost_usd", "Cost (US dollars)"),
    ("peak_device_memory_bytes", "Peak memory of a device"),
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Sampler {
    /// Every combination.
    Grid,
    /// Combinations drawn without replacement.
    Random { trials: usize },
}

/// What the Pareto front weighs: simulated time to reach `target_accuracy` against the final accuracy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objective {
    pub target_accuracy: f64,
}
