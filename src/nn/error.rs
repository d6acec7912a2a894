//! What can be wrong with a request to the learning arithmetic.

use crate::fomo::{CheckpointError, Family};

/// Each message says what was found and what would be accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    #[error("{what} is {found}, expected {expected}")]
    Geometry { what: &'static str, found: usize, expected: String },
    #[error("{found} entries of {method} for a model of {expected} blocks; give one a block")]
    PerBlock { method: &'static str, found: usize, expected: usize },
    #[error("{method}: {setting} is {found}; give {expected}")]
    Setting { method: &'static str, setting: &'static str, found: f64, expected: &'static str },
    #[error("LoRA rank {rank} in block {block} exceeds {limit}, the smaller side of {projection}; lower the rank")]
    RankTooLarge { rank: usize, block: usize, limit: usize, projection: &'static str },
    #[error("LoRA has ranks above 0 but no target projections; name at least one, such as query")]
    NoTargets,
    #[error("LoRA cannot stand beside {projection}: {model} has no such product; it has {accepted}")]
    MissingTarget { projection: &'static str, model: String, accepted: String },
    #[error("AdaLoRA's budget shrinks from step {warmup_steps} to step {final_step}; end it after it starts")]
    BudgetSteps { warmup_steps: u32, final_step: u32 },
    #[error("AdaLoRA's target rank {target} is above {start}, the mean rank that it starts with; lower it")]
    BudgetGrows { target: usize, start: f64 },
    #[error(
        "an adapter of width {bottleneck} in block {block} is no bottleneck; give at most the model's width, {hidden}"
    )]
    BottleneckTooWide { bottleneck: usize, block: usize, hidden: usize },
    #[error("{tokens} prompt tokens leave no room for text among the model's {positions} positions; give fewer")]
    PromptTooLong { tokens: usize, positions: usize },
    #[error("{method} is given twice; give it once, with one size a block")]
    Duplicate { method: &'static str },
    #[error("block {block} has LoRA beside weights that are trained themselves; leave the block out of one of the two")]
    TrainedTwice { block: usize },
    #[error("a {family:?} model has no biases to train; choose norms or everything")]
    NoBiases { family: Family },
    #[error(
        "nothing is trained: no block takes part in any method, and this objective adds no head; let a block take part"
    )]
    NothingToTrain,
    #[error("a {family:?} model has no {objective} objective: {instead}")]
    Objective { family: Family, objective: &'static str, instead: &'static str },
    #[error("sequence {sequence} of the batch has {tokens} tokens; allowed are 1 to {limit}: truncate it or drop it")]
    SequenceLength { sequence: usize, tokens: usize, limit: usize },
    #[error(
        "sequence {sequence} holds token {token}, beyond the vocabulary of {vocabulary}; is this the right tokenizer?"
    )]
    Token { sequence: usize, token: u32, vocabulary: usize },
    #[error(
        "sequence {sequence} holds token {token}, RoBERTa's padding, which has no position in a text; take it out of the text"
    )]
    Padding { sequence: usize, token: u32 },
    #[error("sequence {sequence} has label {label}, but there are {classes} classes")]
    Label { sequence: usize, label: u32, classes: usize },
    #[error("the batch does not hold {expected}, which this model and objective need; is this the right data set?")]
    Content { expected: &'static str },
    #[error(
        "the checkpoint has no `lm_head.weight` to train: it shares the embedding's matrix without T5's scale \
         (`scale_decoder_outputs: false`); train blocks only, or give a checkpoint with an output matrix"
    )]
    SharedOutput,
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
