//! Keys of `technique.emulator`.

use super::super::{Dataset, PlainOrMap};
use crate::fomo::emulator::QuantisationScope;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Emulator {
    pub tuned_blocks: Option<u64>,
    pub keep_blocks: Option<u64>,
    pub ffn_share: Option<f64>,
    pub head_share: Option<f64>,
    pub rank: Option<u64>,
    pub quantisation: Option<Quantisation>,
    pub distillation: Option<Distillation>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Distillation {
    pub dataset: Option<PlainOrMap<String, Dataset>>,
    pub steps: Option<u64>,
    pub learning_rate: Option<f64>,
    pub batch_size: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quantisation {
    pub bits: Option<u64>,
    pub scope: Option<QuantisationScope>,
}
