//! The buffers of one pass, kept and reused from pass to pass.
//!
//! Shapes: `h` the hidden width, `q` and `k` those of all query and key heads, `f` the feed-forward layer's.

use crate::backend::{AdapterCache, Backend, LinearCache, NormCache};

/// What an attention's forward pass leaves for its backward pass.
pub(super) struct AttentionCache<B: Backend> {
    /// In pre-norm blocks, what the products read: `[rows, h]`.
    pub normed: B::Buffer,
    pub norm: NormCache<B>,
    /// `[rows, q + 2 k]`; under cross-attention `[rows, q]`.
    pub qkv: B::Buffer,
    /// Under cross-attention, `[encoder rows, 2 k]`.
    pub key_value: B::Buffer,
    /// Keys and values before (IA)3's factors.
    pub key_before: B::Buffer,
    pub value_before: B::Buffer,
    /// `[rows, q]` and `[rows, heads]`.
    pub context: B::Buffer,
    pub log_sum: B::Buffer,
    /// In a sliced block whose slices arrive with unequal gains, the context times these.
    pub weighed: B::Buffer,
    pub qkv_linear: LinearCache<B>,
    pub key_value_linear: LinearCache<B>,
    pub output_linear: LinearCache<B>,
    pub adapter: AdapterMemory<B>,
}

/// What a feed-forward layer's forward pass leaves for its backward pass.
pub(super) struct FeedForwardCache<B: Backend> {
    /// In pre-norm blocks, what the products read: `[rows, h]`.
    pub normed: B::Buffer,
    pub norm: NormCache<B>,
    /// Gate and its other half of a gated layer, `[rows, 2 f]`.
    pub pairs: B::Buffer,
    /// The activation's derivative, `[rows, f]`.
    pub derivative: B::Buffer,
    /// What `down` reads, `[rows, f]`: kept only where a trainable term reads it too.
    pub activated: B::Buffer,
    /// The activation before (IA)3's factors.
    pub before: B::Buffer,
    pub up_linear: LinearCache<B>,
    pub down_linear: LinearCache<B>,
    pub adapter: AdapterMemory<B>,
    pub parallel: AdapterCache<B>,
}

/// An adapter in series keeps its own input, because its output takes the input's place.
pub(super) struct AdapterMemory<B: Backend> {
    pub input: B::Buffer,
    pub cache: AdapterCache<B>,
}

/// What a block's forward pass leaves for its backward pass.
pub(super) struct BlockCache<B: Backend> {
    /// In post-norm blocks the block's input, `[rows, h]`.
    pub input: B::Buffer,
    pub attention: AttentionCache<B>,
    pub cross: AttentionCache<B>,
    /// In post-norm blocks the feed-forward layer's input, `[rows, h]`.
    pub middle: B::Buffer,
    pub ffn: FeedForwardCache<B>,
}

/// Values that live no longer than one block.
pub(super) struct Scratch<B: Backend> {
    /// `[rows, h]` or `[rows, q]`.
    pub narrow: B::Buffer,
    /// `[rows, f]`.
    pub wide: B::Buffer,
    /// `[rows, 2 f]`.
    pub pairs: B::Buffer,
    /// `[rows, q + 2 k]`.
    pub qkv: B::Buffer,
    /// `[encoder rows, 2 k]`.
    pub key_value: B::Buffer,
    /// Gradient of a sub-layer's output, `[rows, h]`.
    pub output: B::Buffer,
    /// In a sliced block a sum as it was heard, `[rows, h]`, before it joins what is there.
    pub heard: B::Buffer,
    pub linear: B::Buffer,
    pub adapter: B::Buffer,
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
    /// Output of an encoder-decoder's encoder, and its gradient: `[encoder rows, h]`.
    pub memory: B::Buffer,
    pub d_memory: B::Buffer,
    /// One cache for each block that will be differentiated.
    pub blocks: Vec<BlockCache<B>>,
    /// Stands in for the cache of a block that will not.
    pub shared: BlockCache<B>,
    pub patches: LinearCache<B>,
    /// Pixels and projected patches of images.
    pub pixels: B::Buffer,
    pub projected: B::Buffer,
    pub embedding_norm: NormCache<B>,
    pub encoder_norm: NormCache<B>,
    pub final_norm: NormCache<B>,
    pub scratch: Scratch<B>,
}

impl<B: Backend> Default for AttentionCache<B> {
    fn default() -> Self {
        let new = B::Buffer::default;
        Self {
            normed: new(),
            norm: NormCache::default(),
            qkv: new(),
            key_value: new(),
            key_before: new(),
            value_before: new(),
            context: new(),
            log_sum: new(),
            weighed: new(),
            qkv_linear: LinearCache::default(),
            key_value_linear: LinearCache::default(),
            output_linear: LinearCache::default(),
            adapter: AdapterMemory::default(),
        }
    }
}

impl<B: Backend> Default for FeedForwardCache<B> {
    fn default() -> Self {
        let new = B::Buffer::default;
        Self {
            normed: new(),
            norm: NormCache::default(),
            pairs: new(),
            derivative: new(),
            activated: new(),
            before: new(),
            up_linear: LinearCache::default(),
            down_linear: LinearCache::default(),
            adapter: AdapterMemory::default(),
            parallel: AdapterCache::default(),
        }
    }
}

impl<B: Backend> Default for AdapterMemory<B> {
    fn default() -> Self {
        Self { input: B::Buffer::default(), cache: AdapterCache::default() }
    }
}

impl<B: Backend> Default for BlockCache<B> {
    fn default() -> Self {
        let new = B::Buffer::default;
        let (attention, cross) = (AttentionCache::default(), AttentionCache::default());
        Self { input: new(), attention, cross, middle: new(), ffn: FeedForwardCache::default() }
    }
}

impl<B: Backend> Workspace<B> {
    pub fn new(blocks: usize) -> Self {
        let new = B::Buffer::default;
        Self {
            parameters: new(),
            gradient: new(),
            hidden: new(),
            d_hidden: new(),
            memory: new(),
            d_memory: new(),
            blocks: (0..blocks).map(|_| BlockCache::default()).collect(),
            shared: BlockCache::default(),
            patches: LinearCache::default(),
            pixels: new(),
            projected: new(),
            embedding_norm: NormCache::default(),
            encoder_norm: NormCache::default(),
            final_norm: NormCache::default(),
            scratch: Scratch {
                narrow: new(),
                wide: new(),
                pairs: new(),
                qkv: new(),
                key_value: new(),
                output: new(),
                heard: new(),
                linear: new(),
                adapter: new(),
            },
        }
    }
}
