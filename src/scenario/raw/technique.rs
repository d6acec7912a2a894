//! Keys of `technique`.

use super::CountOrAll;
use crate::scenario::schema::TechniqueKind;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Technique {
    pub kind: Option<TechniqueKind>,
    pub rounds: Option<u64>,
    pub local_steps: Option<u64>,
    pub split_point: Option<u64>,
    pub devices_per_round: Option<CountOrAll>,
    pub round_deadline_s: Option<f64>,
    pub aggregation: Option<Aggregation>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aggregation {
    pub method: Option<AggregationMethod>,
    pub truncation_threshold: Option<f64>,
    pub average_power_dbm: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AggregationMethod {
    Digital,
    AirComp,
}
