//! The backend's operations: each takes its buffers apart and calls the kernel that does it.

use super::activation::with_curve;
use super::parameters::{GradientSets, Sets};
use super::product::CpuMatrix;
use super::scalar::Scalar;
use super::{CHUNK_TOKENS, Cpu, Storage, grow};
use super::{
    adapter, attention, attention_gradient, classify, elementwise, embedding, language, linear, linear_gradient, norm,
    rotary, scaling,
};
use crate::backend::rows::content_rows;
use crate::backend::{
    Activation, Adapted, AdaptedGradient, AdapterCache, AdapterSlot, AttentionGradient, AttentionInput, AttentionSaved,
    AttentionShape, Backend, Content, Embedding, EmbeddingSlots, Epilogue, GradientEpilogue, HeadGradient, HeadSlot,
    Linear, Norm, NormCache, NormSlots, Packing, Rotary, ScaleSlot, SequenceOutcome, Targets, Trainable,
};

impl<T: Scalar, S: Storage<T>> Backend for Cpu<T, S> {
    type Buffer = Vec<T>;
    type Matrix = CpuMatrix<T>;

    fn chunk_tokens(&self) -> usize {
        CHUNK_TOKENS
    }

    fn write(&self, values: &[f32], buffer: &mut Vec<T>) {
        buffer.clear();
        buffer.extend(values.iter().map(|&v| T::from_f32(v)));
        S::store(buffer);
    }

    fn read(&self, buffer: &Vec<T>, len: usize) -> Vec<f32> {
        buffer[..len].iter().map(|v| v.to_f32()).collect()
    }

    fn zero(&self, buffer: &mut Vec<T>, len: usize) {
        buffer.clear();
        buffer.resize(len, T::ZERO);
    }

    fn copy(&self, from: &Vec<T>, len: usize, to: &mut Vec<T>) {
        grow(to, len).copy_from_slice(&from[..len]);
    }

    fn add(&self, x: &Vec<T>, len: usize, y: &mut Vec<T>) {
        elementwise::add_to(&x[..len], &mut y[..len]);
        S::store(&mut y[..len]);
    }

    fn multiply(&self, x: &Vec<T>, len: usize, y: &mut Vec<T>) {
        elementwise::multiply(&mut y[..len], &x[..len]);
        S::store(&mut y[..len]);
    }

    fn matrix(&self, values: &[f32], outputs: usize, inputs: usize) -> CpuMatrix<T> {
        CpuMatrix::new::<S>(values, outputs, inputs)
    }

    fn embed(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        embedding: &Embedding<Self>,
        slots: &EmbeddingSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Vec<T>,
    ) {
        let out = grow(out, packing.rows() * embedding.width);
        embedding::forward(packing, content, embedding, slots, trainable.into(), out);
    }

    fn embed_gradient(
        &self,
        packing: &Packing,
        content: Content<'_, Self>,
        slots: &EmbeddingSlots,
        has_class_token: bool,
        width: usize,
        d_out: &Vec<T>,
        stride: usize,
        gradient: &mut Vec<T>,
        d_patches: Option<&mut Vec<T>>,
    ) {
        let patches = content_rows(packing, slots, has_class_token);
        let d_patches = d_patches.map(|buffer| grow(buffer, patches * width));
        let gradient = GradientSets::new(gradient, stride);
        embedding::gradient(packing, content, (slots, has_class_token), (d_out, width), gradient, d_patches);
    }

    fn linear(
        &self,
        packing: &Packing,
        x: &Vec<T>,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Vec<T>,
    ) {
        linear::forward(packing, x, layer, adapted, epilogue, false, y);
    }

    fn frozen_product(&self, rows: usize, x: &Vec<T>, layer: &Linear<Self>, y: &mut Vec<T>) -> bool {
        let survives = S::EXACT && size_of::<T>() == size_of::<f32>();
        if survives {
            layer.weight.product(rows, x, T::ONE, false, grow(y, rows * layer.outputs));
        }
        survives
    }

    fn linear_from_product(
        &self,
        packing: &Packing,
        x: &Vec<T>,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Vec<T>,
    ) {
        linear::forward(packing, x, layer, adapted, epilogue, true, y);
    }

    fn linear_gradient(
        &self,
        packing: &Packing,
        dy: &Vec<T>,
        layer: &Linear<Self>,
        adapted: AdaptedGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        dx: &mut Vec<T>,
    ) {
        linear_gradient::gradient(packing, dy, layer, adapted, epilogue, dx);
    }

    fn attention(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        context: &mut Vec<T>,
        log_sum: &mut Vec<T>,
    ) {
        let (context, log_sum) =
            (grow(context, packing.rows() * shape.width()), grow(log_sum, packing.rows() * shape.heads));
        attention::forward(packing, shape, input, context, log_sum);
    }

    fn attention_gradient(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        saved: AttentionSaved<'_, Self>,
        d_context: &Vec<T>,
        gradient: AttentionGradient<'_, Self>,
    ) {
        attention_gradient::gradient(packing, shape, input, saved, d_context, gradient);
    }

