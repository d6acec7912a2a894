//! Keys of `technique.aggregation`.

use serde::Deserialize;

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
