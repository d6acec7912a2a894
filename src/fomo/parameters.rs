//! How many parameters a model has, part by part.
//!
//! The parts are those of the cost model: the embedding, the blocks between which a split point can lie, and what
//! follows the last block. [`Architecture::parameters`] adds them up to the figure that is published for the model.

use super::architecture::{Architecture, Family};

/// Classes of the head that published ViT totals include.
const IMAGENET_CLASSES: u64 = 1000;
/// Rows of RoBERTa's table of positions before that of the first token, for a padding index of 1 (Liu et al. 2019,
/// released code).
const ROBERTA_POSITION_OFFSET: usize = 2;

impl Family {
    /// Whether products and norms add a bias; T5 and Llama have none anywhere.
    pub fn has_biases(self) -> bool {
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
    pub fn has_cross_attention(&self, index: usize) -> bool {
        self.family == Family::T5 && index >= self.encoder_layers
    }

    /// Learned positions that a text can take; `None` where text has none.
    pub fn text_positions(&self) -> Option<usize> {
        match self.family {
            Family::Bert | Family::Gpt2 => Some(self.positions),
            Family::Roberta => Some(self.positions.saturating_sub(ROBERTA_POSITION_OFFSET)),
            Family::Llama | Family::T5 | Family::Vit => None,
        }
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

    /// Norms of block `index`, that which ends an encoder-decoder's encoder left out.
    pub(super) fn norms_of_block(&self, index: usize) -> u64 {
        if self.has_cross_attention(index) { 3 } else { 2 }
    }

    /// Biases of block `index`, the shifts of its norms included.
    pub(super) fn block_biases(&self, index: usize) -> u64 {
        let (h, q, k) = (self.hidden_size(), self.query_size(), self.key_size());
        let up_projections = if self.gated_ffn { 2 } else { 1 };
        let products = (q + 2 * k + h) + (up_projections * self.ffn_size() + h);
        self.biases(products + self.norms_of_block(index) * h)
    }

    /// The last encoder block of an encoder-decoder, behind which stands a norm.
    pub(super) fn last_encoder_block_of_two_stacks(&self) -> Option<usize> {
        if self.family == Family::T5 { self.encoder_layers.checked_sub(1) } else { None }
    }

    /// Whether block `index` is the first of the encoder or of the decoder.
    pub fn starts_stack(&self, index: usize) -> bool {
        index == 0 || index == self.encoder_layers
    }

    /// T5's table of relative position biases, which all blocks of a stack read and its first block holds.
    pub(super) fn relative_position_parameters(&self) -> u64 {
        (self.relative_positions.map_or(0, |r| r.buckets) * self.heads) as u64
    }

    /// Those of [`block_parameters`](Self::block_parameters) that are the block's alone: T5's relative position biases
    /// and the norm that ends its encoder count outside the blocks.
    pub(super) fn own_block_parameters(&self, index: usize) -> u64 {
        let own = 1 + u64::from(self.has_cross_attention(index));
        own * self.attention_parameters() + self.ffn_parameters() + self.norms_of_block(index) * self.norm_parameters()
    }

    /// The norm behind the tables; 0 for most families.
    pub(super) fn embedding_norm_parameters(&self) -> u64 {
        if self.family.normalises_embedding() { self.norm_parameters() } else { 0 }
    }

    /// Those of [`embedding_parameters`](Self::embedding_parameters) that fine-tuning can change: of positions and types
    /// only the rows that a text uses, and every text is of type 0.
    pub(super) fn learnable_embedding_parameters(&self) -> u64 {
        let unused_positions = self.text_positions().map_or(0, |used| self.positions - used);
        let unused = unused_positions + self.token_types.saturating_sub(1);
        self.embedding_parameters() - unused as u64 * self.hidden_size()
    }

    /// Token, position and type tables with their norm; for ViT the patch projection, class token and positions.
    pub fn embedding_parameters(&self) -> u64 {
        let h = self.hidden_size();
        let tables = (self.vocabulary + self.positions + self.token_types) as u64 * h;
        let patches = if self.image.is_some() { self.patch_size() * h + h + h } else { 0 };
        tables + patches + self.embedding_norm_parameters()
    }

    /// Block `index`, encoder first. T5's first block of each stack holds the stack's relative position bias, its last
    /// encoder block the norm that ends the encoder.
    ///
    /// # Panics
    /// If `index` is not below [`blocks`](Self::blocks).
    pub fn block_parameters(&self, index: usize) -> u64 {
        assert!(index < self.blocks(), "{} has no block {index}", self.name);
        let ends_encoder = self.last_encoder_block_of_two_stacks() == Some(index);
        let encoder_norm = if ends_encoder { self.norm_parameters() } else { 0 };
        let table = if self.starts_stack(index) { self.relative_position_parameters() } else { 0 };
        self.own_block_parameters(index) + table + encoder_norm
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
