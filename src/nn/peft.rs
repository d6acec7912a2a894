//! Which parameters are trained: methods of parameter-efficient fine-tuning, as plain descriptions.
//!
//! A client trains one or several methods together (a slice of [`PeftMethod`]); the task head is always trained, except
//! for next-token prediction, which uses the model's own output matrix.

use crate::backend::Activation;
use crate::fomo::Projection;

/// One method. Sizes are given per block, so that each block's share of the trainable parameters can be controlled.
#[derive(Clone, Debug, PartialEq)]
pub enum PeftMethod {
    Lora(LoraConfig),
    Adapter(AdapterConfig),
    Prefix(PrefixConfig),
    Prompt(PromptConfig),
    Ia3(Ia3Config),
    Selective(SelectiveConfig),
}

impl PeftMethod {
    /// The method on a model that has only the `kept` blocks of the one it was written for, in this order.
    pub fn on_blocks(&self, kept: &[usize]) -> Self {
        fn of<T: Clone>(entries: &[T], kept: &[usize]) -> Vec<T> {
            kept.iter().map(|block| entries[*block].clone()).collect()
        }
        match self {
            Self::Lora(c) => Self::Lora(LoraConfig { rank_per_block: of(&c.rank_per_block, kept), ..c.clone() }),
            Self::Adapter(c) => {
                let bottleneck_per_block = of(&c.bottleneck_per_block, kept);
                Self::Adapter(AdapterConfig { bottleneck_per_block, ..c.clone() })
            }
            Self::Prefix(c) => Self::Prefix(PrefixConfig { tokens_per_block: of(&c.tokens_per_block, kept) }),
            Self::Prompt(c) => Self::Prompt(*c),
            Self::Ia3(c) => Self::Ia3(Ia3Config { blocks: of(&c.blocks, kept) }),
            Self::Selective(c) => Self::Selective(SelectiveConfig { blocks: of(&c.blocks, kept), ..c.clone() }),
        }
    }
}

/// Low-rank adaptation (Hu et al. 2021): `y = W x + b + scale B A x`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank in each block; 0 leaves a block without LoRA.
    pub rank_per_block: Vec<usize>,
    pub alpha: f64,
    pub targets: Vec<Projection>,
    pub scaling: LoraScaling,
    /// Share of the inputs of `A` dropped in training.
    pub dropout: f64,
    pub variant: LoraVariant,
}

/// What `alpha` is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoraScaling {
    /// `alpha / rank` (Hu et al. 2021).
    Rank,
    /// `alpha / sqrt(rank)`: rsLoRA (Kalajdzievski 2023).
    RankRoot,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LoraVariant {
    Plain,
    /// Magnitude and direction apart: DoRA (Liu et al. 2024).
    Dora,
    /// Ranks that move to where they matter: AdaLoRA (Zhang et al. 2023).
    Adaptive(AdaptiveRanks),
}

/// AdaLoRA's budget of ranks and when it shrinks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveRanks {
    /// Mean rank of an adapted product when the budget has shrunk; `rank_per_block` is the rank it starts with.
    pub target_rank: usize,
    /// Steps before the budget starts to shrink.
    pub warmup_steps: u32,
    /// Steps at which it has reached its target.
    pub final_step: u32,
    /// Weight of the penalty that keeps `A`'s rows and `B`'s columns orthogonal.
    pub orthogonality: f64,
}

/// Bottlenecks between the layers of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// Width of the bottleneck in each block; 0 for none.
    pub bottleneck_per_block: Vec<usize>,
    pub placement: AdapterPlacement,
    pub activation: Activation,
    /// Factor of the adapter's output.
    pub scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterPlacement {
    /// After attention and after the feed-forward layer, each before its residual sum (Houlsby et al. 2019).
    Houlsby,
    /// After the feed-forward layer only (Pfeiffer et al. 2021).
    Pfeiffer,
    /// Beside the feed-forward layer, reading its input (He et al. 2022).
    Parallel,
}

/// Trainable keys and values before those of the sequence (Li and Liang 2021), without their re-parametrisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixConfig {
    /// In each block; 0 for none. In decoder blocks of an encoder-decoder, of the self-attention.
    pub tokens_per_block: Vec<usize>,
}

/// Trainable rows before the embedded sequence (Lester et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptConfig {
    pub tokens: usize,
}

/// Factors on keys, values and the inner activations of the feed-forward layer (Liu et al. 2022).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ia3Config {
    /// Whether a block has them.
    pub blocks: Vec<bool>,
}

/// Some of the model's own parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectiveConfig {
    pub selection: Selection,
    /// Whether a block takes part.
    pub blocks: Vec<bool>,
    /// Whether the embedding and the norms outside the blocks take part.
    pub outside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every bias, those of norms included: BitFit (Ben Zaken et al. 2022).
    Biases,
    /// Gains and shifts of norms.
    Norms,
    Everything,
}