    fn rotate(
        &self,
        packing: &Packing,
        rotary: &Rotary,
        heads: usize,
        backwards: bool,
        buffer: &mut Vec<T>,
        row: usize,
        column: usize,
    ) {
        let values = &mut buffer[..packing.rows() * row];
        rotary::rotate(packing, rotary, rotary::Heads { count: heads, row, column }, backwards, values);
        S::store(values);
    }

    fn norm(
        &self,
        packing: &Packing,
        x: &Vec<T>,
        residual: Option<&Vec<T>>,
        norm: &Norm<Self>,
        slots: NormSlots,
        trainable: Trainable<'_, Self>,
        out: &mut Vec<T>,
        cache: Option<&mut NormCache<Self>>,
    ) {
        let (out, residual) = (grow(out, packing.rows() * norm.width), residual.map(Vec::as_slice));
        norm::forward(packing, (x, residual), norm, slots, trainable.into(), out, cache);
    }

    fn norm_gradient(
        &self,
        packing: &Packing,
        dy: &Vec<T>,
        norm: &Norm<Self>,
        cache: &NormCache<Self>,
        slots: NormSlots,
        trainable: Trainable<'_, Self>,
        gradient: &mut Vec<T>,
        accumulate: bool,
        dx: &mut Vec<T>,
    ) {
        let len = packing.rows() * norm.width;
        let dx = if accumulate { &mut dx[..len] } else { grow(dx, len) };
        let gradient = GradientSets::new(gradient, trainable.stride);
        norm::gradient(packing, dy, norm, cache, (slots, trainable.into(), gradient), accumulate, dx);
    }

    fn gate(&self, packing: &Packing, pairs: &Vec<T>, width: usize, activation: Activation, out: &mut Vec<T>) {
        let len = packing.rows() * width;
        let out = grow(out, len);
        with_curve!(activation, C => elementwise::gate::<T, C>(&pairs[..2 * len], width, out));
        S::store(out);
    }

    fn gate_gradient(
        &self,
        packing: &Packing,
        pairs: &Vec<T>,
        width: usize,
        activation: Activation,
        d_out: &Vec<T>,
        d_pairs: &mut Vec<T>,
    ) {
        let len = packing.rows() * width;
        let (d_out, d_pairs) = (&d_out[..len], grow(d_pairs, 2 * len));
        with_curve!(activation, C => elementwise::gate_gradient::<T, C>(&pairs[..2 * len], width, d_out, d_pairs));
        S::store(d_pairs);
    }

    fn scale(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        x: &mut Vec<T>,
        row: usize,
        column: usize,
        before: Option<&mut Vec<T>>,
    ) {
        let x = &mut x[..packing.rows() * row];
        let before = before.map(|b| grow(b, packing.rows() * slot.columns));
        scaling::forward(packing, slot, trainable.into(), x, scaling::Place { row, column }, before);
        S::store(x);
    }

    fn scale_gradient(
        &self,
        packing: &Packing,
        slot: ScaleSlot,
        trainable: Trainable<'_, Self>,
        before: &Vec<T>,
        gradient: &mut Vec<T>,
        dx: &mut Vec<T>,
        row: usize,
        column: usize,
    ) {
        let dx = &mut dx[..packing.rows() * row];
        let gradient = GradientSets::new(gradient, trainable.stride);
        scaling::gradient(packing, slot, trainable.into(), before, gradient, dx, scaling::Place { row, column });
        S::store(dx);
    }

    fn adapter(
        &self,
        packing: &Packing,
        x: &Vec<T>,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &mut AdapterCache<Self>,
        y: &mut Vec<T>,
    ) {
        adapter::forward(packing, x, slot, trainable.into(), cache, y);
    }

    fn adapter_gradient(
        &self,
        packing: &Packing,
        dy: &Vec<T>,
        x: &Vec<T>,
        slot: AdapterSlot,
        trainable: Trainable<'_, Self>,
        cache: &AdapterCache<Self>,
        scratch: &mut Vec<T>,
        gradient: &mut Vec<T>,
        dx: Option<&mut Vec<T>>,
    ) {
        let saved = adapter::Saved { dy, x, activated: &cache.activated, derivative: &cache.derivative };
        let gradient = GradientSets::new(gradient, trainable.stride);
        let (scratch, dx) = (grow(scratch, packing.rows() * slot.bottleneck), dx.map(Vec::as_mut_slice));
        adapter::gradient::<T, S>(packing, saved, slot, trainable.into(), scratch, gradient, dx);
    }

    fn classify(
        &self,
        packing: &Packing,
        hidden: &Vec<T>,
        slot: HeadSlot,
        trainable: Trainable<'_, Self>,
        targets: Targets<'_>,
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        classify::classify(packing, hidden, slot, (trainable.into(), trainable.stride), targets, gradient)
    }

    fn predict_tokens(
        &self,
        packing: &Packing,
        hidden: &Vec<T>,
        output: &Linear<Self>,
        weight: Option<usize>,
        scale: f64,
        trainable: Trainable<'_, Self>,
        targets: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        let head = language::Head { output, weight, scale, sets: Sets::from(trainable) };
        language::predict_tokens(packing, hidden, head, trainable.stride, targets, gradient)
    }
}
