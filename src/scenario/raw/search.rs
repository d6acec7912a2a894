//! Keys of `search`.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    pub sampler: Option<Sampler>,
    pub variants: Option<Vec<Variant>>,
    pub space: Option<BTreeMap<String, Vec<serde_json::Value>>>,
    pub plots: Option<Vec<Plot>>,
    pub objective: Option<Objective>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sampler {
    pub kind: Option<SamplerKind>,
    pub trials: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SamplerKind {
    Grid,
    Random,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Objective {
    pub target_accuracy: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    pub name: Option<String>,
    pub set: Option<BTreeMap<String, serde_json::Value>>,
    pub space: Option<BTreeMap<String, Vec<serde_json::Value>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plot {
    pub x: Option<String>,
    pub y: Option<String>,
}
