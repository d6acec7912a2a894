//! Tensor kernels behind one trait: a small set of fused operations over packed sequences.
//!
//! A backend knows arrays, products and norms; it must not know models, clients' roles, files or time. `cpu/` is the
//! default and the reference that every other backend is tested against. Start reading at [`Backend`], then
//! `description.rs` for what its arguments mean; `nn/` is the only caller.
//!
//! Shapes: activations are row-major `[rows, width]`, one row a token, rows of all sequences end to end. Values that a
//! method says it writes are overwritten, never added to, unless it says so. Gradients of parameters are added to.

pub mod cpu;
pub mod cuda;
mod description;
mod distance;
mod half;
mod quantised;
mod rows;
mod update;

pub use cpu::Cpu;
pub use description::{
    Activation, Adapted, AdaptedGradient, AdapterCache, AdapterSlot, AttentionGradient, AttentionInput, AttentionSaved,
    AttentionShape, Columns, Content, Dropout, Embedding, EmbeddingSlots, Epilogue, GradientEpilogue, HeadGradient,
    HeadSlot, Linear, LinearCache, LinearSlots, LoraSlot, Norm, NormCache, NormSlots, Packing, Pooling, PrefixSlot,
    PromptSlot, RelativeBias, Rotary, ScaleSlot, SequenceOutcome, Targets, Trainable,
};
pub use half::{Half, HalfCpu};
pub use quantised::QuantisedMatrix;
pub use update::{AdamWRun, AdamWStep, Numbers, OnDevice, Underway, Updated};

/// What the learning arithmetic needs from a device.
#[allow(clippy::too_many_arguments)]
pub trait Backend: Send + Sync + Sized {
    /// A growable array of activations, parameters or gradients in the backend's memory.
    type Buffer: Send + Sync + Default;
    /// A frozen matrix, stored in whatever form makes its two products cheap.
    type Matrix: Send + Sync;

    /// Tokens that one pass should carry: enough to fill the device, few enough to share work between threads.
    fn chunk_tokens(&self) -> usize;

    /// Whether a pass fills the device, so that passes run one after another and take the batches of many clients.
    fn takes_one_pass(&self) -> bool {
        false
    }

    /// From one client's parameters to the next's in [`Trainable`], where each has `len`: as many, or more for alignment.
    fn parameter_stride(&self, len: usize) -> usize {
        len
    }

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
    /// Makes `buffer` hold `len` zeros.
    fn zero(&self, buffer: &mut Self::Buffer, len: usize);
    /// The same for gradients of parameters, which are sums and may be kept more precisely than activations.
    fn zero_sums(&self, buffer: &mut Self::Buffer, len: usize) {
        self.zero(buffer, len);
    }
    /// Whether [`Backend::adamw`] takes steps here, so that gradients need not come to the host.
    fn takes_steps(&self) -> bool {
        false
    }
    /// `sums += gradient[at..at + len]`, `sums` of the kind that [`Backend::zero_sums`] makes.
    fn add_sums(&self, _gradient: &Self::Buffer, _at: usize, _len: usize, _sums: &mut Self::Buffer) {
        unreachable!("asked of backends that take steps");
    }
    /// Begins a step from `parameters` along `gradient`, multiplied by `inverse_scale` in place; moments that are empty are zeros.
    fn adamw(
        &self,
        _step: &AdamWStep,
        _gradient: &mut Self::Buffer,
        _inverse_scale: f32,
        _parameters: &[f32],
        _moments: [&Numbers; 2],
    ) -> Underway {
        unreachable!("asked of backends that take steps");
    }
    /// The first `len` values of `from`, written to `to`.
    fn copy(&self, from: &Self::Buffer, len: usize, to: &mut Self::Buffer);
    /// `y += x` on the first `len` values.
    fn add(&self, x: &Self::Buffer, len: usize, y: &mut Self::Buffer);
    /// `y *= x` on the first `len` values.
    fn multiply(&self, x: &Self::Buffer, len: usize, y: &mut Self::Buffer);
    /// Prepares a frozen `[outputs, inputs]` matrix for [`Backend::linear`] and its gradient.
    fn matrix(&self, values: &[f32], outputs: usize, inputs: usize) -> Self::Matrix;

    /// Whether frozen matrices may stay in few bits here: [`Backend::quantised_matrix`].
    fn keeps_few_bits(&self) -> bool {
        false
    }
    /// As [`Backend::matrix`], in the bits that it comes in; `None` where it is to come as numbers.
    fn quantised_matrix(&self, _matrix: &QuantisedMatrix) -> Option<Self::Matrix> {
        None
    }

    /// `out[row] = content + position + token type`, `[packing.rows(), width]`; soft prompts in front.
    fn embed(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        embedding: &Embedding<Self>,
        slots: &EmbeddingSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Self::Buffer,
    );

    /// Gradient of [`Backend::embed`]: adds to the slots' gradients and, if `d_patches` is given, writes the gradient of
    /// the projected patches there.
    fn embed_gradient(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        slots: &EmbeddingSlots,
        has_class_token: bool,
        width: usize,
        d_out: &Self::Buffer,
        stride: usize,
        gradient: &mut Self::Buffer,
        d_patches: Option<&mut Self::Buffer>,
    );

    /// `y = epilogue(x W^T + b + low-rank terms)`, `[rows, outputs]`.
    fn linear(
        &self,
        packing: &Packing,
        x: &Self::Buffer,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Self::Buffer,
    );

