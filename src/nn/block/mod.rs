//! One transformer block of any family: attention, a decoder's attention to its encoder, feed-forward layer.
//!
//! Families differ in data, not in code: where the norm stands, what kind it is, whether the attention is causal or
//! grouped, how positions enter, whether the feed-forward layer is gated. With sub-layers `S`:
//! post-norm (Devlin et al. 2018) `x <- norm(x + S(x))`, pre-norm (Radford et al. 2019) `x <- x + S(norm(x))`.
//!
//! `attention.rs`, `cross_attention.rs` and `feed_forward.rs` hold the sub-layers, forward and backward through frozen
//! weights; `sliced.rs` what a channel does to the sums of a block that devices hold in slices.

mod attention;
mod cross_attention;
mod feed_forward;
mod sliced;

pub(super) use attention::Attention;
pub(super) use cross_attention::CrossAttention;
pub(super) use feed_forward::FeedForward;

use super::slots::BlockSlots;
use super::sum_channel::BlockChannel;
use super::workspace::{AdapterMemory, BlockCache, Scratch};
use crate::backend::{
    Adapted, AdaptedGradient, AdapterSlot, Backend, Dropout, Epilogue, GradientEpilogue, Linear, LinearCache,
    LinearSlots, Packing, Trainable,
};

/// The frozen weights of a block.
pub(super) struct Block<B: Backend> {
    /// Whether norms stand before their sub-layers.
    pub pre_norm: bool,
    pub attention: Attention<B>,
    pub cross: Option<CrossAttention<B>>,
    pub ffn: FeedForward<B>,
}

/// What all operations of a pass share.
pub(super) struct Context<'a, B: Backend> {
    pub backend: &'a B,
    pub packing: &'a Packing,
    pub trainable: Trainable<'a, B>,
    pub dropout: Option<&'a Dropout>,
    /// What forms the block's sums where devices hold it in slices.
    pub channel: Option<BlockChannel<'a, B>>,
    /// What a decoder's blocks attend to.
    pub memory: Option<Memory<'a, B>>,
    /// Which product's frozen part is in its buffer already.
    pub begun: Option<Product>,
    pub hidden_width: usize,
}

/// The first product of a block, or of what is left of it behind its attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    QueryKeyValue,
    FeedForward,
}

/// The output of an encoder.
pub(super) struct Memory<'a, B: Backend> {
    pub packing: &'a Packing,
    pub hidden: &'a B::Buffer,
    pub dropout: Option<&'a Dropout>,
}

/// What a backward pass writes.
pub(super) struct Gradients<'a, B: Backend> {
    /// Of the trainable parameters, one set a client; added to.
    pub parameters: &'a mut B::Buffer,
    /// Of the hidden states: the output's going in, the input's coming out.
    pub hidden: &'a mut B::Buffer,
    /// Of the encoder's output, added to; `None` where nothing trains there.
    pub memory: Option<&'a mut B::Buffer>,
}

