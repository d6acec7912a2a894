//! Which parameters are trained: methods of parameter-efficient fine-tuning.

use super::NnError;
use crate::fomo::Architecture;

/// A frozen projection of a block that a method can attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    Query,
    Key,
    Value,
    AttentionOutput,
    FfnUp,
    FfnDown,
}

impl Projection {
    /// All projections, in the order in which their parameters are laid out.
    pub const ALL: [Self; 6] = [Self::Query, Self::Key, Self::Value, Self::AttentionOutput, Self::FfnUp, Self::FfnDown];

    /// Name of the module inside a BERT block, as in Hugging Face checkpoints.
    pub fn module(self) -> &'static str {
        match self {
            Self::Query => "attention.self.query",
            Self::Key => "attention.self.key",
            Self::Value => "attention.self.value",
            Self::AttentionOutput => "attention.output.dense",
            Self::FfnUp => "intermediate.dense",
            Self::FfnDown => "output.dense",
        }
    }

    /// `(inputs, outputs)` of the projection.
    pub fn shape(self, architecture: &Architecture) -> (usize, usize) {
        let Architecture { hidden, ffn, heads, kv_heads, head_dim, .. } = *architecture;
        match self {
            Self::Query => (hidden, heads * head_dim),
            Self::Key | Self::Value => (hidden, kv_heads * head_dim),
            Self::AttentionOutput => (heads * head_dim, hidden),
            Self::FfnUp => (hidden, ffn),
            Self::FfnDown => (ffn, hidden),
        }
    }
}

/// Low-rank adaptation (Hu et al. 2021): `y = W x + b + (alpha / rank) B A x`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank in each block; 0 leaves a block without LoRA.
    pub rank_per_block: Vec<usize>,
    pub alpha: f64,
    pub targets: Vec<Projection>,
}

impl LoraConfig {
    pub(super) fn check(&self, architecture: &Architecture) -> Result<(), NnError> {
        let blocks = architecture.blocks();
        if self.rank_per_block.len() != blocks {
            return Err(NnError::RankCount { found: self.rank_per_block.len(), expected: blocks });
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(NnError::Alpha { alpha: self.alpha });
        }
        if self.targets.is_empty() && self.rank_per_block.iter().any(|&r| r > 0) {
            return Err(NnError::NoTargets);
        }
        for (block, &rank) in self.rank_per_block.iter().enumerate() {
            for &target in &self.targets {
                let (inputs, outputs) = target.shape(architecture);
                let limit = inputs.min(outputs);
                if rank > limit {
                    return Err(NnError::RankTooLarge { rank, block, limit, projection: target.module() });
                }
            }
        }
        Ok(())
    }
}

/// What is trained besides the task head, which always is.
#[derive(Clone, Debug, PartialEq)]
pub enum PeftMethod {
    /// The backbone stays as it is: a linear probe.
    HeadOnly,
    Lora(LoraConfig),
}
