//! The batches of many clients side by side, sharing the frozen weights.
//!
//! A batch is cut into chunks of whole sequences, which is a function of the batch and the backend alone. Each chunk is
//! one single-threaded pass; chunks run in parallel; a batch's gradient is the sum over its chunks in order. So neither
//! the other batches of the stack nor the number of threads can change a bit of the outcome.

use super::{Model, ParameterLayout, Share};
use crate::backend::{Backend, SequenceOutcome};
use crate::data::PackedBatch;
use rayon::prelude::*;
use std::ops::Range;

/// One client's part of a stacked step.
#[derive(Clone, Copy)]
pub struct StackItem<'a> {
    pub parameters: &'a [f32],
    pub batch: &'a PackedBatch,
}

/// Loss and gradient of one client's batch.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean cross entropy over the sequences, in nats.
    pub loss: f64,
    /// Of the mean loss, laid out like the parameters.
    pub gradient: Vec<f32>,
}

/// How a model does on labelled sequences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Sum of the sequences' cross entropies, in nats.
    pub loss_sum: f64,
    /// Sequences whose prediction is their label.
    pub correct: usize,
    /// Predicted class of each sequence, in order.
    pub predictions: Vec<u32>,
}

impl<B: Backend> Model<B> {
    /// The sequences of each pass over a batch: whole sequences, about `chunk_tokens` of the backend together.
    pub fn chunks(&self, batch: &PackedBatch) -> Vec<Range<usize>> {
        chunks(&batch.offsets, self.backend.chunk_tokens())
    }

    /// One forward and backward pass over every item of a stack, in parallel.
    ///
    /// An item's outcome does not depend on the rest of the stack or on the number of threads, bit for bit. Batches
    /// must satisfy [`Model::check_batch`]; an empty one has loss 0 and gradient 0.
    ///
    /// # Panics
    /// If parameters do not have the layout's length, or a batch holds what `check_batch` would refuse.
    pub fn loss_and_gradients(&self, layout: &ParameterLayout, stack: &[StackItem<'_>]) -> Vec<StepOutcome> {
        let jobs: Vec<(usize, Share<'_>)> = stack
            .iter()
            .enumerate()
            .flat_map(|(item, &StackItem { parameters, batch })| {
                self.chunks(batch).into_iter().map(move |sequences| (item, Share { parameters, batch, sequences }))
            })
            .collect();
        let parts: Vec<(f64, Vec<f32>)> =
            jobs.par_iter().map(|(_, share)| self.chunk_loss_and_gradient(layout, share)).collect();

        let mut outcomes: Vec<Option<StepOutcome>> = vec![None; stack.len()];
        for ((item, share), (loss, gradient)) in jobs.iter().zip(parts) {
            let loss = loss / share.batch.sequences() as f64;
            match &mut outcomes[*item] {
                Some(outcome) => {
                    outcome.loss += loss;
                    outcome.gradient.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
                }
                first => *first = Some(StepOutcome { loss, gradient }),
            }
        }
        let empty = || StepOutcome { loss: 0.0, gradient: vec![0.0; layout.len()] };
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(empty)).collect()
    }

    /// Predictions and losses of `batch`, which may be a whole test set; chunks run in parallel.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn evaluate(&self, layout: &ParameterLayout, parameters: &[f32], batch: &PackedBatch) -> Evaluation {
        let parts: Vec<Vec<SequenceOutcome>> = self
            .chunks(batch)
            .into_par_iter()
            .map(|sequences| {
                let mut pass = self.pass(layout, &[Share { parameters, batch, sequences }], false);
                pass.embed();
                pass.forward_blocks(0..self.blocks.len());
                pass.classify()
            })
            .collect();
        let mut evaluation = Evaluation::default();
        for (outcome, &label) in parts.into_iter().flatten().zip(&batch.labels) {
            evaluation.loss_sum += outcome.loss;
            evaluation.correct += usize::from(outcome.prediction == label);
            evaluation.predictions.push(outcome.prediction);
        }
        evaluation
    }

    /// Sum of the losses, and the gradient of the batch's mean loss as far as this chunk contributes.
    fn chunk_loss_and_gradient(&self, layout: &ParameterLayout, share: &Share<'_>) -> (f64, Vec<f32>) {
        let mut pass = self.pass(layout, std::slice::from_ref(share), true);
        pass.embed();
        pass.forward_blocks(0..self.blocks.len());
        let outcomes = pass.classify();
        pass.backward_blocks(0..self.blocks.len());
        (outcomes.iter().map(|o| o.loss).sum(), pass.gradient())
    }
}

/// Cuts at the sequence boundaries nearest to equal shares of the tokens, about `target` each.
fn chunks(offsets: &[usize], target: usize) -> Vec<Range<usize>> {
    let (sequences, tokens) = (offsets.len().saturating_sub(1), offsets.last().copied().unwrap_or(0));
    let count = ((tokens + target / 2) / target).max(1);
    let mut ranges = Vec::with_capacity(count);
    let mut start = 0;
    for chunk in 1..=count {
        let ideal = tokens * chunk / count;
        let after = offsets.partition_point(|&o| o < ideal).min(sequences);
        let nearer_before = after > 0 && ideal - offsets[after - 1] < offsets[after].abs_diff(ideal);
        let end = if chunk == count { sequences } else { after - usize::from(nearer_before) };
        if end > start {
            ranges.push(start..end);
            start = end;
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lengths: &[usize], target: usize) -> Vec<Range<usize>> {
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |sum, l| {
            *sum += l;
            Some(*sum)
        }));
        chunks(&offsets, target)
    }

    #[test]
    fn chunks_are_balanced_whole_sequences() {
        assert!(cut(&[24; 16], 320).iter().eq([&(0..16)]));
        assert_eq!(cut(&[64; 32], 320), [0..5, 5..11, 11..16, 16..21, 21..27, 27..32]);
        assert_eq!(cut(&[500, 1, 1, 500], 300), [0..1, 1..3, 3..4]);
        assert!(cut(&[1], 300).iter().eq([&(0..1)]));
        assert!(cut(&[], 300).is_empty());
    }

    #[test]
    fn chunks_cover_every_sequence_once() {
        for n in 1..200usize {
            let lengths: Vec<usize> = (0..n).map(|i| 1 + (i * i * 7 + n) % 90).collect();
            let ranges = cut(&lengths, 100);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, n));
            assert!(ranges.windows(2).all(|w| w[0].end == w[1].start) && ranges.iter().all(|r| !r.is_empty()));
            let largest = ranges.iter().map(|r| lengths[r.clone()].iter().sum::<usize>()).max();
            assert!(largest <= Some(100 * 3 / 2 + 90), "{largest:?} tokens in a chunk");
        }
    }
}
