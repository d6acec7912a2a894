//! Keys of `technique.ensemble` and `technique.transfer`.

use crate::scenario::schema::{Carried, DonorChoice, KeyLayer, QueryForm, SidelinkEnvironment};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ensemble {
    pub combine: Option<CombineKind>,
    pub top: Option<u64>,
    pub temperature: Option<f64>,
    pub key: Option<KeyLayer>,
    pub key_samples: Option<u64>,
    pub validation_samples: Option<u64>,
    pub queries: Option<u64>,
    pub query: Option<QueryForm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CombineKind {
    Uniform,
    ValidationWeighted,
    KeySimilarity,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    pub donor_rounds: Option<u64>,
    pub newcomers: Option<Vec<u64>>,
    pub choose: Option<DonorChoice>,
    pub carries: Option<Carried>,
    pub key: Option<KeyLayer>,
    pub key_samples: Option<u64>,
    pub sidelink: Option<Sidelink>,
    pub target_accuracy: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sidelink {
    pub environment: Option<SidelinkEnvironment>,
    pub carrier_ghz: Option<f64>,
    pub bandwidth_mhz: Option<f64>,
}
