//! Attention of a stack to itself as a sub-layer.

use super::{Context, Product};
use crate::backend::{
    AdapterSlot, AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Backend, Columns, Epilogue,
    GradientEpilogue, Linear, Norm, RelativeBias, Rotary,
};
use crate::nn::slots::AttentionSlots;
use crate::nn::sum_channel::{SlicedInput, Sum};
use crate::nn::workspace::{AttentionCache, Scratch};
use std::sync::Arc;

/// Attention of a stack to itself. Queries, keys and values share one product.
pub(in crate::nn) struct Attention<B: Backend> {
    pub shape: AttentionShape,
    pub norm: Norm<B>,
    pub qkv: Linear<B>,
    pub output: Linear<B>,
    pub rotary: Option<Arc<Rotary>>,
    pub bias: Option<Arc<RelativeBias<B>>>,
}

#[allow(clippy::too_many_arguments)]
impl<B: Backend> Attention<B> {
    /// Values of a row of queries, keys and values.
    fn row(&self) -> usize {
        self.shape.width() + 2 * self.shape.kv_width()
    }

    fn input<'a>(
        &'a self,
        context: &Context<'a, B>,
        slots: &AttentionSlots,
        qkv: &'a B::Buffer,
    ) -> AttentionInput<'a, B> {
        let at = |column| Columns { buffer: qkv, row: self.row(), column };
        let (key, value) = (self.shape.width(), self.shape.width() + self.shape.kv_width());
        AttentionInput {
            query: at(0),
            key: at(key),
            value: at(value),
            keys: context.packing,
            prefix: slots.prefix,
            trainable: context.trainable,
            bias: self.bias.as_deref(),
            bias_table: slots.bias_table,
        }
    }

    /// From `x` to `cache.context`.
    fn attend(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        x: &B::Buffer,
        cache: &mut AttentionCache<B>,
        keep: bool,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let AttentionShape { heads, kv_heads, .. } = self.shape;
        let (row, key) = (self.row(), self.shape.width());
        let value = key + self.shape.kv_width();
        let c = cache;
        let linear = (&slots.qkv, &mut c.qkv_linear);
        context.first_linear(Product::QueryKeyValue, x, &self.qkv, linear, Epilogue::None, &mut c.qkv);
        if let Some(slot) = slots.key_scale {
            let before = keep.then_some(&mut c.key_before);
            backend.scale(packing, slot, trainable, &mut c.qkv, row, key, before);
        }
        if let Some(slot) = slots.value_scale {
            let before = keep.then_some(&mut c.value_before);
            backend.scale(packing, slot, trainable, &mut c.qkv, row, value, before);
        }
        if let Some(rotary) = &self.rotary {
            backend.rotate(packing, rotary, heads, false, &mut c.qkv, row, 0);
            backend.rotate(packing, rotary, kv_heads, false, &mut c.qkv, row, key);
        }
        let input = self.input(context, slots, &c.qkv);
        backend.attention(packing, self.shape, &input, &mut c.context, &mut c.log_sum);
    }

    /// Pre-norm: `hidden += output(attend(norm(hidden)))`.
    pub fn forward_pre(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        adapter: Option<AdapterSlot>,
        cache: &mut AttentionCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        hidden: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let mut normed = std::mem::take(&mut cache.normed);
        let kept = keep.then_some(&mut cache.norm);
        backend.norm(packing, hidden, None, &self.norm, slots.norm, trainable, &mut normed, kept);
        self.attend(context, slots, &normed, cache, keep);
        cache.normed = normed;
        project_out(context, &self.output, slots, adapter, cache, scratch, hidden);
    }

    /// Post-norm: `out = norm(x + output(attend(x)))`.
    pub fn forward_post(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        adapter: Option<AdapterSlot>,
        cache: &mut AttentionCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        self.attend(context, slots, x, cache, keep);
        let AttentionCache { context: own, weighed, output_linear, .. } = cache;
        let input = context.arriving(own, self.output.inputs, weighed);
        let linear = (&slots.output, output_linear);
        context.linear(input, &self.output, linear, Epilogue::None, &mut scratch.narrow);
        context.hear(Sum::AttentionOutput, &mut scratch.narrow);
        if let Some(slot) = adapter {
            context.adapt(slot, &mut cache.adapter, &mut scratch.narrow);
        }
        let kept = keep.then_some(&mut cache.norm);
        backend.norm(packing, &scratch.narrow, Some(x), &self.norm, slots.norm, trainable, out, kept);
    }

    /// From the context's gradient in `scratch.narrow` to the parameters' and, if wanted, the input's: written to `dx`
    /// or added to it.
    fn attend_gradient(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        cache: &AttentionCache<B>,
        x: &B::Buffer,
        scratch: &mut Scratch<B>,
        parameters: &mut B::Buffer,
        epilogue: GradientEpilogue<'_, B>,
        dx: Option<&mut B::Buffer>,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let AttentionShape { heads, kv_heads, .. } = self.shape;
        let (row, key) = (self.row(), self.shape.width());
        let value = key + self.shape.kv_width();
        let Scratch { narrow, qkv: d_qkv, linear, .. } = scratch;
        let saved = AttentionSaved { context: &cache.context, log_sum: &cache.log_sum };
        let gradient = AttentionGradient { query: d_qkv, key_value: None, parameters };
        backend.attention_gradient(
            packing,
            self.shape,
            &self.input(context, slots, &cache.qkv),
            saved,
            narrow,
            gradient,
        );
        if let Some(rotary) = &self.rotary {
            backend.rotate(packing, rotary, heads, true, d_qkv, row, 0);
            backend.rotate(packing, rotary, kv_heads, true, d_qkv, row, key);
        }
        if let Some(slot) = slots.value_scale {
            backend.scale_gradient(packing, slot, trainable, &cache.value_before, parameters, d_qkv, row, value);
        }
        if let Some(slot) = slots.key_scale {
            backend.scale_gradient(packing, slot, trainable, &cache.key_before, parameters, d_qkv, row, key);
        }
        let terms = (&slots.qkv, &cache.qkv_linear, x);
        if !context.is_sliced() || matches!(epilogue, GradientEpilogue::Skip) {
            let dx = dx.unwrap_or(narrow);
            context.linear_gradient(d_qkv, &self.qkv, terms, (linear, parameters), epilogue, dx);
            return;
        }
        context.linear_gradient(d_qkv, &self.qkv, terms, (linear, parameters), GradientEpilogue::Overwrite, narrow);
        context.hear(Sum::AttentionInputGradient, narrow);
        if let Some(dx) = dx {
            backend.add(narrow, context.len(), dx);
        }
    }

    /// Whether anything below the context trains, or the input's gradient is wanted.
    fn below_context(slots: &AttentionSlots, input_wanted: bool) -> bool {
        let scaled = slots.key_scale.is_some() || slots.value_scale.is_some();
        let of_scores = slots.prefix.is_some() || slots.bias_table.is_some();
        input_wanted || !slots.qkv.is_frozen() || scaled || of_scores
    }

    /// Gradient of [`Attention::forward_pre`]: `hidden` from the output's to the input's.
    pub fn backward_pre(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        adapter: Option<AdapterSlot>,
        cache: &AttentionCache<B>,
        scratch: &mut Scratch<B>,
        input_wanted: bool,
        parameters: &mut B::Buffer,
        hidden: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let below_norm = input_wanted || !slots.norm.is_frozen();
        let below_context = Self::below_context(slots, below_norm);
        project_out_gradient(context, &self.output, slots, adapter, cache, scratch, below_context, parameters, hidden);
        if !below_context {
            return;
        }
        let epilogue = if below_norm { GradientEpilogue::Overwrite } else { GradientEpilogue::Skip };
        self.attend_gradient(context, slots, cache, &cache.normed, scratch, parameters, epilogue, None);
        if below_norm {
            let d_normed = &scratch.narrow;
            let (norm, kept) = (&self.norm, &cache.norm);
            backend.norm_gradient(packing, d_normed, norm, kept, slots.norm, trainable, parameters, true, hidden);
        }
    }

    /// Gradient of [`Attention::forward_post`]: `scratch.narrow` holds the output's, `hidden` receives the input's.
    pub fn backward_post(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        adapter: Option<AdapterSlot>,
        cache: &AttentionCache<B>,
        scratch: &mut Scratch<B>,
        input_wanted: bool,
        x: &B::Buffer,
        parameters: &mut B::Buffer,
        hidden: &mut B::Buffer,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let (norm, kept) = (&self.norm, &cache.norm);
        backend.norm_gradient(packing, &scratch.narrow, norm, kept, slots.norm, trainable, parameters, false, hidden);
        let below_context = Self::below_context(slots, input_wanted);
        project_out_gradient(context, &self.output, slots, adapter, cache, scratch, below_context, parameters, hidden);
        if below_context {
            // The residual's gradient is already in `hidden`.
            let epilogue = if input_wanted { GradientEpilogue::Accumulate } else { GradientEpilogue::Skip };
            self.attend_gradient(context, slots, cache, x, scratch, parameters, epilogue, Some(hidden));
        }
    }
}

