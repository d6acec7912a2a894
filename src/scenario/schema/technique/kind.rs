//! The protocols by name.

use serde::{Deserialize, Serialize};

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
    /// Devices tune adapters against an emulator of the model (Xiao, Lin, Han 2023).
    OffsiteTuning,
}

impl TechniqueKind {
    pub const ALL: &[Self] =
        &[Self::Centralized, Self::OnDevice, Self::Federated, Self::Split, Self::SplitFederated, Self::OffsiteTuning];

    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Centralized => "centralized",
            Self::OnDevice => "on_device",
            Self::Federated => "federated",
            Self::Split => "split",
            Self::SplitFederated => "split_federated",
            Self::OffsiteTuning => "offsite_tuning",
        }
    }

    /// Whether the model is cut between device and edge.
    pub fn is_split(self) -> bool {
        matches!(self, Self::Split | Self::SplitFederated)
    }

    /// Whether devices' updates are averaged.
    pub fn aggregates(self) -> bool {
        matches!(self, Self::Federated | Self::SplitFederated | Self::OffsiteTuning)
    }
}
