//! Pooling, the linear head and its loss: little arithmetic, done in one go.

use super::dispatch::vectorised;
use super::elementwise::{axpy, dot};
use super::parameters::Sets;
use super::scalar::Scalar;
use super::{Cpu, Storage, grow};
use crate::backend::rows::read_rows;
use crate::backend::{HeadGradient, HeadSlot, Packing, SequenceOutcome, Targets};

pub(super) fn classify<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    hidden: &[T],
    slot: HeadSlot,
    (sets, stride): (Sets<'_, T>, usize),
    targets: Targets<'_>,
    mut gradient: Option<HeadGradient<'_, Cpu<T, S>>>,
) -> Vec<SequenceOutcome> {
    let HeadSlot { width, outputs, .. } = slot;
    let mut outcomes = Vec::with_capacity(packing.sequences());
    let mut pooled = vec![T::ZERO; width];
    let mut d_pooled = vec![T::ZERO; width];
    if let Some(gradient) = &mut gradient {
        grow(gradient.hidden, packing.rows() * width);
    }
    for (client, sequences) in packing.segments().iter().enumerate() {
        let weights = sets.tensor(client, slot.weight, outputs * width);
        let biases = sets.tensor(client, slot.bias, outputs);
        for sequence in sequences.clone() {
            let rows = read_rows(packing.sequence_rows(sequence), slot);
            let inverse_len = T::from_f64(1.0 / rows.len() as f64);
            mean_rows(&hidden[rows.start * width..rows.end * width], inverse_len, &mut pooled);
            let answers: Vec<f64> = weights
                .chunks_exact(width)
                .zip(biases)
                .map(|(weight, &bias)| (dot(weight, &pooled) + bias).to_f64())
                .collect();
            let (outcome, d_answers) = match targets {
                Targets::Classes(labels) => cross_entropy(&answers, labels[sequence] as usize),
                Targets::Values(values) => squared_error(answers[0], f64::from(values[sequence])),
            };
            outcomes.push(outcome);

            let Some(gradient) = &mut gradient else { continue };
            d_pooled.fill(T::ZERO);
            let d_set = &mut gradient.parameters[client * stride..][..stride];
            for (o, &d) in d_answers.iter().enumerate() {
                let d = T::from_f64(gradient.weights[sequence] * d);
                axpy(d, &pooled, &mut d_set[slot.weight + o * width..][..width]);
                d_set[slot.bias + o] += d;
                axpy(d * inverse_len, &weights[o * width..][..width], &mut d_pooled);
            }
            let all = packing.sequence_rows(sequence);
            gradient.hidden[all.start * width..rows.start * width].fill(T::ZERO);
            gradient.hidden[rows.end * width..all.end * width].fill(T::ZERO);
            for row in gradient.hidden[rows.start * width..rows.end * width].chunks_exact_mut(width) {
                row.copy_from_slice(&d_pooled);
            }
        }
    }
    if let Some(gradient) = gradient {
        S::store(&mut gradient.hidden[..packing.rows() * width]);
    }
    outcomes
}

/// Outcome of one sequence, and the gradient of its logits.
fn cross_entropy(logits: &[f64], label: usize) -> (SequenceOutcome, Vec<f64>) {
    let best = (1..logits.len()).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
    let mut d: Vec<f64> = logits.iter().map(|l| (l - logits[best]).exp()).collect();
    let sum: f64 = d.iter().sum();
    let loss = sum.ln() + logits[best] - logits[label];
    d.iter_mut().for_each(|d| *d /= sum);
    d[label] -= 1.0;
    let correct = u32::from(best == label);
    (SequenceOutcome { loss, targets: 1, correct, prediction: best as u32, value: 0.0 }, d)
}

/// Outcome of one sequence, and the gradient of its answer.
fn squared_error(value: f64, target: f64) -> (SequenceOutcome, Vec<f64>) {
    let error = value - target;
    (SequenceOutcome { loss: error * error, targets: 1, correct: 0, prediction: 0, value }, vec![2.0 * error])
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