impl<B: Backend> Context<'_, B> {
    /// Values of one buffer of hidden states.
    fn len(&self) -> usize {
        self.packing.rows() * self.hidden_width
    }

    fn linear(
        &self,
        x: &B::Buffer,
        layer: &Linear<B>,
        (slots, cache): (&LinearSlots, &mut LinearCache<B>),
        epilogue: Epilogue<'_, B>,
        y: &mut B::Buffer,
    ) {
        let adapted = Adapted { slots, trainable: self.trainable, dropout: self.dropout, cache };
        self.backend.linear(self.packing, x, layer, adapted, epilogue, y);
    }

    /// As [`Context::linear`] for the given product, whose frozen part may be there already.
    fn first_linear(
        &self,
        product: Product,
        x: &B::Buffer,
        layer: &Linear<B>,
        (slots, cache): (&LinearSlots, &mut LinearCache<B>),
        epilogue: Epilogue<'_, B>,
        y: &mut B::Buffer,
    ) {
        if self.begun != Some(product) {
            return self.linear(x, layer, (slots, cache), epilogue, y);
        }
        let adapted = Adapted { slots, trainable: self.trainable, dropout: self.dropout, cache };
        self.backend.linear_from_product(self.packing, x, layer, adapted, epilogue, y);
    }

    #[allow(clippy::too_many_arguments)]
    fn linear_gradient(
        &self,
        dy: &B::Buffer,
        layer: &Linear<B>,
        (slots, cache, x): (&LinearSlots, &LinearCache<B>, &B::Buffer),
        (scratch, gradient): (&mut B::Buffer, &mut B::Buffer),
        epilogue: GradientEpilogue<'_, B>,
        dx: &mut B::Buffer,
    ) {
        let (trainable, dropout) = (self.trainable, self.dropout);
        let adapted = AdaptedGradient { slots, trainable, dropout, cache, x, scratch, gradient };
        self.backend.linear_gradient(self.packing, dy, layer, adapted, epilogue, dx);
    }

    /// An adapter in series: `y <- y + adapter(y)`.
    fn adapt(&self, slot: AdapterSlot, memory: &mut AdapterMemory<B>, y: &mut B::Buffer) {
        self.backend.copy(y, self.len(), &mut memory.input);
        self.backend.adapter(self.packing, &memory.input, slot, self.trainable, &mut memory.cache, y);
    }

    /// The gradient of what [`Context::adapt`] was given: `dy` and what comes back through the bottleneck.
    fn adapt_gradient(
        &self,
        slot: AdapterSlot,
        memory: &AdapterMemory<B>,
        dy: &B::Buffer,
        (scratch, gradient): (&mut B::Buffer, &mut B::Buffer),
        dx: &mut B::Buffer,
    ) {
        self.backend.copy(dy, self.len(), dx);
        let (packing, trainable) = (self.packing, self.trainable);
        let AdapterMemory { input, cache } = memory;
        self.backend.adapter_gradient(packing, dy, input, slot, trainable, cache, scratch, gradient, Some(dx));
    }
}

#[allow(clippy::too_many_arguments)]
impl<B: Backend> Block<B> {
    /// Turns the block's input in `hidden`, or with `attended` what [`Block::attend`] left there, into its output. With
    /// `keep`, `cache` is filled for [`Block::backward`].
    pub fn forward(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut BlockCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        attended: bool,
        hidden: &mut B::Buffer,
    ) {
        if !attended {
            self.attend(context, slots, cache, scratch, keep, hidden);
        }
        let c = cache;
        if self.pre_norm {
            if let Some(cross) = &self.cross {
                cross.forward(context, &slots.cross, slots.cross_adapter, &mut c.cross, scratch, keep, hidden);
            }
            self.ffn.forward_pre(context, slots, &mut c.ffn, scratch, keep, hidden);
        } else {
            std::mem::swap(&mut c.middle, hidden);
            self.ffn.forward_post(context, slots, &mut c.ffn, scratch, keep, &c.middle, hidden);
        }
    }

    /// The block's attention to its own stack alone, with its residual sum and norm.
    pub fn attend(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut BlockCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        hidden: &mut B::Buffer,
    ) {
        let (c, own, adapter) = (cache, &slots.attention, slots.attention_adapter);
        if self.pre_norm {
            self.attention.forward_pre(context, own, adapter, &mut c.attention, scratch, keep, hidden);
        } else {
            std::mem::swap(&mut c.input, hidden);
            self.attention.forward_post(
                context,
                own,
                adapter,
                &mut c.attention,
                scratch,
                keep,
                &c.input,
                &mut c.middle,
            );
            std::mem::swap(&mut c.middle, hidden);
        }
    }