/// `hidden += output(context)`, through the adapter if there is one.
pub(super) fn project_out<B: Backend>(
    context: &Context<'_, B>,
    output: &Linear<B>,
    slots: &AttentionSlots,
    adapter: Option<AdapterSlot>,
    cache: &mut AttentionCache<B>,
    scratch: &mut Scratch<B>,
    hidden: &mut B::Buffer,
) {
    let AttentionCache { context: own, weighed, output_linear, .. } = cache;
    let input = context.arriving(own, output.inputs, weighed);
    let linear = (&slots.output, output_linear);
    if adapter.is_none() && !context.is_sliced() {
        context.linear(input, output, linear, Epilogue::Accumulate, hidden);
        return;
    }
    context.linear(input, output, linear, Epilogue::None, &mut scratch.narrow);
    context.hear(Sum::AttentionOutput, &mut scratch.narrow);
    if let Some(slot) = adapter {
        context.adapt(slot, &mut cache.adapter, &mut scratch.narrow);
    }
    context.backend.add(&scratch.narrow, context.len(), hidden);
}

/// From the sub-layer's output gradient `dy` to the context's, in `scratch.narrow`.
#[allow(clippy::too_many_arguments)]
pub(super) fn project_out_gradient<B: Backend>(
    context: &Context<'_, B>,
    output: &Linear<B>,
    slots: &AttentionSlots,
    adapter: Option<AdapterSlot>,
    cache: &AttentionCache<B>,
    scratch: &mut Scratch<B>,
    below_context: bool,
    parameters: &mut B::Buffer,
    dy: &B::Buffer,
) {
    let Scratch { narrow, output: d_output, linear, adapter: working, .. } = scratch;
    let dy = match adapter {
        None => dy,
        Some(slot) => {
            context.adapt_gradient(slot, &cache.adapter, dy, (working, parameters), d_output);
            d_output
        }
    };
    if below_context || !slots.output.is_frozen() {
        let epilogue = if below_context { GradientEpilogue::Overwrite } else { GradientEpilogue::Skip };
        let input = if context.weighs() { &cache.weighed } else { &cache.context };
        let terms = (&slots.output, &cache.output_linear, input);
        context.linear_gradient(dy, output, terms, (linear, parameters), epilogue, narrow);
        if below_context {
            context.weigh(SlicedInput::Context, narrow);
        }
    }
}
