//! Which parameters are trained: methods of parameter-efficient fine-tuning.

use super::NnError;
use crate::fomo::{Architecture, Projection};

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