    /// The frozen part of the first product of [`Block::forward`], from the same `hidden`; returns whether the backend
    /// has that apart. `keep` and `attended` are those of the forward pass.
    pub fn begin(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut BlockCache<B>,
        scratch: &mut Scratch<B>,
        (keep, attended): (bool, bool),
        hidden: &B::Buffer,
    ) -> bool {
        let (norm, norm_slots, layer) = match attended {
            false => (&self.attention.norm, slots.attention.norm, &self.attention.qkv),
            true => (&self.ffn.norm, slots.ffn_norm, &self.ffn.up),
        };
        let Context { backend, packing, trainable, .. } = *context;
        if !self.pre_norm {
            let (_, y) = self.product(slots, cache, scratch, (keep, attended));
            return backend.frozen_product(packing.rows(), hidden, layer, y);
        }
        let mut normed = std::mem::take(&mut scratch.narrow);
        backend.norm(packing, hidden, None, norm, norm_slots, trainable, &mut normed, None);
        let (_, y) = self.product(slots, cache, scratch, (keep, attended));
        let begun = backend.frozen_product(packing.rows(), &normed, layer, y);
        scratch.narrow = normed;
        begun
    }

    /// Which product [`Block::begin`] begins, and where it lies.
    pub fn product<'a>(
        &self,
        slots: &BlockSlots,
        cache: &'a mut BlockCache<B>,
        scratch: &'a mut Scratch<B>,
        (keep, attended): (bool, bool),
    ) -> (Product, &'a mut B::Buffer) {
        match attended {
            false => (Product::QueryKeyValue, &mut cache.attention.qkv),
            true => (Product::FeedForward, self.ffn.product(slots, &mut cache.ffn, &mut scratch.wide, keep)),
        }
    }

    /// Columns of that product.
    pub fn product_width(&self, attended: bool) -> usize {
        if attended { self.ffn.up.outputs } else { self.attention.qkv.outputs }
    }

    /// Whether every trainable tensor acts behind the block's attention.
    pub fn attention_is_frozen(&self, slots: &BlockSlots) -> bool {
        self.cross.is_none() && slots.attention.is_frozen() && slots.attention_adapter.is_none()
    }

    /// Whether that product has a frozen part of a frozen input.
    pub fn product_is_frozen(&self, slots: &BlockSlots, attended: bool) -> bool {
        let (norm, layer) = match attended {
            false => (slots.attention.norm, &slots.attention.qkv),
            true => (slots.ffn_norm, &slots.ffn_up),
        };
        let own_input = self.pre_norm && !norm.is_frozen();
        !own_input && layer.weight.is_none() && layer.lora.iter().all(|term| term.magnitude.is_none())
    }

    /// Turns the gradient of the block's output into the input's, and adds to the trainable parameters' gradient.
    ///
    /// Without `input_wanted` it stops at the lowest trainable tensor, and `gradients.hidden` is left unspecified.
    pub fn backward(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &BlockCache<B>,
        scratch: &mut Scratch<B>,
        input_wanted: bool,
        gradients: Gradients<'_, B>,
    ) {
        let Gradients { parameters, hidden, memory } = gradients;
        let attention_trains = !slots.attention.is_frozen() || slots.attention_adapter.is_some();
        let below_cross = input_wanted || attention_trains;
        let memory_wanted = memory.is_some();
        let below_ffn = below_cross || memory_wanted || !slots.cross.is_frozen() || slots.cross_adapter.is_some();
        let adapter = slots.attention_adapter;
        if self.pre_norm {
            self.ffn.backward_pre(context, slots, &cache.ffn, scratch, below_ffn, parameters, hidden);
            if !below_ffn {
                return;
            }
            if let Some(cross) = &self.cross {
                let (slots, adapter) = (&slots.cross, slots.cross_adapter);
                cross.backward(context, slots, adapter, &cache.cross, scratch, below_cross, parameters, hidden, memory);
            }
            if below_cross {
                let c = &cache.attention;
                self.attention.backward_pre(
                    context,
                    &slots.attention,
                    adapter,
                    c,
                    scratch,
                    input_wanted,
                    parameters,
                    hidden,
                );
            }
        } else {
            let (ffn, middle) = (&cache.ffn, &cache.middle);
            self.ffn.backward_post(context, slots, ffn, scratch, below_ffn, middle, parameters, hidden);
            if below_ffn {
                let (c, input) = (&cache.attention, &cache.input);
                self.attention.backward_post(
                    context,
                    &slots.attention,
                    adapter,
                    c,
                    scratch,
                    input_wanted,
                    input,
                    parameters,
                    hidden,
                );
            }
        }
    }
}
