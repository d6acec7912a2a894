//! Attention as a sub-layer: of a stack to itself, and of a decoder to its encoder.

use super::Context;
use crate::backend::{
    AdapterSlot, AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Backend, Columns, Epilogue,
    GradientEpilogue, Linear, Norm, RelativeBias, Rotary,
};
use crate::nn::slots::AttentionSlots;
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

/// Attention of a decoder to its encoder's output; pre-norm, as in T5.
pub(in crate::nn) struct CrossAttention<B: Backend> {
    pub shape: AttentionShape,
    pub norm: Norm<B>,
    pub query: Linear<B>,
    pub key_value: Linear<B>,
    pub output: Linear<B>,
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
        context.linear(x, &self.qkv, (&slots.qkv, &mut c.qkv_linear), Epilogue::None, &mut c.qkv);
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
        let linear = (&slots.output, &mut cache.output_linear);
        context.linear(&cache.context, &self.output, linear, Epilogue::None, &mut scratch.narrow);
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
        let dx = dx.unwrap_or(narrow);
        context.linear_gradient(d_qkv, &self.qkv, terms, (linear, parameters), epilogue, dx);
    }

    /// Whether anything below the context trains, or the input's gradient is wanted.
    fn below_context(slots: &AttentionSlots, input_wanted: bool) -> bool {
        let scaled = slots.key_scale.is_some() || slots.value_scale.is_some();
        input_wanted || !slots.qkv.is_frozen() || scaled || slots.prefix.is_some()
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
fn project_out<B: Backend>(
    context: &Context<'_, B>,
    output: &Linear<B>,
    slots: &AttentionSlots,
    adapter: Option<AdapterSlot>,
    cache: &mut AttentionCache<B>,
    scratch: &mut Scratch<B>,
    hidden: &mut B::Buffer,
) {
    let linear = (&slots.output, &mut cache.output_linear);
    match adapter {
        None => context.linear(&cache.context, output, linear, Epilogue::Accumulate, hidden),
        Some(slot) => {
            context.linear(&cache.context, output, linear, Epilogue::None, &mut scratch.narrow);
            context.adapt(slot, &mut cache.adapter, &mut scratch.narrow);
            context.backend.add(&scratch.narrow, context.len(), hidden);
        }
    }
}

/// From the sub-layer's output gradient `dy` to the context's, in `scratch.narrow`.
#[allow(clippy::too_many_arguments)]
fn project_out_gradient<B: Backend>(
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
        let terms = (&slots.output, &cache.output_linear, &cache.context);
        context.linear_gradient(dy, output, terms, (linear, parameters), epilogue, narrow);
    }
}

