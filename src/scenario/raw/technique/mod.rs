//! Keys of `technique`: one file a section.

mod aggregation;
mod blocks;
mod connections;
mod cut;
mod emulator;
mod federation;
mod gradients;
mod prompts;
mod sampling;
mod zeroth_order;

pub(crate) use aggregation::{
    Aggregation, AggregationMethod, AirPowerControl, AirScheduling, AirSchedulingKind, UpdateCompression,
    UpdateCompressionKind,
};
pub(crate) use blocks::Blocks;
pub(crate) use connections::{ConnectionMethod, Connections};
pub(crate) use cut::{CountOrAuto, Cut, CutCompression, CutCompressionMethod, SplitObjective};
pub(crate) use emulator::{Distillation, Emulator, Quantisation};
pub(crate) use federation::{Local, Server, ServerOptimizer, Staleness, StalenessKind, Synchrony, SynchronyKind};
pub(crate) use gradients::Gradients;
pub(crate) use prompts::{CombineKind, Ensemble, Sidelink, Transfer};
pub(crate) use sampling::{Sampling, SamplingKind};
pub(crate) use zeroth_order::ZerothOrderRounds;

use super::CountOrAll;
use crate::scenario::schema::{Averaging, TechniqueKind};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Technique {
    pub kind: Option<TechniqueKind>,
    pub rounds: Option<u64>,
    pub local_steps: Option<u64>,
    pub split_point: Option<CountOrAuto>,
    pub split_objective: Option<SplitObjective>,
    pub cut: Option<Cut>,
    pub devices_per_round: Option<CountOrAll>,
    pub round_deadline_s: Option<f64>,
    pub aggregation: Option<Aggregation>,
    pub connections: Option<Connections>,
    pub blocks: Option<Blocks>,
    pub gradients: Option<Gradients>,
    pub zeroth_order: Option<ZerothOrderRounds>,
    pub ensemble: Option<Ensemble>,
    pub transfer: Option<Transfer>,
    pub emulator: Option<Emulator>,
    pub local: Option<Local>,
    pub server: Option<Server>,
    pub averaging: Option<Averaging>,
    pub synchrony: Option<Synchrony>,
    pub sampling: Option<Sampling>,
}
