//! What lies before the first block and behind the last: tables, prompts, heads, answers.

use crate::backend::Backend;

/// Frozen tables that become the first hidden states.
pub struct Embedding<B: Backend> {
    /// `[vocabulary, width]`; empty for images.
    pub words: B::Buffer,
    /// `[positions, width]`.
    pub positions: Option<B::Buffer>,
    /// Added to every row, `[width]`: BERT's token type 0.
    pub token_type: Option<B::Buffer>,
    /// Content of the first row of every sequence, `[width]`: ViT's class token.
    pub class_token: Option<B::Buffer>,
    pub width: usize,
}

/// What is trainable about an [`Embedding`]: the client's own tables, and soft prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddingSlots {
    pub words: Option<usize>,
    pub positions: Option<usize>,
    pub token_type: Option<usize>,
    pub class_token: Option<usize>,
    pub prompt: Option<PromptSlot>,
}

impl EmbeddingSlots {
    /// The same tables for a decoder, whose sequences have no soft prompts.
    pub fn without_prompt(self) -> Self {
        Self { prompt: None, ..self }
    }

    pub fn is_frozen(&self) -> bool {
        *self == Self::default()
    }
}

/// Trainable rows at the start of every sequence, `[tokens, width]` (Lester et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptSlot {
    pub prompt: usize,
    pub tokens: usize,
    /// Whether prompts take learned positions 0.. and push the others up (text), or have none (images, Jia et al. 2022).
    pub takes_positions: bool,
}

/// What fills the rows of an embedding.
///
/// A sequence is: the prompt's rows, the class token's row if there is one, then its tokens or patches.
pub enum Content<'a, B: Backend> {
    /// Token ids of all sequences end to end, prompts not counted.
    Tokens(&'a [u32]),
    /// Projected patches of all sequences end to end, `[patches, width]`; prompts and class tokens not counted.
    Patches(&'a B::Buffer),
}

/// How a sequence's rows become the vector that a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    Mean,
    First,
    Last,
}

/// Where a linear head lies in a client's parameters: weight `[outputs, width]`, bias `[outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSlot {
    pub weight: usize,
    pub bias: usize,
    pub width: usize,
    /// Classes, or 1 for a regression.
    pub outputs: usize,
    /// Rows at the start of every sequence that pooling passes over: soft prompts.
    pub skip: usize,
    pub pooling: Pooling,
}

/// What a head should answer, one entry a sequence.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// Cross entropy.
    Classes(&'a [u32]),
    /// Squared error.
    Values(&'a [f32]),
}

/// What a head says about one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SequenceOutcome {
    /// Sum over the sequence's targets: cross entropies in nats, or squared errors.
    pub loss: f64,
    /// Targets: 1, or the number of predicted tokens.
    pub targets: u32,
    /// Targets whose most likely class or token is the right one; 0 for a regression.
    pub correct: u32,
    /// Class with the largest logit, the lowest of equals; 0 where there are no classes.
    pub prediction: u32,
    /// The answer of a regression; 0 elsewhere.
    pub value: f64,
}

/// Where a head puts gradients.
pub struct HeadGradient<'a, B: Backend> {
    /// Weight of each of a sequence's targets in the total loss: one over the number of targets in the client's batch,
    /// times a loss scale.
    pub weights: &'a [f64],
    /// `[segments, stride]`, added to.
    pub parameters: &'a mut B::Buffer,
    /// `[rows, width]`, written.
    pub hidden: &'a mut B::Buffer,
}
