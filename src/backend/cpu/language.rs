//! Next-token prediction over the vocabulary, a block of rows at a time: the logits of a batch need not fit.

use super::dispatch::vectorised;
use super::elementwise::{add_bias, lane_sum};
use super::parameters::{GradientSets, Sets};
use super::product::{View, product};
use super::scalar::Scalar;
use super::{Cpu, Storage, grow};
use crate::backend::rows::predicted_rows;
use crate::backend::{HeadGradient, Linear, Packing, SequenceOutcome};

/// Rows whose logits are held at once.
const BLOCK: usize = 64;

/// The matrix between hidden states and logits.
pub(super) struct Head<'a, T: Scalar, S: Storage<T>> {
    pub output: &'a Linear<Cpu<T, S>>,
    /// Where the client's own matrix lies.
    pub weight: Option<usize>,
    pub scale: f64,
    pub sets: Sets<'a, T>,
}

pub(super) fn predict_tokens<T: Scalar, S: Storage<T>>(
    packing: &Packing,
    hidden: &[T],
    head: Head<'_, T, S>,
    stride: usize,
    targets: &[u32],
    gradient: Option<HeadGradient<'_, Cpu<T, S>>>,
) -> Vec<SequenceOutcome> {
    let (width, vocabulary) = (head.output.inputs, head.output.outputs);
    let mut outcomes = vec![SequenceOutcome::default(); packing.sequences()];
    let mut gradient = gradient.map(|g| {
        let d_hidden = grow(g.hidden, packing.rows() * width);
        d_hidden.fill(T::ZERO);
        (g.weights, GradientSets::new(g.parameters, stride), d_hidden)
    });
    let (mut rows, mut logits, mut d_rows) = (Vec::new(), Vec::new(), Vec::new());
    for (client, predicted) in predicted_rows(packing, targets).iter().enumerate() {
        for block in predicted.chunks(BLOCK) {
            rows.clear();
            block.iter().for_each(|p| rows.extend_from_slice(&hidden[p.row * width..][..width]));
            let logits = grow(&mut logits, block.len() * vocabulary);
            head.logits(client, (block.len(), &rows), logits);
            for (p, logits) in block.iter().zip(logits.chunks_exact_mut(vocabulary)) {
                let weight = gradient.as_ref().map_or(0.0, |(weights, ..)| weights[p.sequence]);
                let (loss, best) = cross_entropy(logits, p.target as usize, T::from_f64(weight));
                let outcome = &mut outcomes[p.sequence];
                outcome.loss += loss;
                outcome.targets += 1;
                outcome.correct += u32::from(best == p.target as usize);
            }
            let Some((_, parameters, d_hidden)) = &mut gradient else { continue };
            S::store(logits);
            let d_rows = grow(&mut d_rows, block.len() * width);
            head.gradient(client, (block.len(), &rows), logits, parameters, d_rows);
            for (p, d) in block.iter().zip(d_rows.chunks_exact(width)) {
                d_hidden[p.row * width..][..width].copy_from_slice(d);
            }
        }
    }
    if let Some((_, _, d_hidden)) = gradient {
        S::store(d_hidden);
    }
    outcomes
}

impl<T: Scalar, S: Storage<T>> Head<'_, T, S> {
    fn logits(&self, client: usize, (m, rows): (usize, &[T]), logits: &mut [T]) {
        let (width, vocabulary, scale) = (self.output.inputs, self.output.outputs, T::from_f64(self.scale));
        match self.weight {
            None => self.output.weight.product(m, rows, scale, false, logits),
            Some(at) => {
                let w = View::rows(self.sets.tensor(client, at, vocabulary * width), width);
                let rows = View::rows(rows, width);
                product((m, vocabulary, width), rows, w.transposed(), scale, false, logits, vocabulary);
            }
        }
        if let Some(bias) = &self.output.bias {
            add_bias(logits, bias);
        }
    }

    /// `d_rows = scale * d_logits W`; with the client's own matrix also `dW += scale * d_logits^T rows`.
    fn gradient(
        &self,
        client: usize,
        (m, rows): (usize, &[T]),
        d_logits: &[T],
        parameters: &mut GradientSets<'_, T>,
        d_rows: &mut [T],
    ) {
        let (width, vocabulary, scale) = (self.output.inputs, self.output.outputs, T::from_f64(self.scale));
        let Some(at) = self.weight else {
            return self.output.weight.gradient(m, d_logits, scale, false, d_rows);
        };
        let w = View::rows(self.sets.tensor(client, at, vocabulary * width), width);
        let d_logits = View::rows(d_logits, vocabulary);
        product((m, width, vocabulary), d_logits, w, scale, false, d_rows, width);
        let dw = parameters.tensor(client, at, vocabulary * width);
        product((vocabulary, width, m), d_logits.transposed(), View::rows(rows, width), scale, true, dw, width);
    }
}

vectorised! {
    /// Cross entropy of one row and its largest logit, the lowest of equals; the logits become their gradient times
    /// `weight`.
    fn cross_entropy<T>(logits: &mut [T], target: usize, weight: T) -> (f64, usize) {
        let mut largest = logits[0];
        for &l in logits.iter() {
            largest = largest.maximum(l);
        }
        let best = logits.iter().position(|&l| l == largest).unwrap_or(0);
        let at_target = logits[target];
        for l in logits.iter_mut() {
            *l = (*l - largest).exp();
        }
        let sum = lane_sum(logits, logits, |l, _| l);
        let loss = sum.to_f64().ln() + (largest.to_f64() - at_target.to_f64());
        let factor = weight / sum;
        for l in logits.iter_mut() {
            *l *= factor;
        }
        logits[target] += -weight;
        (loss, best)
    }
}
