//! Which protocol fine-tunes, and how updates become one.

use serde::{Deserialize, Serialize};

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TechniqueKind {
    /// Raw data is uploaded and the edge trains alone: the baseline that privacy forbids.
    Centralized,
    /// Every device trains for itself and tells nobody.
    OnDevice,
    /// Devices train the whole model; PEFT parameters are averaged (McMahan et al. 2017).
    Federated,
    /// One device after another trains with the edge through the cut layer (Gupta and Raskar 2018).
    Split,
    /// All devices at once through the cut layer, device-side parameters averaged (Thapa et al. 2022).
    SplitFederated,
}

impl TechniqueKind {
    pub const ALL: [Self; 5] = [Self::Centralized, Self::OnDevice, Self::Federated, Self::Split, Self::SplitFederated];

    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Centralized => "centralized",
            Self::OnDevice => "on_device",
            Self::Federated => "federated",
            Self::Split => "split",
            Self::SplitFederated => "split_federated",
        }
    }

    /// One line for people who choose, with the source.
    pub fn about(self) -> &'static str {
        match self {
            Self::Centralized => "raw data is uploaded, the edge trains alone (what privacy forbids)",
            Self::OnDevice => "every device trains for itself",
            Self::Federated => "devices train, PEFT parameters are averaged (McMahan et al. 2017)",
            Self::Split => "one device after another trains with the edge through a cut (Gupta, Raskar 2018)",
            Self::SplitFederated => "all devices at once through a cut, both sides averaged (Thapa et al. 2022)",
        }
    }

    /// Whether the model is cut between device and edge.
    pub fn is_split(self) -> bool {
        matches!(self, Self::Split | Self::SplitFederated)
    }

    /// Whether devices' updates are averaged.
    pub fn aggregates(self) -> bool {
        matches!(self, Self::Federated | Self::SplitFederated)
    }
}

/// How the updates of a round's devices become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)]
pub enum AggregationSpec {
    /// Each device sends its parameters over the digital uplink; the edge takes the mean weighted by samples.
    Digital,
    /// Devices transmit at once and the channel adds (Zhu, Wang, Huang 2020).
    AirComp {
        /// A device whose power gain |h|^2 (mean 1) lies below this stays silent on that coherence block.
        truncation_threshold: f64,
        /// Average transmit power that a device may spend on analog symbols.
        average_power_dbm: f64,
    },
}
