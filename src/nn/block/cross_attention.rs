//! Attention of a decoder to its encoder's output as a sub-layer. It is never in slices.

use super::Context;
use super::attention::{project_out, project_out_gradient};
use crate::backend::{
    AdapterSlot, AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Backend, Columns, Epilogue,
    GradientEpilogue, Linear, Norm,
};
use crate::nn::slots::AttentionSlots;
use crate::nn::workspace::{AttentionCache, Scratch};

/// Attention of a decoder to its encoder's output; pre-norm, as in T5.
pub(in crate::nn) struct CrossAttention<B: Backend> {
    pub shape: AttentionShape,
    pub norm: Norm<B>,
    pub query: Linear<B>,
    pub key_value: Linear<B>,
    pub output: Linear<B>,
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
            bias_table: None,
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
        let context = &context.whole();
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
        let context = &context.whole();
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
    Context {
        backend,
        packing: memory.packing,
        trainable,
        dropout: memory.dropout,
        channel: None,
        memory: None,
        begun: None,
        hidden_width,
    }
}
