//! What PEFT methods add and train, in plain numbers.
//!
//! Every method gives a [`PeftShape`]; methods together give the sum of theirs ([`PeftShape::combine`]). The formulas,
//! with the papers they come from, are in `docs/compute.md`.

use super::low_rank;
use super::stage::{ByStage, Stage};
use crate::fomo::architecture::Architecture;
use crate::fomo::projection::Projection;

/// What PEFT does to one block. All zero leaves the block frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockPeft {
    /// Parameters that train, added or the block's own.
    pub trainable: u64,
    /// Parameters that come on top of the block's own.
    pub added: u64,
    /// What each of the block's tokens costs on top.
    pub per_token: Rates,
    /// What each token of the encoder's output costs on top, where a decoder block attends to it.
    pub per_source_token: Rates,
    /// FLOPs of a forward pass whatever the number of tokens.
    pub flops_per_pass: f64,
    /// Frozen weights that a forward pass reads once more.
    pub weights_per_pass: u64,
    /// Keys and values that every sequence finds before its own.
    pub prefix_tokens: u64,
    /// Added operations.
    pub kernels: u32,
    /// Whether the block's own weight matrices train, so that each needs a second product backward.
    pub trains_weights: bool,
    /// Where the lowest of what trains stands: backward goes no deeper into the lowest trainable block.
    pub lowest: Stage,
    /// FLOPs a token of the gradients of what added products read, where these stand; part of `per_token`.
    pub input_flops: ByStage<f64>,
    /// The same, a token of the encoder's output.
    pub source_input_flops: f64,
    /// Of the numbers kept for backward, those that passes which hold the inputs of all products of hidden states keep anyway: a
    /// token, and a token of the encoder's output.
    pub shared_inputs: [u64; 2],
}

/// Costs in proportion to tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// FLOPs of added products forward; as many for each of their two gradients.
    pub flops: f64,
    /// Numbers that added operations read and write forward; as many on the way back.
    pub elements: u64,
    /// Numbers that sums over tokens read for the gradients of vectors: biases, norms, factors.
    pub reduced: u64,
    /// Numbers kept for backward.
    pub stored: u64,
}

/// What PEFT does to a model. The linear head of a classification or regression trains always.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeftShape {
    /// One entry a block.
    pub blocks: Vec<BlockPeft>,
    /// Trainable rows before every embedded sequence.
    pub prompt_tokens: u64,
    /// Parameters of the embedding itself that train.
    pub embedding_trainable: u64,
    /// Parameters of the norm behind the last block that train.
    pub final_norm_trainable: u64,
    /// Whether the matrices outside the blocks train: the embedding's, and the output matrix of a language model.
    pub trains_outside: bool,
}

impl PeftShape {
    /// Every block frozen.
    pub fn head_only(architecture: &Architecture) -> Self {
        Self { blocks: vec![BlockPeft::default(); architecture.blocks()], ..Self::default() }
    }

    /// The same modules, of which those of the embedding and of the blocks below `split` do not train. A prompt would.
    pub fn frozen_below(mut self, split: usize) -> Self {
        for block in self.blocks.iter_mut().take(split) {
            (block.trainable, block.trains_weights, block.lowest) = (0, false, Stage::Input);
        }
        self.embedding_trainable = 0;
        self
    }

    /// LoRA of `ranks[i]` in block i (0 leaves it alone) beside `targets` (Hu et al. 2021).
    pub fn lora(architecture: &Architecture, ranks: &[usize], targets: &[Projection]) -> Self {
        low_rank::shape(architecture, ranks, targets, low_rank::Extra::None)
    }

    /// LoRA with a magnitude for each output of a target (Liu et al. 2024).
    pub fn dora(architecture: &Architecture, ranks: &[usize], targets: &[Projection]) -> Self {
        low_rank::shape(architecture, ranks, targets, low_rank::Extra::Magnitudes)
    }

    /// LoRA with a singular value for each rank, at the ranks that it starts with: a rank that is taken away keeps its
    /// place (Zhang et al. 2023).
    pub fn ada_lora(architecture: &Architecture, ranks: &[usize], targets: &[Projection]) -> Self {
        low_rank::shape(architecture, ranks, targets, low_rank::Extra::SingularValues)
    }

    /// What dropout before those pairs costs on top of any of the three.
    pub fn low_rank_dropout(architecture: &Architecture, ranks: &[usize], targets: &[Projection]) -> Self {
        low_rank::dropout(architecture, ranks, targets)
    }

