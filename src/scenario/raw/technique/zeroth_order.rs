//! Keys of `technique.zeroth_order`.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZerothOrderRounds {
    pub slope_limit: Option<f64>,
    pub repetitions: Option<u64>,
}
