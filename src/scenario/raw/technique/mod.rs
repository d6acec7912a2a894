//! Keys of `technique`: one file a section.

mod aggregation;
mod federation;
mod sampling;

pub(crate) use aggregation::{
    Aggregation, AggregationMethod, AirPowerControl, AirScheduling, AirSchedulingKind, UpdateCompression,
    UpdateCompressionKind,
};
pub(crate) use federation::{Local, Server, ServerOptimizer, Staleness, StalenessKind, Synchrony, SynchronyKind};
pub(crate) use sampling::{Sampling, SamplingKind};

use super::CountOrAll;
use crate::scenario::schema::{Averaging, TechniqueKind};
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
    pub local: Option<Local>,
    pub server: Option<Server>,
    pub averaging: Option<Averaging>,
    pub synchrony: Option<Synchrony>,
    pub sampling: Option<Sampling>,
}
