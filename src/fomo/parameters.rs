//! How many parameters a model has, part by part.
//!
//! The parts are those of the cost model: the embedding, the blocks between which a split point can lie, and what
//! follows the last block. [`Architecture::parameters`] adds them up to the figure that is published for the model.

use super::architecture::{Architecture, Family};

/// Buckets of T5's relative position bias (Raffel et al. 2020, section 2.1).
const RELATIVE_POSITION_BUCKETS: u64 = 32;
/// Classes of the head that published ViT totals include.
const IMAGENET_CLASSES: u64 = 1000;

impl Family {
    /// Whether products and norms add a bias; T5 and Llama have none anywhere.
    pub(super) fn has_biases(self) -> bool {
        !matches!(self, Self::T5 | Self::Llama)
    }

    /// Whether the embedding's sum is normalised before the first block.
    pub(super) fn normalises_embedding(self) -> bool {
        matches!(self, Self::Bert | Self::Roberta)
    }

    /// Whether the last block is followed by a norm, as in every pre-LN model.
    pub(super) fn has_final_norm(self) -> bool {
        !self.normalises_embedding()
    }
}

/// Sizes as `u64`, since products of a few of them pass 32 bits.
impl Architecture {
    pub(super) fn hidden_size(&self) -> u64 {
        self.hidden as u64
    }

    /// Width of all query heads together.
    pub(super) fn query_size(&self) -> u64 {
        (self.heads * self.head_dim) as u64
    }

    /// Width of all key heads together; the values' is the same.
    pub(super) fn key_size(&self) -> u64 {
        (self.kv_heads * self.head_dim) as u64
    }

    pub(super) fn ffn_size(&self) -> u64 {
        self.ffn as u64
    }

    pub(super) fn vocabulary_size(&self) -> u64 {
        self.vocabulary as u64
    }

    /// Numbers in one image patch; 0 without images.
    pub(super) fn patch_size(&self) -> u64 {
        self.image.map_or(0, |i| (i.channels * i.patch_px * i.patch_px) as u64)
    }

    /// Whether block `index` (encoder first) attends to the encoder's output.
    pub(super) fn has_cross_attention(&self, index: usize) -> bool {
        self.family == Family::T5 && index >= self.encoder_layers
    }

    /// Tokens of one image, the class token included; `None` without images.
    pub fn image_tokens(&self) -> Option<usize> {
        self.image.map(|i| (i.side_px / i.patch_px).pow(2) + 1)
    }
}

impl Architecture {
    fn biases(&self, outputs: u64) -> u64 {
        if self.family.has_biases() { outputs } else { 0 }
    }

    /// One LayerNorm (scale and shift) or RMSNorm (scale).
    pub(super) fn norm_parameters(&self) -> u64 {
        self.hidden_size() + self.biases(self.hidden_size())
    }

    fn attention_parameters(&self) -> u64 {
        let (h, q, k) = (self.hidden_size(), self.query_size(), self.key_size());
        2 * h * q + 2 * h * k + self.biases(q + 2 * k + h)
    }

    fn ffn_parameters(&self) -> u64 {
        let (h, f) = (self.hidden_size(), self.ffn_size());
        let up_projections = if self.gated_ffn { 2 } else { 1 };
        (up_projections + 1) * h * f + self.biases(up_projections * f + h)
    }

    /// Token, position and type tables with their norm; for ViT the patch projection, class token and positions.
    pub fn embedding_parameters(&self) -> u64 {
        let h = self.hidden_size();
        let tables = (self.vocabulary + self.positions + self.token_types) as u64 * h;
        let patches = if self.image.is_some() { self.patch_size() * h + h + h } else { 0 };
        let norm = if self.family.normalises_embedding() { self.norm_parameters() } else { 0 };
        tables + patches + norm
    }

    /// Block `index`, encoder first. T5's first block of each stack holds the stack's relative position bias, its last
    /// encoder block the norm that ends the encoder.
    ///
    /// # Panics
    /// If `index` is not below [`blocks`](Self::blocks).
    pub fn block_parameters(&self, index: usize) -> u64 {
        assert!(index < self.blocks(), "{} has no block {index}", self.name);
        let mut parameters = self.attention_parameters() + self.ffn_parameters() + 2 * self.norm_parameters();
        if self.has_cross_attention(index) {
            parameters += self.attention_parameters() + self.norm_parameters();
        }
        if self.family == Family::T5 {
            if index == 0 || index == self.encoder_layers {
                parameters += RELATIVE_POSITION_BUCKETS * self.heads as u64;
            }
            if index + 1 == self.encoder_layers {
                parameters += self.norm_parameters();
            }
        }
        parameters
    }

    /// The norm behind the last block of a pre-LN model; 0 for post-LN ones.
    pub fn final_norm_parameters(&self) -> u64 {
        if self.family.has_final_norm() { self.norm_parameters() } else { 0 }
    }

    /// What the published total counts behind the final norm: BERT's and RoBERTa's pooler, a language model's output
    /// projection where it is not tied, ViT's ImageNet classifier.
    pub fn published_head_parameters(&self) -> u64 {
        let h = self.hidden_size();
        match self.family {
            Family::Bert | Family::Roberta => h * h + h,
            Family::Vit => IMAGENET_CLASSES * h + IMAGENET_CLASSES,
            Family::Gpt2 | Family::Llama | Family::T5 if self.tied_output => 0,
            Family::Gpt2 | Family::Llama | Family::T5 => self.vocabulary_size() * h,
        }
    }

    /// The published total: embedding, blocks, final norm and [`published_head_parameters`](Self::published_head_parameters).
    /// Tied matrices count once.
    pub fn parameters(&self) -> u64 {
        let blocks: u64 = (0..self.blocks()).map(|i| self.block_parameters(i)).sum();
        self.embedding_parameters() + blocks + self.final_norm_parameters() + self.published_head_parameters()
    }
}
