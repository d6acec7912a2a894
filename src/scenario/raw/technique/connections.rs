//! Keys of `technique.connections`.

use crate::scenario::schema::ReceiveCombining;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connections {
    pub method: Option<ConnectionMethod>,
    pub blocks: Option<Vec<u64>>,
    pub slices: Option<u64>,
    pub receive_antennas: Option<u64>,
    pub transmit_antennas: Option<u64>,
    pub receive_beam: Option<ReceiveCombining>,
    pub average_power_dbm: Option<f64>,
    pub channel_error: Option<f64>,
    pub test_over_the_air: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConnectionMethod {
    AirComp,
    Digital,
}