    /// `y = x W^T` alone, where results of this backend survive [`Backend::read`] and [`Backend::write`] unchanged; returns
    /// whether it did that.
    fn frozen_product(&self, _rows: usize, _x: &Self::Buffer, _layer: &Linear<Self>, _y: &mut Self::Buffer) -> bool {
        false
    }

    /// As [`Backend::linear`] where `y` is what [`Backend::frozen_product`] left, for a frozen `W` without magnitudes.
    fn linear_from_product(
        &self,
        packing: &Packing,
        x: &Self::Buffer,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Self::Buffer,
    ) {
        self.linear(packing, x, layer, adapted, epilogue, y);
    }

    /// Gradient of [`Backend::linear`] before its epilogue: adds to the slots' gradients and, unless the epilogue is
    /// [`GradientEpilogue::Skip`], combines the input's gradient into `dx`.
    fn linear_gradient(
        &self,
        packing: &Packing,
        dy: &Self::Buffer,
        layer: &Linear<Self>,
        adapted: AdaptedGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        dx: &mut Self::Buffer,
    );

    /// Attention inside each sequence of `packing`: `context` `[rows, width]`, `log_sum` `[rows, heads]`.
    fn attention(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        context: &mut Self::Buffer,
        log_sum: &mut Self::Buffer,
    );

    /// Gradient of [`Backend::attention`]; the probabilities are recomputed from `log_sum` (Dao et al. 2022).
    fn attention_gradient(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        saved: AttentionSaved<'_, Self>,
        d_context: &Self::Buffer,
        gradient: AttentionGradient<'_, Self>,
    );

    /// Turns `heads` heads of `2 * inverse_frequencies.len()` columns each, from `column` on, in rows that are `row`
    /// values apart; `backwards` turns the other way, which is the gradient.
    fn rotate(
        &self,
        packing: &Packing,
        rotary: &Rotary,
        heads: usize,
        backwards: bool,
        buffer: &mut Self::Buffer,
        row: usize,
        column: usize,
    );

    /// `out = norm(x + residual)`; `cache` receives what the gradient needs.
    fn norm(
        &self,
        packing: &Packing,
        x: &Self::Buffer,
        residual: Option<&Self::Buffer>,
        norm: &Norm<Self>,
        slots: NormSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Self::Buffer,
        cache: Option<&mut NormCache<Self>>,
    );

    /// The gradient of `x + residual` under [`Backend::norm`], written to `dx` or added to it; the slots' is added.
    fn norm_gradient(
        &self,
        packing: &Packing,
        dy: &Self::Buffer,
        norm: &Norm<Self>,
        cache: &NormCache<Self>,
        slots: NormSlots,
        trainable: Trainable<'_, Self>,
        gradient: &mut Self::Buffer,
        accumulate: bool,
        dx: &mut Self::Buffer,
    );

    /// `out = act(gate) * up` for `pairs` `[rows, 2 * width]`, gate first (Shazeer 2020).
    fn gate(
        &self,
        packing: &Packing,
        pairs: &Self::Buffer,
        width: usize,
        activation: Activation,
        out: &mut Self::Buffer,
    );

    /// Gradient of [`Backend::gate`], written to `d_pairs`.
    fn gate_gradient(
        &self,
        packing: &Packing,
        pairs: &Self::Buffer,
        width: usize,
        activation: Activation,
        d_out: &Self::Buffer,
        d_pairs: &mut Self::Buffer,
    );

    /// Multiplies columns `column..column + slot.columns` of `x` by the client's factors; `before`, `[rows,
    /// slot.columns]`, receives what they were.
    fn scale(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        x: &mut Self::Buffer,
        row: usize,
        column: usize,
        before: Option<&mut Self::Buffer>,
    );

    /// Gradient of [`Backend::scale`]: adds to the factors' gradient, multiplies the same columns of `dx` in place.
    fn scale_gradient(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        before: &Self::Buffer,
        gradient: &mut Self::Buffer,
        dx: &mut Self::Buffer,
        row: usize,
        column: usize,
    );

    /// `y += scale * (act(x D^T + d) U^T + u)`; `cache` receives what the gradient needs.
    fn adapter(
        &self,
        packing: &Packing,
        x: &Self::Buffer,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &mut AdapterCache<Self>,
        y: &mut Self::Buffer,
    );

    /// Gradient of [`Backend::adapter`]: adds to the slot's gradients and, if given, to `dx`. `scratch` is working memory.
    fn adapter_gradient(
        &self,
        packing: &Packing,
        dy: &Self::Buffer,
        x: &Self::Buffer,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &AdapterCache<Self>,
        scratch: &mut Self::Buffer,
        gradient: &mut Self::Buffer,
        dx: Option<&mut Self::Buffer>,
    );

    /// Pooling, linear head, loss. With `gradient`, also writes `d_hidden` and adds to the head's gradients.
    fn classify(
        &self,
        packing: &Packing,
        hidden: &Self::Buffer,
        slot: HeadSlot,
        trainable: Trainable<'_, Self>,
        targets: Targets<'_>,
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome>;

    /// Next-token prediction: logits `scale * hidden W^T` over the vocabulary, cross entropy.
    ///
    /// `weight` is the client's own `W` in place of the frozen one, such as a tied embedding that is trained. `targets`
    /// has one entry a row, `u32::MAX` where nothing is predicted.
    fn predict_tokens(
        &self,
        packing: &Packing,
        hidden: &Self::Buffer,
        output: &Linear<Self>,
        weight: Option<usize>,
        scale: f64,
        trainable: Trainable<'_, Self>,
        targets: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome>;
}
