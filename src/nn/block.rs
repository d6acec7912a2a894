//! One transformer block: forward, and backward through frozen weights.
//!
//! Post-LN encoder block (Devlin et al. 2018):
//! `m = LN(x + attention(x))`, `y = LN(m + W2 GELU(W1 m))`, with low-rank terms on any of its projections.

use super::layout::BlockSlots;
use super::workspace::{BlockCache, Scratch};
use crate::backend::{
    AttentionShape, Backend, Epilogue, GradientEpilogue, Linear, Lora, LoraGradient, LoraSlot, Norm, Packing,
};

/// The frozen weights of a block. Queries, keys and values share one product of `[hidden, 3 * hidden]`.
pub(super) struct Block<B: Backend> {
    pub shape: AttentionShape,
    pub qkv: Linear<B>,
    pub attention_output: Linear<B>,
    pub attention_norm: Norm<B>,
    pub ffn_up: Linear<B>,
    pub ffn_down: Linear<B>,
    pub ffn_norm: Norm<B>,
}

/// What all operations of a pass share.
pub(super) struct Context<'a, B: Backend> {
    pub backend: &'a B,
    pub packing: &'a Packing,
    /// One set a client, `stride` values apart.
    pub parameters: &'a B::Buffer,
    pub stride: usize,
}

/// What a backward pass writes.
pub(super) struct Gradients<'a, B: Backend> {
    /// Of the trainable parameters, one set a client; added to.
    pub parameters: &'a mut B::Buffer,
    /// Of the hidden states: the output's going in, the input's coming out.
    pub hidden: &'a mut B::Buffer,
}

impl<B: Backend> Context<'_, B> {
    fn linear(
        &self,
        x: &B::Buffer,
        layer: &Linear<B>,
        (slots, reduced): (&[LoraSlot], &mut B::Buffer),
        epilogue: Epilogue<'_, B>,
        y: &mut B::Buffer,
    ) {
        let lora = Lora { slots, parameters: self.parameters, stride: self.stride, reduced };
        self.backend.linear(self.packing, x, layer, lora, epilogue, y);
    }
}

impl<B: Backend> Block<B> {
    /// From `cache.input` to `out`. With `keep`, `cache` is filled for [`Block::backward`].
    pub fn forward(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &mut BlockCache<B>,
        scratch: &mut Scratch<B>,
        keep: bool,
        out: &mut B::Buffer,
    ) {
        let Context { backend, packing, .. } = *context;
        let c = cache;
        context.linear(&c.input, &self.qkv, (&slots.qkv, &mut c.reduced.qkv), Epilogue::None, &mut c.qkv);
        backend.attention(packing, self.shape, &c.qkv, &mut c.context, &mut c.log_sum);
        let lora = (slots.attention_output.as_slice(), &mut c.reduced.attention_output);
        context.linear(&c.context, &self.attention_output, lora, Epilogue::None, &mut scratch.narrow);
        let kept = keep.then_some(&mut c.attention_norm);
        backend.norm(packing, &scratch.narrow, Some(&c.input), &self.attention_norm, &mut c.middle, kept);

        let activated = if keep && !slots.ffn_down.is_empty() { &mut c.activated } else { &mut scratch.wide };
        let gelu = Epilogue::Gelu { derivative: keep.then_some(&mut c.derivative) };
        context.linear(&c.middle, &self.ffn_up, (&slots.ffn_up, &mut c.reduced.ffn_up), gelu, activated);
        let lora = (slots.ffn_down.as_slice(), &mut c.reduced.ffn_down);
        context.linear(activated, &self.ffn_down, lora, Epilogue::None, &mut scratch.narrow);
        let kept = keep.then_some(&mut c.ffn_norm);
        backend.norm(packing, &scratch.narrow, Some(&c.middle), &self.ffn_norm, out, kept);
    }

    /// Turns the gradient of the block's output into the input's, and adds to the trainable parameters' gradient.
    ///
    /// Without `input_wanted` it stops at the lowest trainable term, and `gradients.hidden` is left unspecified.
    pub fn backward(
        &self,
        context: &Context<'_, B>,
        slots: &BlockSlots,
        cache: &BlockCache<B>,
        scratch: &mut Scratch<B>,
        input_wanted: bool,
        gradients: Gradients<'_, B>,
    ) {
        let Gradients { parameters: gradient, hidden: d_hidden } = gradients;
        let Context { backend, packing, parameters, stride } = *context;
        let below_output = input_wanted || !slots.qkv.is_empty();
        let below_up = below_output || !slots.attention_output.is_empty();
        let below_down = below_up || !slots.ffn_up.is_empty();
        let only_if = |wanted, epilogue| if wanted { epilogue } else { GradientEpilogue::Skip };
        let Scratch { narrow, wide, qkv, reduced: d_reduced } = scratch;

        backend.norm_gradient(packing, d_hidden, &self.ffn_norm, &cache.ffn_norm, narrow);
        let (terms, x, reduced) = (&slots.ffn_down, &cache.activated, &cache.reduced.ffn_down);
        let lora = LoraGradient { slots: terms, parameters, stride, x, reduced, d_reduced, gradient };
        let epilogue = only_if(below_down, GradientEpilogue::Multiply(&cache.derivative));
        backend.linear_gradient(packing, narrow, &self.ffn_down, lora, epilogue, wide);
        if !below_down {
            return;
        }
        // The residual's gradient is already in `narrow`.
        let (terms, x, reduced) = (&slots.ffn_up, &cache.middle, &cache.reduced.ffn_up);
        let lora = LoraGradient { slots: terms, parameters, stride, x, reduced, d_reduced, gradient };
        let epilogue = only_if(below_up, GradientEpilogue::Accumulate);
        backend.linear_gradient(packing, wide, &self.ffn_up, lora, epilogue, narrow);
        if !below_up {
            return;
        }

        backend.norm_gradient(packing, narrow, &self.attention_norm, &cache.attention_norm, d_hidden);
        let (terms, x, reduced) = (&slots.attention_output, &cache.context, &cache.reduced.attention_output);
        let lora = LoraGradient { slots: terms, parameters, stride, x, reduced, d_reduced, gradient };
        let epilogue = only_if(below_output, GradientEpilogue::Overwrite);
        backend.linear_gradient(packing, d_hidden, &self.attention_output, lora, epilogue, narrow);
        if !below_output {
            return;
        }
        backend.attention_gradient(packing, self.shape, &cache.qkv, &cache.context, &cache.log_sum, narrow, qkv);
        // Again the residual's gradient is already there.
        let (terms, x, reduced) = (&slots.qkv, &cache.input, &cache.reduced.qkv);
        let lora = LoraGradient { slots: terms, parameters, stride, x, reduced, d_reduced, gradient };
        let epilogue = only_if(input_wanted, GradientEpilogue::Accumulate);
        backend.linear_gradient(packing, qkv, &self.qkv, lora, epilogue, d_hidden);
    }
}
