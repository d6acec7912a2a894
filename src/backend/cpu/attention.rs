//! Attention inside each sequence of a packed batch, head by head, and its gradient.

use super::dispatch::{LANES, vectorised};
use super::elementwise::lane_sum;
use super::scalar::Scalar;
use super::small_product::{Strided, small_product};
use crate::backend::{AttentionShape, Packing};

/// What the forward pass left: `[rows, 3 * width]`, `[rows, width]`, `[rows, heads]`.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a, T> {
    pub qkv: &'a [T],
    pub context: &'a [T],
    pub log_sum: &'a [T],
}

/// One head of one sequence: where its first value lies and how far its rows are apart.
#[derive(Clone, Copy)]
struct Head {
    tokens: usize,
    dim: usize,
    /// Of the queries in `[rows, 3 * width]`; keys and values follow `width` and `2 * width` later.
    qkv: usize,
    /// In `[rows, width]`.
    context: usize,
    /// In `[rows, heads]`.
    log_sum: usize,
    width: usize,
    heads: usize,
    scale: f64,
}

impl Head {
    fn all(packing: &Packing, shape: AttentionShape) -> impl Iterator<Item = Head> + '_ {
        let (width, heads, dim) = (shape.width(), shape.heads, shape.head_dim);
        packing.all_sequence_rows().flat_map(move |rows| {
            (0..heads).map(move |h| Head {
                tokens: rows.len(),
                dim,
                qkv: rows.start * 3 * width + h * dim,
                context: rows.start * width + h * dim,
                log_sum: rows.start * heads + h,
                width,
                heads,
                scale: shape.scale,
            })
        })
    }

    /// Length of a row of scores, rounded up so that every row is whole registers.
    fn padded(&self) -> usize {
        self.tokens.next_multiple_of(LANES)
    }
}

/// Working memory for the largest sequence of a call.
struct Scratch<T> {
    /// Keys or values transposed, `[head_dim, padded]`.
    transposed: Vec<T>,
    /// Probabilities, `[tokens, padded]`.
    probabilities: Vec<T>,
    /// Gradients of the scores, `[tokens, padded]`.
    d_scores: Vec<T>,
}

impl<T: Scalar> Scratch<T> {
    fn new(packing: &Packing, shape: AttentionShape, with_gradient: bool) -> Self {
        let longest = packing.all_sequence_rows().map(|r| r.len()).max().unwrap_or(0);
        let padded = longest.next_multiple_of(LANES);
        Self {
            transposed: vec![T::ZERO; shape.head_dim * padded],
            probabilities: vec![T::ZERO; longest * padded],
            d_scores: vec![T::ZERO; if with_gradient { longest * padded } else { 0 }],
        }
    }
}

pub(super) fn forward<T: Scalar>(
    packing: &Packing,
    shape: AttentionShape,
    qkv: &[T],
    context: &mut [T],
    log_sum: &mut [T],
) {
    let mut scratch = Scratch::new(packing, shape, false);
    for head in Head::all(packing, shape) {
        head_forward(head, qkv, context, log_sum, &mut scratch);
    }
}

pub(super) fn gradient<T: Scalar>(
    packing: &Packing,
    shape: AttentionShape,
    saved: Saved<'_, T>,
    d_context: &[T],
    d_qkv: &mut [T],
) {
    let mut scratch = Scratch::new(packing, shape, true);
    for head in Head::all(packing, shape) {
        head_gradient(head, saved, d_context, d_qkv, &mut scratch);
    }
}

/// `[tokens, dim]` rows that are `stride` apart become `[dim, padded]`, padded with zeros.
#[inline(always)]
fn transpose<T: Scalar>(head: Head, rows: &[T], stride: usize, out: &mut [T]) {
    let padded = head.padded();
    for d in 0..head.dim {
        let out = &mut out[d * padded..][..padded];
        for (j, o) in out.iter_mut().enumerate() {
            *o = if j < head.tokens { rows[j * stride + d] } else { T::ZERO };
        }
    }
}

