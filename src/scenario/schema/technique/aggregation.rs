//! How updates become one.

use serde::{Deserialize, Serialize};

/// How the updates of a round's devices become one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum AggregationSpec {
    /// Each device sends its parameters over the digital uplink; the edge takes the mean weighted by samples.
    Digital(DigitalSpec),
    /// Devices transmit at once and the channel adds (Zhu, Wang, Huang 2020).
    AirComp(AirCompSpec),
    /// Devices transmit the signs of their updates at once; the majority moves the model (Zhu et al. 2021).
    OneBit(OneBitSpec),
}

impl AggregationSpec {
    /// As scenarios write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Digital(_) => "digital",
            Self::AirComp(_) => "air_comp",
            Self::OneBit(_) => "one_bit",
        }
    }

    /// Whether devices transmit at once and the channel adds.
    pub fn is_over_the_air(&self) -> bool {
        !matches!(self, Self::Digital(_))
    }

    /// Whether devices keep what they could not send.
    pub fn has_error_feedback(&self) -> bool {
        match self {
            Self::Digital(digital) => digital.compression.has_error_feedback(),
            Self::AirComp(air) => air.error_feedback,
            Self::OneBit(_) => false,
        }
    }
}

/// Digital aggregation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DigitalSpec {
    pub access: UplinkAccess,
    pub compression: UpdateCompression,
}

/// How devices share the uplink when they hand in their updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UplinkAccess {
    /// Over the cell like any other transfer, each when it is ready.
    #[default]
    Cell,
    /// When all are ready, one after the other on the whole band at Shannon's rate.
    Tdma,
    /// When all are ready, all at once on equal parts of the band.
    FdmaEqual,
    /// The same on the parts with which all finish together.
    FdmaOptimal,
}

/// What becomes of an update before it is sent digitally.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum UpdateCompression {
    #[default]
    None,
    /// Stochastic quantisation (Alistarh et al. 2017).
    Qsgd {
        /// Levels above 0.
        levels: u32,
        /// Entries that share a norm.
        bucket_entries: usize,
        error_feedback: bool,
    },
    /// The entries of largest magnitude (Stich et al. 2018).
    TopK { fraction: f64, error_feedback: bool },
    /// Entries drawn evenly.
    RandK { fraction: f64, error_feedback: bool },
}

impl UpdateCompression {
    /// Whether devices keep what compression left out and add it to their next update.
    pub fn has_error_feedback(&self) -> bool {
        match self {
            Self::None => false,
            Self::Qsgd { error_feedback, .. }
            | Self::TopK { error_feedback, .. }
            | Self::RandK { error_feedback, .. } => *error_feedback,
        }
    }
}

/// Analog aggregation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AirCompSpec {
    #[serde(flatten)]
    pub power_control: AirPowerControl,
    /// Average transmit power that a device may spend on analog symbols.
    pub average_power_dbm: f64,
    pub normalisation: UpdateNormalisation,
    #[serde(flatten)]
    pub imperfections: AirImperfections,
    pub scheduling: AirScheduling,
    /// Whether devices keep what did not arrive in full and add it to their next update.
    pub error_feedback: bool,
}

/// How devices choose their power, and how the receiver listens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "power_control")]
pub enum AirPowerControl {
    /// All invert their channel; a device whose power gain |h|^2 (mean 1) lies below the threshold stays silent.
    TruncatedInversion { truncation_threshold: f64 },
    /// The weak send with full power, the others invert, such that the expected error is least (Cao et al. 2020).
    Optimal,
    /// All invert what a receive beam leaves of their channel; nobody stays silent (Chen et al. 2018).
    UniformForcing { receive_antennas: usize, beamforming: Beamforming },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beamforming {
    /// Along the sum of the channels.
    Matched,
    /// All effective channels equal, or as nearly as can be.
    ZeroForcing,
    /// The weakest effective channel as strong as can be.
    #[default]
    Optimised,
}

/// By what updates are divided before they are sent as analog symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateNormalisation {
    /// Each tensor by its largest root mean square among the devices.
    #[default]
    PerTensor,
    /// All tensors by one number.
    Global,
    /// Entries are sent as if they were of unit variance.
    None,
}

/// What devices do not know or cannot keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AirImperfections {
    /// Variance of the channel estimate's error, relative to the channel's mean power.
    pub channel_error: f64,
    /// Deviation of the carrier phase.
    pub phase_error_rad: f64,
    /// Deviation of the delay at which signals arrive, within the cyclic prefix.
    pub timing_error_ns: f64,
}

/// Who of a round's devices transmits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AirScheduling {
    #[default]
    All,
    /// Those that the edge would receive with most power.
    Strongest { devices: usize },
}

/// Aggregation by majority vote.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneBitSpec {
    /// How far a vote moves each parameter.
    pub vote_step: f64,
    /// As under truncated inversion.
    pub truncation_threshold: f64,
    pub average_power_dbm: f64,
    #[serde(flatten)]
    pub imperfections: AirImperfections,
    pub scheduling: AirScheduling,
}
