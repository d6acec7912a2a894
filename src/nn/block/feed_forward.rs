//! The feed-forward layer as a sub-layer: `W2 act(W1 x)`, or gated `W2 (act(Wg x) * W1 x)` (Shazeer 2020).

use super::{Context, Product};
use crate::backend::{Activation, Backend, Epilogue, GradientEpilogue, Linear, Norm};
use crate::nn::slots::BlockSlots;
use crate::nn::sum_channel::{SlicedInput, Sum};
use crate::nn::workspace::{FeedForwardCache, Scratch};

/// Frozen weights; in a gated layer `up` holds the gate and then its other half.
pub(in crate::nn) struct FeedForward<B: Backend> {
    pub norm: Norm<B>,
    pub up: Linear<B>,
    pub down: Linear<B>,
    pub activation: Activation,
    pub gated: bool,
    /// Inner width.
    pub width: usize,
}

#[allow(clippy::too_many_arguments)]
impl<B: Backend> FeedForward<B> {
    /// From `x` to `y`: written, or added to what is there.
    fn forward(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut FeedForwardCache<B>,
        (x, wide): (&B::Buffer, &mut B::Buffer),
        keep: bool,
        epilogue: Epilogue<'_, B>,
        y: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let c = cache;
        let activated = if keep && slots.ffn_down.reads_input() { &mut c.activated } else { wide };
        let linear = (&slots.ffn_up, &mut c.up_linear);
        if self.gated {
            context.first_linear(Product::FeedForward, x, &self.up, linear, Epilogue::None, &mut c.pairs);
            backend.gate(packing, &c.pairs, self.width, self.activation, activated);
        } else {
            let derivative = keep.then_some(&mut c.derivative);
            let epilogue = Epilogue::Activation { kind: self.activation, derivative };
            context.first_linear(Product::FeedForward, x, &self.up, linear, epilogue, activated);
        }
        if let Some(slot) = slots.ffn_scale {
            let before = keep.then_some(&mut c.before);
            backend.scale(packing, slot, trainable, activated, self.width, 0, before);
        }
        context.weigh(SlicedInput::Inner, activated);
        context.linear(activated, &self.down, (&slots.ffn_down, &mut c.down_linear), epilogue, y);
    }

