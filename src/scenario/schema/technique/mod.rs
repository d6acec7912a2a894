//! Which protocol fine-tunes, and how: one file a section of `technique`.

mod aggregation;
mod catalogue;
mod federation;
mod kind;
mod measures;
mod sampling;

pub use aggregation::{
    AggregationSpec, AirCompSpec, AirImperfections, AirPowerControl, AirScheduling, Beamforming, DigitalSpec,
    OneBitSpec, UpdateCompression, UpdateNormalisation, UplinkAccess,
};
pub use catalogue::{Listed, TECHNIQUES};
pub use federation::{Averaging, Correction, LocalSpec, ServerSpec, StalenessSpec, SynchronySpec};
pub use kind::TechniqueKind;
pub use measures::MEASURES;
pub use sampling::SamplingSpec;

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TechniqueSpec {
    pub kind: TechniqueKind,
    pub rounds: usize,
    /// Gradient steps of a device in a round.
    pub local_steps: usize,
    /// Blocks below it run on the device, the rest at the edge; 0..=blocks. Used by the split techniques.
    pub split_point: usize,
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
}
