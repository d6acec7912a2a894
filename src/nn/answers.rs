//! What a model thinks of each sequence, beyond how well it does: probabilities of classes, and where a sequence lies
//! among the hidden states.

use super::frozen_prefix::Cached;
use super::{Model, ParameterLayout, Share};
use crate::backend::{Backend, SequenceOutcome};
use crate::data::PackedBatch;

/// The answer to one sequence of a classification.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassAnswer {
    /// As [`Model::evaluate`] counts it.
    pub outcome: SequenceOutcome,
    /// Logarithms of the classes' probabilities.
    pub log_probabilities: Vec<f64>,
}

impl<B: Backend> Model<B> {
    /// The probabilities of all `classes` for each sequence of `batch`, in order.
    ///
    /// The head is asked once a class for the loss that this class would have had: no backend needs an operation for
    /// it, and blocks are passed once.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn class_answers(
        &self,
        layout: &ParameterLayout,
        parameters: &[f32],
        batch: &PackedBatch,
        classes: usize,
        prefix: Option<Cached<'_>>,
    ) -> Vec<ClassAnswer> {
        self.over_chunks(batch, |sequences| {
            let share = Share { sequences, ..Share::whole(parameters, batch) };
            let mut pass = self.pass(layout, std::slice::from_ref(&share), false);
            self.forward(&mut pass, &share, prefix, 0..self.blocks.len());
            let outcomes = pass.classify();
            let mut answers: Vec<ClassAnswer> = outcomes
                .into_iter()
                .map(|outcome| ClassAnswer { outcome, log_probabilities: Vec::with_capacity(classes) })
                .collect();
            for class in 0..classes as u32 {
                for (answer, outcome) in answers.iter_mut().zip(pass.classify_as(class)) {
                    answer.log_probabilities.push(-outcome.loss);
                }
            }
            answers
        })
    }

    /// The mean of each sequence's rows before block `blocks`, `[sequences][hidden]`: before all blocks if it is 0,
    /// behind all of them if it is their number.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn mean_rows(
        &self,
        layout: &ParameterLayout,
        parameters: &[f32],
        batch: &PackedBatch,
        blocks: usize,
    ) -> Vec<Vec<f64>> {
        self.over_chunks(batch, |sequences| {
            let share = Share { sequences, ..Share::whole(parameters, batch) };
            let mut pass = self.pass(layout, std::slice::from_ref(&share), false);
            pass.embed();
            pass.forward_blocks(0..blocks);
            let hidden = pass.hidden();
            let width = hidden.len() / pass.rows();
            pass.sequence_rows()
                .map(|rows| {
                    let mut mean = vec![0.0; width];
                    for row in hidden[rows.start * width..rows.end * width].chunks_exact(width) {
                        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                    }
                    mean.iter_mut().for_each(|sum| *sum /= rows.len() as f64);
                    mean
                })
                .collect()
        })
    }
}
