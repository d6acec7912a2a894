//! The CPU backend: one pass on one thread, products by the `gemm` crate, everything else vectorised here.
//!
//! Generic over the number type: `f32` for work, `f64` so that finite differences can check the gradients. Threads
//! belong to the caller, who runs many small passes side by side; nothing in here forks, so no result depends on
//! how many threads there are.

mod attention;
mod classify;
mod dispatch;
mod elementwise;
mod linear;
mod norm;
mod scalar;
mod small_product;

pub use linear::CpuMatrix;
pub use scalar::Scalar;

use super::{
    AttentionShape, Backend, Epilogue, GradientEpilogue, HeadGradient, HeadSlot, Linear, Lora, LoraGradient, Norm,
    NormCache, Packing, SequenceOutcome,
};
use std::marker::PhantomData;

/// Tokens a pass: products of this many rows run near the crate's peak, and a client's batch still splits into a few.
const CHUNK_TOKENS: usize = 320;

/// Computes on the calling thread in numbers of type `T`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu<T: Scalar = f32>(PhantomData<T>);

impl<T: Scalar> Cpu<T> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

fn grow<T: Scalar>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        *buffer = vec![T::ZERO; len];
    }
    &mut buffer[..len]
}

impl<T: Scalar> Backend for Cpu<T> {
    type Buffer = Vec<T>;
    type Matrix = CpuMatrix<T>;

    fn chunk_tokens(&self) -> usize {
        CHUNK_TOKENS
    }

    fn write(&self, values: &[f32], buffer: &mut Vec<T>) {
        buffer.clear();
        buffer.extend(values.iter().map(|&v| T::from_f32(v)));
    }

    fn read(&self, buffer: &Vec<T>, len: usize) -> Vec<f32> {
        buffer[..len].iter().map(|v| v.to_f32()).collect()
    }

    fn reserve(&self, buffer: &mut Vec<T>, len: usize) {
        grow(buffer, len);
    }

    fn zero(&self, buffer: &mut Vec<T>, len: usize) {
        buffer.clear();
        buffer.resize(len, T::ZERO);
    }

    fn matrix(&self, values: &[f32], outputs: usize, inputs: usize) -> CpuMatrix<T> {
        CpuMatrix::new(values, outputs, inputs)
    }

    fn embed(
        &self,
        packing: &Packing,
        ids: &[u32],
        words: &Vec<T>,
        positions: &Vec<T>,
        width: usize,
        out: &mut Vec<T>,
    ) {
        let out = grow(out, packing.rows() * width);
        for rows in packing.all_sequence_rows() {
            let start = rows.start;
            for row in rows {
                let word = &words[ids[row] as usize * width..][..width];
                let position = &positions[(row - start) * width..][..width];
                for ((o, &w), &p) in out[row * width..][..width].iter_mut().zip(word).zip(position) {
                    *o = w + p;
                }
            }
        }
    }

    fn linear(
        &self,
        packing: &Packing,
        x: &Vec<T>,
        layer: &Linear<Self>,
        lora: Lora<'_, Self>,
        epilogue: Epilogue<'_, Self>,
        y: &mut Vec<T>,
    ) {
        linear::forward(packing, x, layer, lora, epilogue, grow(y, packing.rows() * layer.outputs));
    }

    fn linear_gradient(
        &self,
        packing: &Packing,
        dy: &Vec<T>,
        layer: &Linear<Self>,
        lora: LoraGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        dx: &mut Vec<T>,
    ) {
        linear::gradient(packing, dy, layer, lora, epilogue, grow(dx, packing.rows() * layer.inputs));
    }

    fn attention(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        qkv: &Vec<T>,
        context: &mut Vec<T>,
        log_sum: &mut Vec<T>,
    ) {
        let rows = packing.rows();
        attention::forward(packing, shape, qkv, grow(context, rows * shape.width()), grow(log_sum, rows * shape.heads));
    }

    fn attention_gradient(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        qkv: &Vec<T>,
        context: &Vec<T>,
        log_sum: &Vec<T>,
        d_context: &Vec<T>,
        d_qkv: &mut Vec<T>,
    ) {
        let d_qkv = grow(d_qkv, packing.rows() * 3 * shape.width());
        attention::gradient(packing, shape, attention::Saved { qkv, context, log_sum }, d_context, d_qkv);
    }

    fn norm(
        &self,
        packing: &Packing,
        x: &Vec<T>,
        residual: Option<&Vec<T>>,
        norm: &Norm<Self>,
        out: &mut Vec<T>,
        cache: Option<&mut NormCache<Self>>,
    ) {
        let (rows, len) = (packing.rows(), packing.rows() * norm.width);
        let out = grow(out, len);
        match residual {
            Some(residual) => elementwise::add(&x[..len], &residual[..len], out),
            None => out.copy_from_slice(&x[..len]),
        }
        let parameters = norm::Parameters { gain: &norm.gain, shift: &norm.shift, epsilon: T::from_f64(norm.epsilon) };
        match cache {
            Some(cache) => {
                let inverse_deviation = grow(&mut cache.inverse_deviation, rows);
                norm::forward_cached(out, parameters, grow(&mut cache.normalised, len), inverse_deviation);
            }
            None => norm::forward(out, parameters),
        }
    }

    fn norm_gradient(
        &self,
        packing: &Packing,
        dy: &Vec<T>,
        norm: &Norm<Self>,
        cache: &NormCache<Self>,
        dx: &mut Vec<T>,
    ) {
        let (rows, len) = (packing.rows(), packing.rows() * norm.width);
        let inverse_deviation = &cache.inverse_deviation[..rows];
        norm::gradient(&dy[..len], &norm.gain, &cache.normalised[..len], inverse_deviation, grow(dx, len));
    }

    fn classify(
        &self,
        packing: &Packing,
        hidden: &Vec<T>,
        slot: HeadSlot,
        parameters: &Vec<T>,
        labels: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        classify::classify(packing, hidden, slot, parameters, labels, gradient)
    }
}
