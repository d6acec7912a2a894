//! Keys of `technique.blocks`.

use crate::scenario::schema::{BlockAllocation, BlockBandwidth};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blocks {
    pub allocation: Option<BlockAllocation>,
    pub bandwidth: Option<BlockBandwidth>,
}
