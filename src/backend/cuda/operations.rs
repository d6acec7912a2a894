//! The backend's operations: each finds its arrays and queues the launches that do it.

use super::arena::Purpose;
use super::backend::Cuda;
use super::buffer::{Buffer, Kind, Matrix};
use super::language::Vocabulary;
use super::launch::PairArguments;
use super::layers::Place;
use super::tables::bytes_of;
use crate::backend::{
    Activation, AdamWStep, Adapted, AdaptedGradient, AdapterCache, AdapterSlot, AttentionGradient, AttentionInput,
    AttentionSaved, AttentionShape, Backend, Content, Embedding, EmbeddingSlots, Epilogue, GradientEpilogue,
    HeadGradient, HeadSlot, Linear, Norm, NormCache, NormSlots, Numbers, Packing, QuantisedMatrix, Rotary, ScaleSlot,
    SequenceOutcome, Targets, Trainable, Underway,
};
use half::f16;
use half::slice::HalfFloatSliceExt as _;

fn halves(values: &[f32]) -> Vec<f16> {
    let mut stored = vec![f16::ZERO; values.len()];
    stored.convert_from_f32_slice(values);
    stored
}

impl Cuda {
    /// Tokens a pass: enough to fill a large card with a small model, few enough for a large model's activations.
    pub const CHUNK_TOKENS: usize = 4096;

    fn pair(&self, x: &Buffer, len: usize, y: &Buffer) -> PairArguments {
        PairArguments { x: x.halves(len), y: y.halves(len), len: len as i64 }
    }
}

impl Backend for Cuda {
    type Buffer = Buffer;
    type Matrix = Matrix;

    fn chunk_tokens(&self) -> usize {
        self.pass_tokens()
    }

    fn takes_one_pass(&self) -> bool {
        true
    }

    /// Every client's weights start at a multiple of 16 bytes: kernels copy so many at once, and tensors have maps.
    fn parameter_stride(&self, len: usize) -> usize {
        len.next_multiple_of(8)
    }

    fn write(&self, values: &[f32], buffer: &mut Buffer) {
        let to = self.room_for(buffer, values.len(), Kind::Half, Purpose::Uploads);
        self.write_bytes(to, bytes_of(&halves(values)));
    }

    fn read(&self, buffer: &Buffer, len: usize) -> Vec<f32> {
        self.values(buffer, len)
    }

    fn zero(&self, buffer: &mut Buffer, len: usize) {
        let to = self.room(buffer, len);
        self.zero_bytes(to, Kind::Half.bytes() * len);
    }

    fn zero_sums(&self, buffer: &mut Buffer, len: usize) {
        let to = self.room_for(buffer, len, Kind::Single, Purpose::ParameterGradients);
        self.zero_bytes(to, Kind::Single.bytes() * len);
    }

    fn takes_steps(&self) -> bool {
        true
    }

    fn add_sums(&self, gradient: &Buffer, at: usize, len: usize, sums: &mut Buffer) {
        self.accumulate(gradient, at, len, sums);
    }

    fn adamw(
        &self,
        step: &AdamWStep,
        gradient: &mut Buffer,
        inverse_scale: f32,
        parameters: &[f32],
        moments: [&Numbers; 2],
    ) -> Underway {
        self.adamw_step(step, gradient, inverse_scale, parameters, moments)
    }

    fn copy(&self, from: &Buffer, len: usize, to: &mut Buffer) {
        let (from, to) = (from.halves(len), self.room(to, len));
        self.copy_bytes(from, to, Kind::Half.bytes() * len);
    }

    fn add(&self, x: &Buffer, len: usize, y: &mut Buffer) {
        self.run(self.pair(x, len, y).add());
    }

    fn multiply(&self, x: &Buffer, len: usize, y: &mut Buffer) {
        self.run(self.pair(x, len, y).multiply());
    }

    fn matrix(&self, values: &[f32], outputs: usize, inputs: usize) -> Matrix {
        assert_eq!(values.len(), outputs * inputs, "a matrix of {outputs} x {inputs}");
        Matrix { block: self.uploaded(bytes_of(&halves(values)), Purpose::FrozenMatrices), few_bits: None }
    }

    fn keeps_few_bits(&self) -> bool {
        true
    }

    fn quantised_matrix(&self, matrix: &QuantisedMatrix) -> Option<Matrix> {
        self.few_bits(matrix)
    }

    fn embed(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        embedding: &Embedding<Self>,
        slots: &EmbeddingSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Buffer,
    ) {
        self.embed_rows(packing, content, embedding, slots, trainable, out);
    }

