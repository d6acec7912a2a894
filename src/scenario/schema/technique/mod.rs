//! Which protocol fine-tunes, and how: one file a section of `technique`.

mod aggregation;
mod blocks;
mod catalogue;
mod connections;
mod cut;
mod emulator;
mod ensemble;
mod federation;
mod gradients;
mod kind;
mod measures;
mod sampling;
mod split_point;
mod transfer;
mod zeroth_order;

pub use aggregation::{
    AggregationSpec, AirCompSpec, AirImperfections, AirPowerControl, AirScheduling, Beamforming, DigitalSpec,
    OneBitSpec, UpdateCompression, UpdateNormalisation, UplinkAccess,
};
pub use blocks::{BlockAllocation, BlockBandwidth, BlocksSpec};
pub use catalogue::{Listed, TECHNIQUES};
pub use connections::{ConnectionMethod, ConnectionsSpec, ReceiveCombining};
pub use cut::{CutChannel, CutCompression, CutSpec, DeviceSide, LabelPlace, QuantiserScale, ServerSide};
pub use ensemble::{EnsembleCombine, EnsembleSpec, KeyLayer, QueryForm};
pub use federation::{Averaging, Correction, LocalSpec, ServerSpec, StalenessSpec, SynchronySpec};
pub use gradients::GradientsSpec;
pub use kind::TechniqueKind;
pub use measures::MEASURES;
pub use sampling::SamplingSpec;
pub use split_point::{MinimisedBy, SplitObjective, SplitPoint};
pub use transfer::{Carried, DonorChoice, SidelinkEnvironment, SidelinkSpec, TransferSpec};
pub use zeroth_order::ZerothOrderSpec;

pub use emulator::{DistillationSpec, EmulatorPlan};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TechniqueSpec {
    pub kind: TechniqueKind,
    pub rounds: usize,
    /// Gradient steps of a device in a round.
    pub local_steps: usize,
    /// Blocks below it run on the device, the rest at the edge; 0..=blocks. Used by the split techniques.
    pub split_point: SplitPoint,
    /// What `split_point: auto` looks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_objective: Option<SplitObjective>,
    /// What happens at the cut; only where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<CutSpec>,
    /// Devices drawn for each round (the lowest numbers win ties of the draw); at most the number of devices.
    pub devices_per_round: usize,
    /// A round ends after this long for those who have not delivered; their update is dropped.
    pub round_deadline_s: Option<f64>,
    pub aggregation: AggregationSpec,
    #[serde(skip_serializing_if = "federation::is_default")]
    pub local: LocalSpec,
    #[serde(skip_serializing_if = "federation::is_default")]
    pub server: ServerSpec,
    #[serde(skip_serializing_if = "federation::is_default")]
    pub averaging: Averaging,
    #[serde(skip_serializing_if = "federation::is_default")]
    pub synchrony: SynchronySpec,
    #[serde(skip_serializing_if = "federation::is_default")]
    pub sampling: SamplingSpec,
    /// Blocks in slices; there under `tensor_parallel` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<ConnectionsSpec>,
    /// Of `block_federated` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlocksSpec>,
    /// Of `gradient_download` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradients: Option<GradientsSpec>,
    /// Of `zeroth_order_federated` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zeroth_order: Option<ZerothOrderSpec>,
    /// Only under `prompt_ensemble`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<EnsembleSpec>,
    /// Only under `prompt_transfer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferSpec>,
    /// What devices tune against; only under `offsite_tuning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulator: Option<EmulatorPlan>,
}

impl TechniqueSpec {
    /// Below which block parameters are the devices' to hand in; `None` where all are, or where cuts differ by device.
    pub fn device_side_split(&self) -> Option<usize> {
        self.split_point.fixed().filter(|_| self.kind.is_split())
    }
}
