//! Keys of `technique.aggregation`.

use crate::scenario::schema::{Beamforming, UpdateNormalisation, UplinkAccess};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aggregation {
    pub method: Option<AggregationMethod>,
    pub access: Option<UplinkAccess>,
    pub compression: Option<UpdateCompression>,
    pub power_control: Option<AirPowerControl>,
    pub truncation_threshold: Option<f64>,
    pub receive_antennas: Option<u64>,
    pub beamforming: Option<Beamforming>,
    pub average_power_dbm: Option<f64>,
    pub normalisation: Option<UpdateNormalisation>,
    pub channel_error: Option<f64>,
    pub phase_error_rad: Option<f64>,
    pub timing_error_ns: Option<f64>,
    pub error_feedback: Option<bool>,
    pub vote_step: Option<f64>,
    pub scheduling: Option<AirScheduling>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AggregationMethod {
    Digital,
    AirComp,
    OneBit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AirPowerControl {
    TruncatedInversion,
    Optimal,
    UniformForcing,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateCompression {
    pub kind: Option<UpdateCompressionKind>,
    pub levels: Option<u64>,
    pub bucket_entries: Option<u64>,
    pub fraction: Option<f64>,
    pub error_feedback: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UpdateCompressionKind {
    None,
    Qsgd,
    TopK,
    RandK,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AirScheduling {
    pub kind: Option<AirSchedulingKind>,
    pub devices: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AirSchedulingKind {
    All,
    Strongest,
}
