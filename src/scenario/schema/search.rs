//! An automated search over any keys of the scenario.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpec {
    pub sampler: Sampler,
    /// Dotted key (`technique.split_point`) to the values to try, as written in YAML.
    pub space: BTreeMap<String, Vec<serde_json::Value>>,
    pub objective: Objective,
}

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
