//! A scenario after reading: every default filled in, every name known to exist, every value possible.
//!
//! These types are the contract between the reader above them in this folder and everything that builds on a
//! scenario. They serialise to the same YAML that users write, so `scenario.resolved.yaml` can be run again.
//! Every field's unit is in its name. Start with [`Scenario`].

mod devices;
mod hardware;
mod learning;
mod network;
mod peft;
mod search;
mod technique;
mod trained_blocks;

pub use devices::{DeviceGroup, HandoverSpec, Mobility, Placement};
pub use hardware::OwnHardware;
pub(super) use hardware::own_or_listed;
pub use learning::{
    AttentionMemory, Checkpoint, DatasetChoice, EmulatedOptimizer, ImageSize, LearningTask, ModelSpec, Optimizer,
    Partition, TrainingSpec, USUAL_PERTURBATION, Workload,
};
pub use network::{
    BlockageSpec, Building, CellSpec, DrxSpec, EdgeServerSpec, EdgeSharing, Fading, GlassLoss, HarqCombining,
    LineOfSight, LinkFailures, LinkLayerModel, LinkSpec, NeighboursSend, NetworkSpec, Prices, Propagation,
    RadioFidelity, RadioSpec, ResultsSpec, Routing, SlotScheduler, SlotSpec, UplinkPower,
};
pub use peft::{
    AdaLoraSpec, AdapterActivation, AdapterPlacement, AdapterSpec, BlockChoice, BlockSizes, LoraScaling, LoraSpec,
    PEFT_METHODS, PeftMethod, PeftSpec, Projection, SelectiveSpec,
};
pub use search::{NUMBERS, Objective, PlotSpec, Sampler, SearchSpec, Space, Variant};
pub use technique::{AggregationSpec, DistillationSpec, EmulatorPlan, Listed, MEASURES};
pub use technique::{
    AirCompSpec, AirImperfections, AirPowerControl, AirScheduling, Beamforming, Carried, DigitalSpec, DonorChoice,
    EnsembleCombine, EnsembleSpec, KeyLayer, OneBitSpec, QueryForm, SidelinkEnvironment, SidelinkSpec, TransferSpec,
    UpdateCompression, UpdateNormalisation, UplinkAccess,
};
pub use technique::{Averaging, Correction, LocalSpec, SamplingSpec, ServerSpec, StalenessSpec, SynchronySpec};
pub use technique::{
    BlockAllocation, BlockBandwidth, BlocksSpec, ConnectionMethod, ConnectionsSpec, CutChannel, CutCompression,
    CutSpec, DeviceSide, GradientsSpec, LabelPlace, MinimisedBy, QuantiserScale, ReceiveCombining, ServerSide,
    SplitObjective, SplitPoint, ZerothOrderSpec,
};
pub use technique::{TECHNIQUES, TechniqueKind, TechniqueSpec};

use serde::Serialize;

/// One experiment, complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Names the folder of the results.
    pub name: String,
    /// Free text, repeated in the report.
    pub description: String,
    /// Root of every random stream.
    pub seed: u64,
    /// Independent repetitions with different random streams.
    pub replications: u64,
    pub model: ModelSpec,
    pub peft: PeftSpec,
    pub workload: Workload,
    /// `None` (in YAML `training: none`) asks for time alone: no tensor is touched.
    #[serde(serialize_with = "learning::none_as_word")]
    pub training: Option<TrainingSpec>,
    pub technique: TechniqueSpec,
    /// What devices and servers may name beside the table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<OwnHardware>,
    pub devices: Vec<DeviceGroup>,
    pub placement: Placement,
    pub mobility: Mobility,
    pub radio: RadioSpec,
    pub cells: Vec<CellSpec>,
    pub edge_servers: Vec<EdgeServerSpec>,
    pub network: NetworkSpec,
    pub prices: Prices,
    pub results: ResultsSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,
}

impl Scenario {
    /// Number of devices over all groups.
    pub fn device_count(&self) -> usize {
        self.devices.iter().map(|g| g.count).sum()
    }

    /// How devices' steps are made, computed or only emulated.
    pub fn optimizer(&self) -> Optimizer {
        match (&self.training, self.workload.optimizer) {
            (Some(training), _) => training.optimizer,
            (None, Some(emulated)) => emulated.optimizer(),
            (None, None) if self.technique.kind == TechniqueKind::ZerothOrderFederated => {
                EmulatedOptimizer::ZerothOrder.optimizer()
            }
            (None, None) => Optimizer::AdamW,
        }
    }
}
