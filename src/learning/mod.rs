//! The learning plane: operations with identities, computed lazily, shared, and batched.
//!
//! A protocol asks for operations (`local_step`, `combine`, `evaluate`) and gets handles, not numbers. A handle's
//! identity is the hash of the operation and of its inputs' identities, so equal chains of operations in different
//! trials are one chain, and a number that nobody asks for is never computed. This module must not know time: what
//! the air does to an update reaches it as data of the operation ([`Combination::OverTheAir`]).
//!
//! Start with [`Learning`] (what protocols see), then `schedule.rs` (what is computed when) and `engine.rs` (how).

mod backbone;
pub mod compression;
mod connections;
mod disk;
mod distillation;
mod emulated;
mod engine;
mod ensemble;
mod evaluation_options;
mod federated;
mod gradient_terms;
mod graph;
mod ground;
mod identity;
mod journal;
mod keys;
mod library;
mod low_rank;
mod operation;
mod peft;
mod plane;
mod processor;
mod schedule;
mod shaping;
mod similarity;
mod slopes;
mod step_options;
mod store;
mod superposition;
mod task;
mod value;

pub use crate::nn::{Cut, Distortion};
pub use compression::Compression;
pub use emulated::Emulated;
pub use ensemble::{Ensemble, Weighing};
pub use evaluation_options::EvaluationOptions;
pub use gradient_terms::GradientTerms;
pub use identity::Identity;
pub use keys::KeySource;
pub use library::tokenizer;
pub use operation::{Client, Combination};
pub use plane::{EvaluationHandle, Learning, LossHandle, StateHandle};
pub use processor::{BackendChoice, GpuProcessor, Processor};
pub use shaping::Shaping;
pub use slopes::{SharedDirection, SlopeMean};
pub use step_options::StepOptions;
pub use store::{Store, StoreCounts};
pub use superposition::{Misalignment, Normalisation, Superposition};
pub use task::Task;
pub use value::{Evaluation, State};

/// What can stop the learning plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearningError {
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    #[error(transparent)]
    Checkpoint(#[from] crate::fomo::CheckpointError),
    #[error(transparent)]
    Tokenizer(#[from] crate::fomo::TokenizerError),
    #[error(transparent)]
    Adapter(#[from] crate::adapter::AdapterError),
    #[error(transparent)]
    Nn(#[from] crate::nn::NnError),
    #[error("{path}: the cache cannot be used: {cause}; choose another folder with --cache, or --no-cache")]
    Cache { path: String, cause: String },
    #[error("{path}: the checkpoint cannot be written: {cause}; choose another folder with --out")]
    Journal { path: String, cause: String },
    #[error("the emulator has other trainable parameters than the model: {cause}; train only blocks that it keeps")]
    EmulatorLayout { cause: String },
    #[error(transparent)]
    Device(#[from] crate::backend::cuda::DeviceError),
    #[error("{model} has heads of {found} columns, the GPU's kernels compute up to {most}; use --backend cpu")]
    GpuHeads { model: String, found: usize, most: usize },
    #[error(
        "{model} needs more memory than the GPU has: frozen weights {frozen}, activations of a pass {activations}, logits \
         {logits}; {free} are free; use --backend cpu"
    )]
    GpuMemory { model: String, frozen: String, activations: String, logits: String, free: String },
    #[error("training diverged: the loss of {client} at its step {step} is not finite; lower the learning rates")]
    Diverged { client: String, step: u64 },
}

impl LearningError {
    /// Whether a file that the user brought, or what is asked of it, is what is wrong.
    pub fn is_of_input(&self) -> bool {
        match self {
            Self::Data(_) | Self::Checkpoint(_) | Self::Tokenizer(_) | Self::Adapter(_) => true,
            Self::Nn(error) => matches!(error, crate::nn::NnError::Checkpoint(_)),
            _ => false,
        }
    }
}
