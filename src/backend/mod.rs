//! Tensor kernels behind one trait: a small set of fused operations over packed sequences.
//!
//! A backend knows arrays, products and norms; it must not know models, clients' roles, files or time. `cpu/` is the
//! default and the reference that every other backend is tested against. Start reading at [`Backend`], then
//! `description.rs` for what its arguments mean; `nn/` is the only caller.
//!
//! Shapes: activations are row-major `[rows, width]`, one row a token, rows of all sequences end to end. Values that a
//! method says it writes are overwritten, never added to, unless it says so.

pub mod cpu;
mod description;

pub use cpu::Cpu;
pub use description::{
    Activation, AttentionShape, Epilogue, GradientEpilogue, HeadSlot, Linear, Lora, LoraGradient, LoraSlot, Norm,
    NormCache, Packing, SequenceOutcome,
};

/// What the learning arithmetic needs from a device.
pub trait Backend: Send + Sync + Sized {
    /// A growable array of activations, parameters or gradients in the backend's memory.
    type Buffer: Send + Sync + Default;
    /// A frozen matrix, stored in whatever form makes its two products cheap.
    type Matrix: Send + Sync;

    /// Tokens that one pass should carry: enough to fill the device, few enough to share work between threads.
    fn chunk_tokens(&self) -> usize;

    /// A new buffer that holds `values`.
    fn upload(&self, values: &[f32]) -> Self::Buffer {
        let mut buffer = Self::Buffer::default();
        self.write(values, &mut buffer);
        buffer
    }
    /// Makes `buffer` hold exactly `values`.
    fn write(&self, values: &[f32], buffer: &mut Self::Buffer);
    /// The first `len` values of `buffer`.
    fn read(&self, buffer: &Self::Buffer, len: usize) -> Vec<f32>;
    /// Makes room for `len` values; what they are is unspecified.
    fn reserve(&self, buffer: &mut Self::Buffer, len: usize);
    /// Makes `buffer` hold `len` zeros.
    fn zero(&self, buffer: &mut Self::Buffer, len: usize);
    /// Prepares a frozen `[outputs, inputs]` matrix for [`Backend::linear`] and its gradient.
    fn matrix(&self, values: &[f32], outputs: usize, inputs: usize) -> Self::Matrix;

    /// `out[i] = words[ids[i]] + positions[position of i in its sequence]`, rows of `width`.
    ///
    /// Constant summands, such as BERT's single token type, are folded into `positions` by the caller.
    fn embed(
        &self,
        packing: &Packing,
        ids: &[u32],
        words: &Self::Buffer,
        positions: &Self::Buffer,
        width: usize,
        out: &mut Self::Buffer,
    );

    /// `y = epilogue(x W^T + bias + sum of LoRA terms)`; the LoRA terms' inner values `x A^T` stay in `lora.reduced`.
    fn linear(
        &self,
        packing: &Packing,
        x: &Self::Buffer,
        layer: &Linear<Self>,
        lora: Lora<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Self::Buffer,
    );

    /// Gradient of [`Backend::linear`] before its epilogue: adds to the LoRA tensors' gradients and, unless the
    /// epilogue is [`GradientEpilogue::Skip`], combines `dy W + sum of LoRA terms` into `dx`.
    fn linear_gradient(
        &self,
        packing: &Packing,
        dy: &Self::Buffer,
        layer: &Linear<Self>,
        lora: LoraGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        dx: &mut Self::Buffer,
    );

    /// Bidirectional attention inside each sequence: `qkv` is `[rows, 3 * width]` (queries, keys, values; heads side
    /// by side), `context` `[rows, width]`, `log_sum` `[rows, heads]` the log of each softmax's denominator.
    fn attention(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        qkv: &Self::Buffer,
        context: &mut Self::Buffer,
        log_sum: &mut Self::Buffer,
    );

    /// Gradient of [`Backend::attention`]; the probabilities are recomputed from `log_sum` (Dao et al. 2022).
    #[allow(clippy::too_many_arguments)]
    fn attention_gradient(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        qkv: &Self::Buffer,
        context: &Self::Buffer,
        log_sum: &Self::Buffer,
        d_context: &Self::Buffer,
        d_qkv: &mut Self::Buffer,
    );

    /// `out = LayerNorm(x + residual)`; `cache` receives what the gradient needs.
    fn norm(
        &self,
        packing: &Packing,
        x: &Self::Buffer,
        residual: Option<&Self::Buffer>,
        norm: &Norm<Self>,
        out: &mut Self::Buffer,
        cache: Option<&mut NormCache<Self>>,
    );

    /// `dx`, the gradient of `x + residual` under [`Backend::norm`].
    fn norm_gradient(
        &self,
        packing: &Packing,
        dy: &Self::Buffer,
        norm: &Norm<Self>,
        cache: &NormCache<Self>,
        dx: &mut Self::Buffer,
    );

    /// Mean of each sequence's rows, linear classifier, cross entropy.
    ///
    /// `parameters` holds one set a segment, `slot` says where the head lies in a set. With `gradient`, also writes
    /// `d_hidden` and adds to the head's gradients, each sequence's loss weighted by `weights[sequence]`.
    #[allow(clippy::too_many_arguments)]
    fn classify(
        &self,
        packing: &Packing,
        hidden: &Self::Buffer,
        slot: HeadSlot,
        parameters: &Self::Buffer,
        labels: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome>;
}

/// Where [`Backend::classify`] puts gradients.
pub struct HeadGradient<'a, B: Backend> {
    /// Weight of each sequence's loss in the total, usually one over the client's batch size.
    pub weights: &'a [f64],
    /// `[segments, slot.stride]`, added to.
    pub parameters: &'a mut B::Buffer,
    /// `[rows, width]`, written.
    pub hidden: &'a mut B::Buffer,
}