#[allow(clippy::too_many_arguments)]
impl<B: Backend> CrossAttention<B> {
    fn input<'a>(
        &'a self,
        context: &Context<'a, B>,
        slots: &AttentionSlots,
        cache: &'a AttentionCache<B>,
    ) -> AttentionInput<'a, B> {
        let (kv, memory) =
            (self.shape.kv_width(), context.memory.as_ref().expect("a decoder has its encoder's output"));
        let at = |column| Columns { buffer: &cache.key_value, row: 2 * kv, column };
        AttentionInput {
            query: Columns { buffer: &cache.qkv, row: self.shape.width(), column: 0 },
            key: at(0),
            value: at(kv),
            keys: memory.packing,
            prefix: slots.prefix,
            trainable: context.trainable,
            bias: None,
        }
    }

    /// `hidden += output(attend(norm(hidden), memory))`.
    pub fn forward(
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
        let memory = context.memory.as_ref().expect("a decoder has its encoder's output");
        let kv = self.shape.kv_width();
        let kept = keep.then_some(&mut cache.norm);
        backend.norm(packing, hidden, None, &self.norm, slots.norm, trainable, &mut cache.normed, kept);
        let linear = (&slots.qkv, &mut cache.qkv_linear);
        context.linear(&cache.normed, &self.query, linear, Epilogue::None, &mut cache.qkv);
        let linear = (&slots.key_value, &mut cache.key_value_linear);
        let source = encoder_side(context);
        source.linear(memory.hidden, &self.key_value, linear, Epilogue::None, &mut cache.key_value);
        if let Some(slot) = slots.key_scale {
            let before = keep.then_some(&mut cache.key_before);
            backend.scale(memory.packing, slot, trainable, &mut cache.key_value, 2 * kv, 0, before);
        }
        if let Some(slot) = slots.value_scale {
            let before = keep.then_some(&mut cache.value_before);
            backend.scale(memory.packing, slot, trainable, &mut cache.key_value, 2 * kv, kv, before);
        }
        let (mut out, mut log_sum) = (std::mem::take(&mut cache.context), std::mem::take(&mut cache.log_sum));
        backend.attention(packing, self.shape, &self.input(context, slots, cache), &mut out, &mut log_sum);
        (cache.context, cache.log_sum) = (out, log_sum);
        project_out(context, &self.output, slots, adapter, cache, scratch, hidden);
    }

    /// Gradient of [`CrossAttention::forward`]: `hidden` from the output's to the input's, `memory` added to.
    pub fn backward(
        &self,
        context: &Context<'_, B>,
        slots: &AttentionSlots,
        adapter: Option<AdapterSlot>,
        cache: &AttentionCache<B>,
        scratch: &mut Scratch<B>,
        input_wanted: bool,
        parameters: &mut B::Buffer,
        hidden: &mut B::Buffer,
        memory_gradient: Option<&mut B::Buffer>,
    ) {
        let Context { backend, packing, trainable, .. } = *context;
        let memory = context.memory.as_ref().expect("a decoder has its encoder's output");
        let kv = self.shape.kv_width();
        project_out_gradient(context, &self.output, slots, adapter, cache, scratch, true, parameters, hidden);
        let Scratch { narrow, qkv: d_query, key_value: d_key_value, linear, .. } = scratch;
        let saved = AttentionSaved { context: &cache.context, log_sum: &cache.log_sum };
        let gradient = AttentionGradient { query: d_query, key_value: Some(d_key_value), parameters };
        let input = self.input(context, slots, cache);
        backend.attention_gradient(packing, self.shape, &input, saved, narrow, gradient);
        if let Some(slot) = slots.value_scale {
            let before = &cache.value_before;
            backend.scale_gradient(memory.packing, slot, trainable, before, parameters, d_key_value, 2 * kv, kv);
        }
        if let Some(slot) = slots.key_scale {
            let before = &cache.key_before;
            backend.scale_gradient(memory.packing, slot, trainable, before, parameters, d_key_value, 2 * kv, 0);
        }
        let terms = (&slots.key_value, &cache.key_value_linear, memory.hidden);
        let (epilogue, d_memory) = match memory_gradient {
            Some(d_memory) => (GradientEpilogue::Accumulate, d_memory),
            None => (GradientEpilogue::Skip, &mut *narrow),
        };
        let source = encoder_side(context);
        source.linear_gradient(d_key_value, &self.key_value, terms, (linear, parameters), epilogue, d_memory);

        let below_norm = input_wanted || !slots.norm.is_frozen();
        let epilogue = if below_norm { GradientEpilogue::Overwrite } else { GradientEpilogue::Skip };
        let terms = (&slots.qkv, &cache.qkv_linear, &cache.normed);
        context.linear_gradient(d_query, &self.query, terms, (linear, parameters), epilogue, narrow);
        if below_norm {
            let (norm, kept) = (&self.norm, &cache.norm);
            backend.norm_gradient(packing, narrow, norm, kept, slots.norm, trainable, parameters, true, hidden);
        }
    }
}

/// The same pass seen from the encoder's rows.
fn encoder_side<'a, B: Backend>(context: &Context<'a, B>) -> Context<'a, B> {
    let memory = context.memory.as_ref().expect("a decoder has its encoder's output");
    let Context { backend, trainable, hidden_width, .. } = *context;
    Context { backend, packing: memory.packing, trainable, dropout: memory.dropout, memory: None, hidden_width }
}