    /// Where the forward pass puts the inner product.
    pub fn product<'a>(
        &self,
        slots: &BlockSlots,
        cache: &'a mut FeedForwardCache<B>,
        wide: &'a mut B::Buffer,
        keep: bool,
    ) -> &'a mut B::Buffer {
        match (self.gated, keep && slots.ffn_down.reads_input()) {
            (true, _) => &mut cache.pairs,
            (false, true) => &mut cache.activated,
            (false, false) => wide,
        }
    }

    /// The adapters at the output `y` of the layer with input `x`.
    fn adapt(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut FeedForwardCache<B>,
        x: &B::Buffer,
        y: &mut B::Buffer,
    ) {
        if let Some(slot) = slots.ffn_parallel {
            context.backend.adapter(context.packing, x, slot, context.trainable, &mut cache.parallel, y);
        }
        if let Some(slot) = slots.ffn_adapter {
            context.adapt(slot, &mut cache.adapter, y);
        }
    }

    /// Pre-norm: `hidden += layer(norm(hidden))`.
    pub fn forward_pre(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut FeedForwardCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        hidden: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let mut normed = std::mem::take(&mut cache.normed);
        let kept = keep.then_some(&mut cache.norm);
        backend.norm(packing, hidden, None, &self.norm, slots.ffn_norm, trainable, &mut normed, kept);
        let Scratch { narrow, wide, .. } = scratch;
        if slots.ffn_parallel.is_none() && slots.ffn_adapter.is_none() && !context.is_sliced() {
            self.forward(context, slots, cache, (&normed, wide), keep, Epilogue::Accumulate, hidden);
        } else {
            self.forward(context, slots, cache, (&normed, wide), keep, Epilogue::None, narrow);
            context.hear(Sum::FeedForwardOutput, narrow);
            self.adapt(context, slots, cache, &normed, narrow);
            backend.add(narrow, context.len(), hidden);
        }
        cache.normed = normed;
    }

    /// Post-norm: `out = norm(x + layer(x))`.
    pub fn forward_post(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut FeedForwardCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let Scratch { narrow, wide, .. } = scratch;
        self.forward(context, slots, cache, (x, wide), keep, Epilogue::None, narrow);
        context.hear(Sum::FeedForwardOutput, narrow);
        self.adapt(context, slots, cache, x, narrow);
        let kept = keep.then_some(&mut cache.norm);
        backend.norm(packing, narrow, Some(x), &self.norm, slots.ffn_norm, trainable, out, kept);
    }

    /// From the output's gradient `dy` to that of the inner product's output: in `d_pairs` of a gated layer, else in
    /// `wide`. Returns whether there is anything to go on for.
    fn backward_down(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &FeedForwardCache<B>,
        dy: &B::Buffer,
        (wide, d_pairs, linear): (&mut B::Buffer, &mut B::Buffer, &mut B::Buffer),
        parameters: &mut B::Buffer,
        input_wanted: bool,
    ) -> bool {
        let Context { backend, packing, trainable, .. } = *context;
        let below_activation = input_wanted || !slots.ffn_up.is_frozen();
        let below_down = below_activation || slots.ffn_scale.is_some();
        let plain = !self.gated && slots.ffn_scale.is_none();
        let through = match (below_down, plain) {
            (false, _) => GradientEpilogue::Skip,
            (true, true) => GradientEpilogue::Multiply(&cache.derivative),
            (true, false) => GradientEpilogue::Overwrite,
        };
        let terms = (&slots.ffn_down, &cache.down_linear, &cache.activated);
        context.linear_gradient(dy, &self.down, terms, (linear, parameters), through, wide);
        if below_down {
            context.weigh(SlicedInput::Inner, wide);
        }
        if let Some(slot) = slots.ffn_scale {
            backend.scale_gradient(packing, slot, trainable, &cache.before, parameters, wide, self.width, 0);
        }
        if below_activation && self.gated {
            backend.gate_gradient(packing, &cache.pairs, self.width, self.activation, wide, d_pairs);
        } else if below_activation && !plain {
            backend.multiply(&cache.derivative, packing.rows() * self.width, wide);
        }
        below_activation
    }

    /// From what [`FeedForward::backward_down`] left to the gradient of `x`: written to `dx`, or added to it.
    fn backward_up(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &FeedForwardCache<B>,
        x: &B::Buffer,
        (wide, d_pairs, linear): (&mut B::Buffer, &mut B::Buffer, &mut B::Buffer),
        parameters: &mut B::Buffer,
        epilogue: GradientEpilogue<'_, B>,
        dx: &mut B::Buffer,
    ) {
        let d_up = if self.gated { d_pairs } else { wide };
        let terms = (&slots.ffn_up, &cache.up_linear, x);
        context.linear_gradient(d_up, &self.up, terms, (linear, parameters), epilogue, dx);
    }

    /// Gradient of [`FeedForward::forward_pre`]: `hidden` from the output's to the input's, if `below` is wanted.
    pub fn backward_pre(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &FeedForwardCache<B>,
        scratch: &mut Scratch<B>,
        below: bool,
        parameters: &mut B::Buffer,
        hidden: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let Scratch { narrow, wide, pairs, output, linear, adapter, .. } = scratch;
        let below_norm = below || !slots.ffn_norm.is_frozen();
        let dy = match slots.ffn_adapter {
            None => &*hidden,
            Some(slot) => {
                context.adapt_gradient(slot, &cache.adapter, hidden, (adapter, parameters), output);
                &*output
            }
        };
        let x = &cache.normed;
        let go_on = self.backward_down(context, slots, cache, dy, (wide, pairs, linear), parameters, below_norm);
        if go_on {
            let epilogue = if below_norm { GradientEpilogue::Overwrite } else { GradientEpilogue::Skip };
            self.backward_up(context, slots, cache, x, (wide, pairs, linear), parameters, epilogue, narrow);
            if below_norm {
                context.hear(Sum::FeedForwardInputGradient, narrow);
            }
        }
        if let Some(slot) = slots.ffn_parallel {
            let dx = below_norm.then_some(&mut *narrow);
            let kept = &cache.parallel;
            backend.adapter_gradient(packing, dy, x, slot, trainable, kept, adapter, parameters, dx);
        }
        if below_norm {
            let (norm, kept) = (&self.norm, &cache.norm);
            backend.norm_gradient(packing, narrow, norm, kept, slots.ffn_norm, trainable, parameters, true, hidden);
        }
    }

    /// Gradient of [`FeedForward::forward_post`]: `hidden` holds the output's, `scratch.narrow` receives the input's, if
    /// `below` is wanted.
    pub fn backward_post(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &FeedForwardCache<B>,
        scratch: &mut Scratch<B>,
        below: bool,
        x: &B::Buffer,
        parameters: &mut B::Buffer,
        hidden: &B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let Scratch { narrow, wide, pairs, output, heard, linear, adapter, .. } = scratch;
        let (norm, kept) = (&self.norm, &cache.norm);
        backend.norm_gradient(packing, hidden, norm, kept, slots.ffn_norm, trainable, parameters, false, narrow);
        match slots.ffn_adapter {
            Some(slot) => context.adapt_gradient(slot, &cache.adapter, narrow, (adapter, parameters), output),
            None if slots.ffn_parallel.is_some() => backend.copy(narrow, context.len(), output),
            None => {}
        }
        let adapted = slots.ffn_adapter.is_some() || slots.ffn_parallel.is_some();
        let dy = if adapted { &*output } else { &*narrow };
        let go_on = self.backward_down(context, slots, cache, dy, (wide, pairs, linear), parameters, below);
        if go_on && below && context.is_sliced() {
            let epilogue = GradientEpilogue::Overwrite;
            self.backward_up(context, slots, cache, x, (wide, pairs, linear), parameters, epilogue, heard);
            context.hear(Sum::FeedForwardInputGradient, heard);
            backend.add(heard, context.len(), narrow);
        } else if go_on {
            // The residual's gradient is already in `narrow`.
            let epilogue = if below { GradientEpilogue::Accumulate } else { GradientEpilogue::Skip };
            self.backward_up(context, slots, cache, x, (wide, pairs, linear), parameters, epilogue, narrow);
        }
        if let Some(slot) = slots.ffn_parallel {
            let dx = below.then_some(&mut *narrow);
            let kept = &cache.parallel;
            backend.adapter_gradient(packing, output, x, slot, trainable, kept, adapter, parameters, dx);
        }
    }
}
