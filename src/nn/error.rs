//! What can be wrong with a request to the learning arithmetic.

use crate::fomo::CheckpointError;
use crate::fomo::Family;

/// Each message says what was found and what would be accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    #[error("training a {family:?} model is not supported; supported: Bert")]
    UnsupportedFamily { family: Family },
    #[error("{what} is {found}, expected {expected}")]
    Geometry { what: &'static str, found: usize, expected: String },
    #[error("{found} LoRA ranks for a model of {expected} blocks; give one rank a block, 0 for none")]
    RankCount { found: usize, expected: usize },
    #[error("LoRA rank {rank} in block {block} exceeds {limit}, the smaller side of {projection}; lower the rank")]
    RankTooLarge { rank: usize, block: usize, limit: usize, projection: &'static str },
    #[error("LoRA has ranks above 0 but no target projections; name at least one, such as query")]
    NoTargets,
    #[error("LoRA alpha is {alpha}; give a finite number above 0")]
    Alpha { alpha: f64 },
    #[error("sequence {sequence} of the batch has {tokens} tokens; allowed are 1 to {limit}: truncate it or drop it")]
    SequenceLength { sequence: usize, tokens: usize, limit: usize },
    #[error(
        "sequence {sequence} holds token {token}, beyond the vocabulary of {vocabulary}; is this the right tokenizer?"
    )]
    Token { sequence: usize, token: u32, vocabulary: usize },
    #[error("sequence {sequence} has label {label}, but there are {classes} classes")]
    Label { sequence: usize, label: u32, classes: usize },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
