//! Training some of a model's own parameters, or all.
//!
//! Gradients of biases and norms are sums over tokens of what backward computes anyway; gradients of matrices need a
//! product each. What all blocks of a stack share counts where it is stored: T5's relative position biases in the
//! stack's first block. Rows of tables that no text uses stay frozen: RoBERTa's first two positions, token types beyond
//! the first.

use super::peft_shape::{BlockPeft, PeftShape, Rates};
use super::stage::Stage;
use crate::fomo::architecture::Architecture;

impl PeftShape {
    /// Every bias of the `chosen` blocks, those of norms included; with `outside` also of the embedding and of the norm
    /// behind the last block (Ben Zaken et al. 2022).
    pub fn biases(architecture: &Architecture, chosen: &[bool], outside: bool) -> Self {
        let (a, has) = (architecture, architecture.family.has_biases());
        let final_shift = if a.family.has_final_norm() { a.hidden_size() } else { 0 };
        let embedding = if a.image.is_some() || a.family.normalises_embedding() { a.hidden_size() } else { 0 };
        Self {
            blocks: blocks(chosen, |i| vectors(a.block_biases(i), Stage::lowest_of(a.family))),
            embedding_trainable: if has && outside { embedding } else { 0 },
            final_norm_trainable: if has && outside { final_shift } else { 0 },
            ..Self::default()
        }
    }

    /// Gains and shifts of the norms of the `chosen` blocks; with `outside` also of the embedding's norm, of the one behind
    /// the last block, and of the one that ends an encoder-decoder's encoder.
    pub fn norms(architecture: &Architecture, chosen: &[bool], outside: bool) -> Self {
        let a = architecture;
        let mut shape = Self {
            blocks: blocks(chosen, |i| {
                vectors(a.norms_of_block(i) * a.norm_parameters(), Stage::lowest_norm_of(a.family))
            }),
            embedding_trainable: if outside { a.embedding_norm_parameters() } else { 0 },
            final_norm_trainable: if outside { a.final_norm_parameters() } else { 0 },
            ..Self::default()
        };
        shape.train_encoder_norm(a, outside);
        shape
    }

    /// All parameters of the `chosen` blocks; with `outside` also of the embedding, of the norms outside the blocks, of a
    /// language model's output matrix and of the relative position biases that the blocks of a stack share.
    pub fn weights(architecture: &Architecture, chosen: &[bool], outside: bool) -> Self {
        let a = architecture;
        let block = |i| BlockPeft {
            trainable: a.own_block_parameters(i),
            trains_weights: true,
            ..vectors(a.block_biases(i) + a.norms_of_block(i) * a.hidden_size(), Stage::lowest_of(a.family))
        };
        let mut shape = Self {
            blocks: blocks(chosen, block),
            embedding_trainable: if outside { a.learnable_embedding_parameters() } else { 0 },
            final_norm_trainable: if outside { a.final_norm_parameters() } else { 0 },
            trains_outside: outside,
            ..Self::default()
        };
        shape.train_encoder_norm(a, outside);
        if outside {
            shape.train_relative_positions(a);
        }
        shape
    }

    /// Everything that can train, nothing added.
    pub fn full(architecture: &Architecture) -> Self {
        Self::weights(architecture, &vec![true; architecture.blocks()], true)
    }

    /// The norm that ends an encoder-decoder's encoder runs in the encoder's last block.
    fn train_encoder_norm(&mut self, a: &Architecture, outside: bool) {
        if outside && let Some(last) = a.last_encoder_block_of_two_stacks() {
            let block = &mut self.blocks[last];
            if block.trainable == 0 {
                block.lowest = Stage::EncoderNorm;
            }
            block.trainable += a.norm_parameters();
        }
    }

    /// The table of a stack is stored with its first block; its gradient comes from the scores of all.
    fn train_relative_positions(&mut self, a: &Architecture) {
        if a.relative_positions.is_none() {
            return;
        }
        for (_, block) in self.blocks.iter_mut().enumerate().filter(|(i, _)| a.starts_stack(*i)) {
            if block.trainable == 0 || block.lowest > Stage::KeysAndValues {
                block.lowest = Stage::KeysAndValues;
            }
            block.trainable += a.relative_position_parameters();
        }
    }
}

fn blocks(chosen: &[bool], shape: impl Fn(usize) -> BlockPeft) -> Vec<BlockPeft> {
    chosen.iter().enumerate().map(|(i, yes)| if *yes { shape(i) } else { BlockPeft::default() }).collect()
}

/// Biases and norms of the block's own: each token contributes to the gradient of each number.
fn vectors(trainable: u64, lowest: Stage) -> BlockPeft {
    let per_token = Rates { reduced: trainable, ..Rates::default() };
    BlockPeft { trainable, per_token, lowest, ..BlockPeft::default() }
}