    /// Bottlenecks of width `widths[i]` in block i (0 for none): one behind the feed-forward layer (Pfeiffer et al. 2021), and
    /// with `after_attention` one more behind every attention of the block (Houlsby et al. 2019). The gradient of what they
    /// read is charged even where nothing below needs it: it is one product with the residual sum's.
    pub fn adapters(architecture: &Architecture, widths: &[usize], after_attention: bool) -> Self {
        let hidden = architecture.hidden_size();
        let block = |(i, width): (usize, &usize)| {
            let width = *width as u64;
            if width == 0 {
                return BlockPeft::default();
            }
            let attentions = if architecture.has_cross_attention(i) { 2 } else { 1 };
            let adapters = if after_attention { 1 + attentions } else { 1 };
            let added = adapters * (2 * hidden * width + width + hidden);
            let per_token = Rates {
                flops: (adapters * 4 * hidden * width) as f64,
                // Down, nonlinearity, up, sum.
                elements: adapters * (4 * hidden + 4 * width),
                reduced: adapters * (hidden + width),
                stored: adapters * (hidden + 2 * width),
            };
            let lowest = if after_attention { Stage::AttentionAdapter } else { Stage::FfnAdapter };
            let kernels = 4 * adapters as u32;
            BlockPeft { trainable: added, added, per_token, kernels, lowest, ..BlockPeft::default() }
        };
        Self { blocks: widths.iter().enumerate().map(block).collect(), ..Self::default() }
    }

    /// Bottlenecks beside the feed-forward layers (He et al. 2022), which read what these read.
    pub fn parallel_adapters(architecture: &Architecture, widths: &[usize]) -> Self {
        let mut shape = Self::adapters(architecture, widths, false);
        for (block, width) in shape.blocks.iter_mut().zip(widths).filter(|(_, width)| **width > 0) {
            block.lowest = Stage::FfnDown;
            block.shared_inputs[0] += architecture.hidden_size();
            block.input_flops[Stage::FfnUp] = (2 * architecture.hidden_size() * *width as u64) as f64;
        }
        shape
    }

    /// `tokens[i]` trainable keys and values before those of block i's self-attention (Li and Liang 2021).
    pub fn prefix(architecture: &Architecture, tokens: &[usize]) -> Self {
        let block = |tokens: &usize| {
            let prefix_tokens = *tokens as u64;
            let added = 2 * prefix_tokens * architecture.key_size();
            let lowest = Stage::KeysAndValues;
            BlockPeft { trainable: added, added, prefix_tokens, lowest, ..BlockPeft::default() }
        };
        Self { blocks: tokens.iter().map(block).collect(), ..Self::default() }
    }

    /// `tokens` trainable rows before every embedded sequence, an encoder-decoder's encoder's (Lester et al. 2021). They
    /// make every sequence longer.
    pub fn prompt(architecture: &Architecture, tokens: usize) -> Self {
        Self { prompt_tokens: tokens as u64, ..Self::head_only(architecture) }
    }

    /// Factors on the keys and values of every attention and on the inner activations of the feed-forward layer, in the
    /// `chosen` blocks (Liu et al. 2022).
    pub fn ia3(architecture: &Architecture, chosen: &[bool]) -> Self {
        let scaled = |columns: u64| Rates { flops: 0.0, elements: 2 * columns, reduced: 2 * columns, stored: columns };
        let block = |(i, chosen): (usize, &bool)| {
            if !chosen {
                return BlockPeft::default();
            }
            let (keys_and_values, inner) = (2 * architecture.key_size(), architecture.ffn_size());
            let crossing = if architecture.has_cross_attention(i) { keys_and_values } else { 0 };
            let added = keys_and_values + inner + crossing;
            BlockPeft {
                trainable: added,
                added,
                per_token: scaled(keys_and_values + inner),
                per_source_token: scaled(crossing),
                kernels: if crossing > 0 { 5 } else { 3 },
                lowest: Stage::KeysAndValues,
                ..BlockPeft::default()
            }
        };
        Self { blocks: chosen.iter().enumerate().map(block).collect(), ..Self::default() }
    }

    /// Several methods at once.
    pub fn combine(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.into_iter().zip(other.blocks).map(|(a, b)| a.plus(b)).collect(),
            prompt_tokens: self.prompt_tokens + other.prompt_tokens,
            embedding_trainable: self.embedding_trainable + other.embedding_trainable,
            final_norm_trainable: self.final_norm_trainable + other.final_norm_trainable,
            trains_outside: self.trains_outside || other.trains_outside,
        }
    }
}

impl BlockPeft {
    fn plus(self, other: Self) -> Self {
        Self {
            trainable: self.trainable + other.trainable,
            added: self.added + other.added,
            per_token: self.per_token.plus(other.per_token),
            per_source_token: self.per_source_token.plus(other.per_source_token),
            flops_per_pass: self.flops_per_pass + other.flops_per_pass,
            weights_per_pass: self.weights_per_pass + other.weights_per_pass,
            prefix_tokens: self.prefix_tokens + other.prefix_tokens,
            kernels: self.kernels + other.kernels,
            trains_weights: self.trains_weights || other.trains_weights,
            lowest: match (self.trainable, other.trainable) {
                (_, 0) => self.lowest,
                (0, _) => other.lowest,
                _ => self.lowest.min(other.lowest),
            },
            input_flops: self.input_flops.zip(other.input_flops, |a, b| a + b),
            source_input_flops: self.source_input_flops + other.source_input_flops,
            shared_inputs: [0, 1].map(|i| self.shared_inputs[i] + other.shared_inputs[i]),
        }
    }
}

impl Rates {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            flops: self.flops + other.flops,
            elements: self.elements + other.elements,
            reduced: self.reduced + other.reduced,
            stored: self.stored + other.stored,
        }
    }
}
