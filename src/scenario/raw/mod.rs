//! A scenario exactly as typed: the keys a user may write, each with the kind of value it takes, and nothing checked
//! beyond that. Everything is optional here; `validate` knows the defaults and the limits.

mod devices;
mod fields;
mod hardware;
mod learning;
mod network;
mod node;
mod peft;
mod search;
mod technique;

pub(crate) use devices::{DeviceGroup, Handover, Mobility, MobilityKind, Placement, PlacementKind};
pub(crate) use fields::section_of;
pub(crate) use hardware::Hardware;
pub(crate) use learning::{
    CheckpointPlace, CheckpointWord, CountOrAll, Dataset, Image, Model, Optimizer, OptimizerKind, Partition,
    PartitionKind, Training, TrainingWord, Workload,
};
pub(crate) use network::{
    Blockage, Cell, Drx, EdgeServer, EdgeSharingKind, Fading, FadingKind, Link, Network, PowerControl,
    PowerControlKind, Prices, Radio, Results, Slot, SlotScheduler, SlotSchedulerKind,
};
pub(crate) use node::{PlainOrMap, read};
pub(crate) use peft::{BlockRange, Peft, PeftKind, PeftMethod, SizeList, WrittenBlocks};
pub(crate) use search::{Objective, Plot, Sampler, SamplerKind, Search, Variant};
pub(crate) use technique::{Aggregation, AggregationMethod, Blocks, Gradients, Technique, ZerothOrderRounds};
pub(crate) use technique::{
    AirPowerControl, AirScheduling, AirSchedulingKind, ConnectionMethod, Connections, UpdateCompression,
    UpdateCompressionKind,
};
pub(crate) use technique::{
    CombineKind, CountOrAuto, Cut, CutCompression, CutCompressionMethod, Ensemble, Sidelink, SplitObjective, Transfer,
};
pub(crate) use technique::{Distillation, Emulator, Quantisation};
pub(crate) use technique::{Local, Server, ServerOptimizer, Staleness, StalenessKind, Synchrony, SynchronyKind};
pub(crate) use technique::{Sampling, SamplingKind};

use serde::Deserialize;

/// The file's top level. [`super::schema::Scenario`] says what each key means.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub name: Option<String>,
    pub description: Option<String>,
    pub seed: Option<u64>,
    pub replications: Option<u64>,
    pub model: Option<Model>,
    pub peft: Option<Peft>,
    pub workload: Option<Workload>,
    pub training: Option<PlainOrMap<TrainingWord, Training>>,
    pub technique: Option<Technique>,
    pub hardware: Option<Vec<Hardware>>,
    pub devices: Option<Vec<DeviceGroup>>,
    pub placement: Option<Placement>,
    pub mobility: Option<Mobility>,
    pub radio: Option<Radio>,
    pub cells: Option<Vec<Cell>>,
    pub edge_servers: Option<Vec<EdgeServer>>,
    pub network: Option<Network>,
    pub prices: Option<Prices>,
    pub results: Option<Results>,
    pub search: Option<Search>,
}
