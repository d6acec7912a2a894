//! Keys of `technique.sampling`.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sampling {
    pub kind: Option<SamplingKind>,
    pub exploration: Option<f64>,
    pub straggler_penalty: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SamplingKind {
    Uniform,
    ByChannel,
    ByData,
    ByUtility,
}
