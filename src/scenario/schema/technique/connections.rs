//! Blocks of which devices hold slices.

use serde::{Deserialize, Serialize};

/// Which blocks are in slices, and how their sums are formed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionsSpec {
    /// Ascending; none below the split point.
    pub blocks: Vec<usize>,
    /// Devices among whose slices each block is dealt; divides heads and inner columns.
    pub slices: usize,
    #[serde(flatten)]
    pub method: ConnectionMethod,
}

/// What forms the sums over slices.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum ConnectionMethod {
    /// Devices transmit at once and the channel adds.
    AirComp {
        receive_antennas: usize,
        transmit_antennas: usize,
        receive_beam: ReceiveCombining,
        /// Average transmit power that a device may spend on analog symbols.
        average_power_dbm: f64,
        /// Variance of a channel estimate's error over the channel's power.
        channel_error: f64,
        /// Whether tests hear the sums through the channel too.
        test_over_the_air: bool,
    },
    /// Each device sends its part of the sum over the uplink; the edge adds.
    Digital,
}

/// How the receiver's antennas are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiveCombining {
    /// One antenna, the best for the weakest device.
    AntennaSelection,
    /// Most power of all devices together.
    Eigenvector,
    /// Most power of the weakest device.
    MaxMin,
}
