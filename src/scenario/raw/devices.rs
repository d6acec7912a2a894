//! Keys of `devices`, `placement` and `mobility`.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceGroup {
    pub name: Option<String>,
    pub count: Option<u64>,
    pub hardware: Option<String>,
    pub compute_share: Option<f64>,
    pub clock_share: Option<f64>,
    pub memory_share: Option<f64>,
    pub battery_percent: Option<f64>,
    pub data_weight: Option<f64>,
    pub tx_power_dbm: Option<f64>,
    pub lora_rank: Option<u64>,
    pub indoor_share: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Placement {
    pub kind: Option<PlacementKind>,
    pub min_distance_m: Option<f64>,
    pub max_distance_m: Option<f64>,
    pub positions_m: Option<Vec<Vec<f64>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlacementKind {
    Uniform,
    Fixed,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mobility {
    pub kind: Option<MobilityKind>,
    pub min_speed_m_per_s: Option<f64>,
    pub max_speed_m_per_s: Option<f64>,
    pub pause_s: Option<f64>,
    pub handover: Option<Handover>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handover {
    pub offset_db: Option<f64>,
    pub hysteresis_db: Option<f64>,
    pub time_to_trigger_ms: Option<f64>,
    pub measurement_period_ms: Option<f64>,
    pub interruption_ms: Option<f64>,
    pub migrate_state: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MobilityKind {
    Static,
    RandomWaypoint,
}
