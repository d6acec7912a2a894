//! The buffers of one pass, kept and reused from pass to pass.

use crate::backend::{Backend, NormCache};

/// What a block's forward pass leaves for its backward pass. Shapes: `h` the hidden width, `f` the FFN's.
pub(super) struct BlockCache<B: Backend> {
    /// The block's input, `[rows, h]`.
    pub input: B::Buffer,
    /// `[rows, 3 h]`.
    pub qkv: B::Buffer,
    /// `[rows, h]` and `[rows, heads]`.
    pub context: B::Buffer,
    pub log_sum: B::Buffer,
    pub attention_norm: NormCache<B>,
    /// After the attention's norm, `[rows, h]`.
    pub middle: B::Buffer,
    /// The activation's derivative, `[rows, f]`.
    pub derivative: B::Buffer,
    /// The activation itself, `[rows, f]`: only where a trainable term reads it.
    pub activated: B::Buffer,
    pub ffn_norm: NormCache<B>,
    pub reduced: Reduced<B>,
}

/// Inner values `x A^T` of the low-rank terms of each product.
pub(super) struct Reduced<B: Backend> {
    pub qkv: B::Buffer,
    pub attention_output: B::Buffer,
    pub ffn_up: B::Buffer,
    pub ffn_down: B::Buffer,
}

impl<B: Backend> Default for BlockCache<B> {
    fn default() -> Self {
        let new = B::Buffer::default;
        Self {
            input: new(),
            qkv: new(),
            context: new(),
            log_sum: new(),
            attention_norm: NormCache::default(),
            middle: new(),
            derivative: new(),
            activated: new(),
            ffn_norm: NormCache::default(),
            reduced: Reduced { qkv: new(), attention_output: new(), ffn_up: new(), ffn_down: new() },
        }
    }
}

/// Values that live no longer than one block.
pub(super) struct Scratch<B: Backend> {
    /// `[rows, h]`.
    pub narrow: B::Buffer,
    /// `[rows, f]`.
    pub wide: B::Buffer,
    /// `[rows, 3 h]`.
    pub qkv: B::Buffer,
    pub reduced: B::Buffer,
}

/// Everything that a pass writes.
pub(super) struct Workspace<B: Backend> {
    /// Trainable parameters, one set a client.
    pub parameters: B::Buffer,
    /// Their gradient.
    pub gradient: B::Buffer,
    /// The current hidden states, `[rows, h]`.
    pub hidden: B::Buffer,
    /// The current gradient of the hidden states.
    pub d_hidden: B::Buffer,
    /// One cache for each block that will be differentiated.
    pub blocks: Vec<BlockCache<B>>,
    /// Stands in for the cache of a block that will not.
    pub shared: BlockCache<B>,
    pub scratch: Scratch<B>,
}

impl<B: Backend> Workspace<B> {
    pub fn new(blocks: usize) -> Self {
        let new = B::Buffer::default;
        Self {
            parameters: new(),
            gradient: new(),
            hidden: new(),
            d_hidden: new(),
            blocks: (0..blocks).map(|_| BlockCache::default()).collect(),
            shared: BlockCache::default(),
            scratch: Scratch { narrow: new(), wide: new(), qkv: new(), reduced: new() },
        }
    }
}
