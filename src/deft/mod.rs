//! The protocols: each technique in one file, as an async process that drives both planes.
//!
//! To the time plane a protocol says who computes and who transmits, and virtual time passes; to the learning plane it
//! hands operations and gets handles. A protocol should read like its paper's algorithm box: what every protocol
//! needs (rounds, records, progress) lives in [`Run`]. Start with `federated.rs`, a device's round, and
//! `federation.rs`, the server's.

mod asynchronous;
mod block_allocation;
mod block_federated;
mod centralized;
mod cold_start;
mod cut;
mod federated;
mod federation;
mod gradient_download;
mod offsite_tuning;
mod on_device;
mod prompt_ensemble;
mod prompt_transfer;
mod run;
mod sampling;
mod scaffold;
mod shared_server;
mod split;
mod split_federated;
mod tensor_parallel;
mod zeroth_order_federated;

pub use run::{Measured, Played, PlayedRound, Progress, Run, WhenToCompute};

use crate::learning::LearningError;
use crate::scenario::TechniqueKind;

/// Plays the scenario's technique to its end.
pub async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    match run.plan.kind {
        TechniqueKind::Centralized => centralized::play(run).await,
        TechniqueKind::OnDevice => on_device::play(run).await,
        TechniqueKind::Federated => federated::play(run).await,
        TechniqueKind::Split => split::play(run).await,
        TechniqueKind::SplitFederated => split_federated::play(run).await,
        TechniqueKind::TensorParallel => tensor_parallel::play(run).await,
        TechniqueKind::BlockFederated => block_federated::play(run).await,
        TechniqueKind::GradientDownload => gradient_download::play(run).await,
        TechniqueKind::ZerothOrderFederated => zeroth_order_federated::play(run).await,
        TechniqueKind::PromptEnsemble => prompt_ensemble::play(run).await,
        TechniqueKind::PromptTransfer => prompt_transfer::play(run).await,
        TechniqueKind::OffsiteTuning => offsite_tuning::play(run).await,
    }
}
