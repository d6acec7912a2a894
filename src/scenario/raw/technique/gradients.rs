//! Keys of `technique.gradients`.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gradients {
    pub device_blocks: Option<u64>,
    pub projection_dimension: Option<u64>,
}