/// `[tokens, padded]` products of every query (or context gradient) with every key (or value); columns beyond
/// `tokens` are zero.
#[inline(always)]
fn all_pairs<T: Scalar>(head: Head, a: &[T], a_row: usize, transposed: &[T], out: &mut [T]) {
    let padded = head.padded();
    let a = Strided { data: a, row: a_row, column: 1 };
    small_product((head.tokens, padded, head.dim), a, (transposed, padded), (out, padded));
}

vectorised! {
    fn head_forward<T>(head: Head, qkv: &[T], context: &mut [T], log_sum: &mut [T], scratch: &mut Scratch<T>) {
        let (tokens, padded, stride) = (head.tokens, head.padded(), 3 * head.width);
        let Scratch { transposed, probabilities, .. } = scratch;
        transpose(head, &qkv[head.qkv + head.width..], stride, transposed);
        all_pairs(head, &qkv[head.qkv..], stride, transposed, probabilities);
        let scale = T::from_f64(head.scale);
        for (i, row) in probabilities.chunks_exact_mut(padded).take(tokens).enumerate() {
            // Columns beyond the sequence stay zero: nothing reads them as probabilities.
            let row = &mut row[..tokens];
            let mut largest = row[0];
            for &s in row.iter() {
                largest = largest.maximum(s);
            }
            for s in row.iter_mut() {
                *s = ((*s - largest) * scale).exp();
            }
            let sum = lane_sum(row, row, |p, _| p);
            let inverse = T::ONE / sum;
            for p in row.iter_mut() {
                *p *= inverse;
            }
            log_sum[head.log_sum + i * head.heads] = largest * scale + sum.ln();
        }
        let p = Strided { data: probabilities, row: padded, column: 1 };
        let values = &qkv[head.qkv + 2 * head.width..];
        small_product((tokens, head.dim, tokens), p, (values, stride), (&mut context[head.context..], head.width));
    }
}

vectorised! {
    /// With P the probabilities and O the context (Dao et al. 2022, appendix B.4):
    /// `dV = P^T dO`, `dS = P (dO V^T - rowsum(dO O)) scale`, `dQ = dS K`, `dK = dS^T Q`.
    fn head_gradient<T>(
        head: Head,
        saved: Saved<'_, T>,
        d_context: &[T],
        d_qkv: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (tokens, padded, dim, width) = (head.tokens, head.padded(), head.dim, head.width);
        let stride = 3 * width;
        let Scratch { transposed, probabilities, d_scores } = scratch;
        let (q, k, v) = (head.qkv, head.qkv + width, head.qkv + 2 * width);
        let scale = T::from_f64(head.scale);

        transpose(head, &saved.qkv[k..], stride, transposed);
        all_pairs(head, &saved.qkv[q..], stride, transposed, probabilities);
        transpose(head, &saved.qkv[v..], stride, transposed);
        let d_out = &d_context[head.context..];
        all_pairs(head, d_out, width, transposed, d_scores);
        let rows = probabilities.chunks_exact_mut(padded).zip(d_scores.chunks_exact_mut(padded)).take(tokens);
        for (i, (p, d)) in rows.enumerate() {
            let log_sum = saved.log_sum[head.log_sum + i * head.heads];
            let row = head.context + i * width;
            let d_sum = lane_sum(&saved.context[row..][..dim], &d_context[row..][..dim], |o, d| o * d);
            for (p, d) in p[..tokens].iter_mut().zip(&mut d[..tokens]) {
                *p = (*p * scale - log_sum).exp();
                *d = *p * (*d - d_sum) * scale;
            }
        }
        let shape = (tokens, dim, tokens);
        let p_transposed = Strided { data: &*probabilities, row: 1, column: padded };
        let d_transposed = Strided { data: &*d_scores, row: 1, column: padded };
        let d = Strided { data: &*d_scores, row: padded, column: 1 };
        small_product(shape, d, (&saved.qkv[k..], stride), (&mut d_qkv[q..], stride));
        small_product(shape, d_transposed, (&saved.qkv[q..], stride), (&mut d_qkv[k..], stride));
        small_product(shape, p_transposed, (d_out, width), (&mut d_qkv[v..], stride));
    }
}