    fn embed_gradient(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        slots: &EmbeddingSlots,
        has_class_token: bool,
        width: usize,
        d_out: &Buffer,
        stride: usize,
        gradient: &mut Buffer,
        d_patches: Option<&mut Buffer>,
    ) {
        let (d_out, gradient) = ((d_out, width), (&*gradient, stride));
        self.embed_backward(packing, content, slots, has_class_token, d_out, gradient, d_patches);
    }

    fn linear(
        &self,
        packing: &Packing,
        x: &Buffer,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Buffer,
    ) {
        self.linear_forward(packing, x, layer, adapted, epilogue, y);
    }

    fn linear_gradient(
        &self,
        packing: &Packing,
        dy: &Buffer,
        layer: &Linear<Self>,
        adapted: AdaptedGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        dx: &mut Buffer,
    ) {
        self.linear_backward(packing, dy, layer, adapted, epilogue, dx);
    }

    fn attention(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        context: &mut Buffer,
        log_sum: &mut Buffer,
    ) {
        self.attention_forward(packing, shape, input, context, log_sum);
    }

    fn attention_gradient(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        saved: AttentionSaved<'_, Self>,
        d_context: &Buffer,
        gradient: AttentionGradient<'_, Self>,
    ) {
        self.attention_backward(packing, shape, input, saved, d_context, gradient);
    }

    fn rotate(
        &self,
        packing: &Packing,
        rotary: &Rotary,
        heads: usize,
        backwards: bool,
        buffer: &mut Buffer,
        row: usize,
        column: usize,
    ) {
        self.rotate_rows(packing, rotary, heads, backwards, buffer, Place { row, column });
    }

    fn norm(
        &self,
        packing: &Packing,
        x: &Buffer,
        residual: Option<&Buffer>,
        norm: &Norm<Self>,
        slots: NormSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Buffer,
        cache: Option<&mut NormCache<Self>>,
    ) {
        self.norm_forward(packing, (x, residual), norm, (slots, trainable), out, cache);
    }

    fn norm_gradient(
        &self,
        packing: &Packing,
        dy: &Buffer,
        norm: &Norm<Self>,
        cache: &NormCache<Self>,
        slots: NormSlots,
        trainable: Trainable<'_, Self>,
        gradient: &mut Buffer,
        accumulate: bool,
        dx: &mut Buffer,
    ) {
        self.norm_backward(packing, dy, norm, cache, (slots, trainable), gradient, accumulate, dx);
    }

    fn gate(&self, packing: &Packing, pairs: &Buffer, width: usize, activation: Activation, out: &mut Buffer) {
        self.gate_forward(packing.rows(), pairs, width, activation, out);
    }

    fn gate_gradient(
        &self,
        packing: &Packing,
        pairs: &Buffer,
        width: usize,
        activation: Activation,
        d_out: &Buffer,
        d_pairs: &mut Buffer,
    ) {
        self.gate_backward(packing.rows(), (pairs, d_out), width, activation, d_pairs);
    }

    fn scale(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        x: &mut Buffer,
        row: usize,
        column: usize,
        before: Option<&mut Buffer>,
    ) {
        self.scale_forward(packing, slot, trainable, x, Place { row, column }, before);
    }

    fn scale_gradient(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        before: &Buffer,
        gradient: &mut Buffer,
        dx: &mut Buffer,
        row: usize,
        column: usize,
    ) {
        self.scale_backward(packing, slot, trainable, before, gradient, dx, Place { row, column });
    }

    fn adapter(
        &self,
        packing: &Packing,
        x: &Buffer,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &mut AdapterCache<Self>,
        y: &mut Buffer,
    ) {
        self.adapter_forward(packing, x, slot, trainable, cache, y);
    }

    fn adapter_gradient(
        &self,
        packing: &Packing,
        dy: &Buffer,
        x: &Buffer,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &AdapterCache<Self>,
        scratch: &mut Buffer,
        gradient: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) {
        self.adapter_backward(packing, (dy, x), slot, trainable, cache, scratch, gradient, dx);
    }

    fn classify(
        &self,
        packing: &Packing,
        hidden: &Buffer,
        slot: HeadSlot,
        trainable: Trainable<'_, Self>,
        targets: Targets<'_>,
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        self.classify_rows(packing, hidden, slot, trainable, targets, gradient)
    }

    fn predict_tokens(
        &self,
        packing: &Packing,
        hidden: &Buffer,
        output: &Linear<Self>,
        weight: Option<usize>,
        scale: f64,
        trainable: Trainable<'_, Self>,
        targets: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        let head = Vocabulary { output, weight, scale, trainable };
        self.predict_rows(packing, hidden, &head, targets, gradient)
    }
}
