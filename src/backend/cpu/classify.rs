//! Mean pooling, the linear classifier and cross entropy: little arithmetic, done in one go.

use super::dispatch::vectorised;
use super::elementwise::lane_sum;
use super::scalar::Scalar;
use super::{Cpu, grow};
use crate::backend::{HeadGradient, HeadSlot, Packing, SequenceOutcome};

pub(super) fn classify<T: Scalar>(
    packing: &Packing,
    hidden: &[T],
    slot: HeadSlot,
    parameters: &[T],
    labels: &[u32],
    mut gradient: Option<HeadGradient<'_, Cpu<T>>>,
) -> Vec<SequenceOutcome> {
    let HeadSlot { width, classes, stride, .. } = slot;
    let mut outcomes = Vec::with_capacity(packing.sequences());
    let mut pooled = vec![T::ZERO; width];
    let mut d_pooled = vec![T::ZERO; width];
    for (segment, sequences) in packing.segments().iter().enumerate() {
        let set = &parameters[segment * stride..][..stride];
        for sequence in sequences.clone() {
            let rows = packing.sequence_rows(sequence);
            let inverse_len = T::from_f64(1.0 / rows.len() as f64);
            mean_rows(&hidden[rows.start * width..rows.end * width], inverse_len, &mut pooled);
            let logits: Vec<f64> = (0..classes)
                .map(|c| {
                    let weight = &set[slot.weight + c * width..][..width];
                    (dot(weight, &pooled) + set[slot.bias + c]).to_f64()
                })
                .collect();
            let label = labels[sequence] as usize;
            let (outcome, probabilities) = cross_entropy(&logits, label);
            outcomes.push(outcome);

            if let Some(gradient) = &mut gradient {
                d_pooled.fill(T::ZERO);
                let d_set = &mut gradient.parameters[segment * stride..][..stride];
                for (c, &p) in probabilities.iter().enumerate() {
                    let target = if c == label { 1.0 } else { 0.0 };
                    let d_logit = T::from_f64(gradient.weights[sequence] * (p - target));
                    axpy(d_logit, &pooled, &mut d_set[slot.weight + c * width..][..width]);
                    d_set[slot.bias + c] += d_logit;
                    axpy(d_logit * inverse_len, &set[slot.weight + c * width..][..width], &mut d_pooled);
                }
                let d_hidden = grow(gradient.hidden, packing.rows() * width);
                for row in d_hidden[rows.start * width..rows.end * width].chunks_exact_mut(width) {
                    row.copy_from_slice(&d_pooled);
                }
            }
        }
    }
    outcomes
}

/// Loss, prediction and softmax of one sequence's logits.
fn cross_entropy(logits: &[f64], label: usize) -> (SequenceOutcome, Vec<f64>) {
    let best = (1..logits.len()).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
    let exponentials: Vec<f64> = logits.iter().map(|l| (l - logits[best]).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    let loss = sum.ln() + logits[best] - logits[label];
    (SequenceOutcome { loss, prediction: best as u32 }, exponentials.iter().map(|e| e / sum).collect())
}

vectorised! {
    fn mean_rows<T>(rows: &[T], inverse_len: T, out: &mut [T]) {
        out.fill(T::ZERO);
        for row in rows.chunks_exact(out.len()) {
            for (o, &x) in out.iter_mut().zip(row) {
                *o += x;
            }
        }
        for o in out.iter_mut() {
            *o *= inverse_len;
        }
    }
}

vectorised! {
    fn dot<T>(a: &[T], b: &[T]) -> T {
        lane_sum(a, b, |a, b| a * b)
    }
}

vectorised! {
    /// `y += factor * x`.
    fn axpy<T>(factor: T, x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += factor * x;
        }
    }
}
