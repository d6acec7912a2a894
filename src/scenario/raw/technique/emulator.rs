//! Keys of `technique.emulator`.

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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quantisation {
    pub bits: Option<u64>,
    pub scope: Option<QuantisationScope>,
}
