//! The protocols: each technique in one file, as an async process that drives both planes.
//!
//! To the time plane a protocol says who computes and who transmits, and virtual time passes; to the learning plane it
//! hands operations and gets handles. A protocol should read like its paper's algorithm box: what every protocol
//! needs (rounds, records, progress) lives in [`Run`]. Start with `federated.rs`, a device's round, and
//! `federation.rs`, the server's.

mod asynchronous;
mod centralized;
mod federated;
mod federation;
mod on_device;
mod run;
mod sampling;
mod scaffold;
mod split;
mod split_federated;

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
    }
}
