//! Which device trains which block.

use serde::{Deserialize, Serialize};

/// How blocks and uplink are dealt to the devices of a round (Wu, Chen, Huang 2024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlocksSpec {
    pub allocation: BlockAllocation,
    pub bandwidth: BlockBandwidth,
}

/// Which matching of blocks and devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockAllocation {
    /// The one whose slowest device is done first.
    Exact,
    /// By sorting: as good where deeper blocks take longer and the bandwidth is fixed.
    Crunch,
    /// Device after device the next block, one further each round.
    Uniform,
    /// Drawn each round.
    Random,
}

/// How the uplink band is cut into one part a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockBandwidth {
    Equal,
    /// So that the slowest device is done first.
    Optimal,
}
