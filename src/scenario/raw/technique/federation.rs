//! Keys of `technique.local`, `technique.server` and `technique.synchrony`.

use crate::scenario::schema::Correction;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Local {
    pub proximal_mu: Option<f64>,
    pub correction: Option<Correction>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub optimizer: Option<ServerOptimizer>,
    pub learning_rate: Option<f64>,
    pub beta1: Option<f64>,
    pub beta2: Option<f64>,
    pub tau: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerOptimizer {
    Mean,
    Momentum,
    Adam,
    Yogi,
    Adagrad,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Synchrony {
    pub kind: Option<SynchronyKind>,
    pub buffer: Option<u64>,
    pub mixing: Option<f64>,
    pub staleness: Option<Staleness>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SynchronyKind {
    Synchronous,
    SemiAsynchronous,
    Asynchronous,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Staleness {
    pub kind: Option<StalenessKind>,
    pub exponent: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StalenessKind {
    Constant,
    Polynomial,
}
