//! Where the trainable tensors of each part of the model lie in a client's flat parameters.

use crate::backend::{AdapterSlot, EmbeddingSlots, HeadSlot, LinearSlots, NormSlots, PrefixSlot, ScaleSlot};

/// One block. The gate of a gated feed-forward layer comes before its other half in `ffn_up`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BlockSlots {
    pub attention: AttentionSlots,
    pub attention_adapter: Option<AdapterSlot>,
    /// Attention of a decoder to its encoder.
    pub cross: AttentionSlots,
    pub cross_adapter: Option<AdapterSlot>,
    pub ffn_norm: NormSlots,
    pub ffn_up: LinearSlots,
    pub ffn_scale: Option<ScaleSlot>,
    pub ffn_down: LinearSlots,
    /// After the feed-forward layer, before the residual sum.
    pub ffn_adapter: Option<AdapterSlot>,
    /// Beside the feed-forward layer: reads its input.
    pub ffn_parallel: Option<AdapterSlot>,
}

/// One attention and its norm.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AttentionSlots {
    pub norm: NormSlots,
    /// Queries, keys and values share one product; under cross-attention, queries only.
    pub qkv: LinearSlots,
    /// Keys and values of a cross-attention, which read the encoder.
    pub key_value: LinearSlots,
    pub key_scale: Option<ScaleSlot>,
    pub value_scale: Option<ScaleSlot>,
    pub prefix: Option<PrefixSlot>,
    /// The table of relative position biases, which all blocks of a stack share.
    pub bias_table: Option<usize>,
    pub output: LinearSlots,
}

impl AttentionSlots {
    pub fn is_frozen(&self) -> bool {
        *self == Self::default()
    }
}

/// What lies before the first block.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct InputSlots {
    /// ViT's projection of patches.
    pub patches: LinearSlots,
    pub embedding: EmbeddingSlots,
    pub norm: NormSlots,
}

/// What lies after the last block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OutputSlots {
    /// The last norm of a pre-norm model.
    pub norm: NormSlots,
    /// The last norm of an encoder-decoder's encoder.
    pub encoder_norm: NormSlots,
    pub head: HeadKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HeadKind {
    Linear(HeadSlot),
    /// Next-token prediction through the model's output matrix, or the client's own.
    NextToken {
        weight: Option<usize>,
        skip: usize,
    },
}
