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
    /// Split, and devices hold slices of blocks beyond the cut, whose sums the channel forms (Zhang et al. 2025).
    TensorParallel,
    /// Devices hold the whole model, each trains one block of it (Wu, Chen, Huang 2024).
    BlockFederated,
    /// The edge runs the model, devices own the parameters and get their gradients (Wu, Chen, Huang 2023).
    GradientDownload,
    /// Devices send slopes along a direction that all share (Chen et al. 2025, ZOTA).
    ZerothOrderFederated,
    /// Every device tunes a prompt; the edge answers queries with several of them.
    PromptEnsemble,
    /// Devices that start late start from a neighbour's prompt.
    PromptTransfer,
    /// Devices tune adapters against an emulator of the model (Xiao, Lin, Han 2023).
    OffsiteTuning,
}

impl TechniqueKind {
    pub const ALL: &[Self] = &[
        Self::Centralized,
        Self::OnDevice,
        Self::Federated,
        Self::Split,
        Self::SplitFederated,
        Self::TensorParallel,
        Self::BlockFederated,
        Self::GradientDownload,
        Self::ZerothOrderFederated,
        Self::PromptEnsemble,
        Self::PromptTransfer,
        Self::OffsiteTuning,
    ];

    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Centralized => "centralized",
            Self::OnDevice => "on_device",
            Self::Federated => "federated",
            Self::Split => "split",
            Self::SplitFederated => "split_federated",
            Self::TensorParallel => "tensor_parallel",
            Self::BlockFederated => "block_federated",
            Self::GradientDownload => "gradient_download",
            Self::ZerothOrderFederated => "zeroth_order_federated",
            Self::PromptEnsemble => "prompt_ensemble",
            Self::PromptTransfer => "prompt_transfer",
            Self::OffsiteTuning => "offsite_tuning",
        }
    }

    /// Whether the model is cut between device and edge.
    pub fn is_split(self) -> bool {
        matches!(self, Self::Split | Self::SplitFederated)
    }

    /// Whether what is tuned must be a prompt or prefixes.
    pub fn needs_prompts(self) -> bool {
        matches!(self, Self::PromptEnsemble | Self::PromptTransfer)
    }

    /// Whether each device hands in a model that started from the server's and is averaged as a whole.
    pub fn averages_models(self) -> bool {
        match self {
            Self::Federated | Self::SplitFederated | Self::GradientDownload => true,
            // Blocks, slopes, and adapters beside those of another model.
            Self::BlockFederated | Self::ZerothOrderFederated | Self::OffsiteTuning => false,
            Self::Centralized | Self::OnDevice | Self::Split | Self::TensorParallel => false,
            Self::PromptEnsemble | Self::PromptTransfer => false,
        }
    }

    /// Whether devices' updates are averaged.
    pub fn aggregates(self) -> bool {
        match self {
            Self::Centralized | Self::OnDevice | Self::Split | Self::TensorParallel => false,
            Self::PromptEnsemble | Self::PromptTransfer => false,
            Self::Federated | Self::SplitFederated | Self::OffsiteTuning => true,
            Self::BlockFederated | Self::GradientDownload | Self::ZerothOrderFederated => true,
        }
    }
}
