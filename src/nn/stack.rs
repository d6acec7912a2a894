//! The batches of many clients side by side, sharing the frozen weights.
//!
//! A batch is cut into chunks of whole sequences, which is a function of the batch and the backend alone. A chunk is one
//! single-threaded pass, or shares one with small batches of others; passes run in parallel, on a backend that one fills
//! one after another; a batch's gradient is the sum over its chunks in order. So neither the other batches of the stack nor
//! the number of threads can change a bit of the outcome.

use super::cut::{AtCut, Crossing};
use super::frozen_prefix::Cached;
use super::rows::targets_of;
use super::{Model, ParameterLayout, Pass, Share, SumChannel};
use crate::backend::{Backend, SequenceOutcome};
use crate::data::PackedBatch;
use crate::random::CounterStream;
use rayon::prelude::*;
use std::ops::Range;

/// One client's part of a stacked step.
#[derive(Clone, Copy)]
pub struct StackItem<'a> {
    pub parameters: &'a [f32],
    pub batch: &'a PackedBatch,
    /// Key of this step's dropout masks; `None` drops nothing.
    pub dropout: Option<CounterStream>,
    /// Factor of the loss inside the backward pass, and so of the outcome's gradient.
    pub loss_scale: f32,
    /// Where hidden states below the lowest trainable block are kept from step to step.
    pub prefix: Option<Cached<'a>>,
    /// Where something happens to the hidden states on their way up and to their gradient on its way down.
    pub cut: Option<AtCut<'a>>,
    /// What forms the sums of blocks that devices hold in slices.
    pub channel: Option<&'a SumChannel>,
}

impl<'a> StackItem<'a> {
    /// A step without dropout, loss scale, cache or channel.
    pub fn new(parameters: &'a [f32], batch: &'a PackedBatch) -> Self {
        Self { parameters, batch, dropout: None, loss_scale: 1.0, prefix: None, cut: None, channel: None }
    }

    /// What crosses a cut or goes through a channel shares no pass.
    fn runs_alone(&self) -> bool {
        self.cut.is_some() || self.channel.is_some()
    }

    fn share(&self, sequences: Range<usize>) -> Share<'a> {
        let Self { parameters, batch, dropout, loss_scale, channel, .. } = *self;
        Share { parameters, batch, sequences, dropout, loss_scale, channel }
    }
}

/// Loss and gradient of one client's batch.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean loss over the batch's targets: cross entropy in nats, or squared error.
    pub loss: f64,
    /// Of the mean loss times the item's loss scale, laid out like the parameters.
    pub gradient: Vec<f32>,
}

/// Passes for each thread at least, before small batches share them: some take longer than others.
const PASSES_A_THREAD: usize = 4;

/// Clients with more parameters of their own share no pass: it would hold them all at once, and little would be frozen.
const MOST_SHARED_PARAMETERS: usize = 1 << 20;

/// A chunk: which item, and which sequences of its batch.
pub(super) type Job = (usize, Range<usize>);

/// How a model does on a test set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Sum of the targets' losses.
    pub loss_sum: f64,
    /// Classes, numbers or tokens that were to be predicted.
    pub targets: usize,
    /// Targets whose most likely class or token is the right one.
    pub correct: usize,
    /// Predicted class of each sequence, in order.
    pub predictions: Vec<u32>,
}

impl<B: Backend> Model<B> {
    /// The sequences of each pass over a batch: whole sequences, about `chunk_tokens` of the backend together.
    pub fn chunks(&self, batch: &PackedBatch) -> Vec<Range<usize>> {
        chunks(&batch.offsets, self.backend.chunk_tokens())
    }

    /// What `work` makes of each chunk of `batch`, in parallel; the outcomes come in the batch's order.
    pub(super) fn over_chunks<T: Send>(
        &self,
        batch: &PackedBatch,
        work: impl Fn(Range<usize>) -> Vec<T> + Sync + Send,
    ) -> Vec<T> {
        let chunks = self.chunks(batch);
        if self.backend.takes_one_pass() {
            return chunks.into_iter().flat_map(work).collect();
        }
        let parts: Vec<Vec<T>> = chunks.into_par_iter().map(work).collect();
        parts.into_iter().flatten().collect()
    }

    /// One forward and backward pass over every item of a stack, in parallel.
    ///
    /// An item's outcome does not depend on the rest of the stack or on the number of threads, bit for bit. Batches
    /// must satisfy [`Model::check_batch`]; an empty one has loss 0 and gradient 0.
    ///
    /// # Panics
    /// If parameters do not have the layout's length, or a batch holds what `check_batch` would refuse.
    pub fn loss_and_gradients(&self, layout: &ParameterLayout, stack: &[StackItem<'_>]) -> Vec<StepOutcome> {
        let jobs = self.jobs(stack);
        let stride = layout.len();
        let of_pass = |jobs: &[Job]| {
            let (losses, pass) = self.pass_over(layout, stack, jobs);
            let gradients = pass.gradient();
            if let [loss] = losses[..] {
                return vec![(loss, gradients)];
            }
            let share = |(i, loss)| (loss, gradients[i * stride..][..stride].to_vec());
            losses.into_iter().enumerate().map(share).collect::<Vec<_>>()
        };
        let passes = self.passes(layout, stack, &jobs);
        let parts: Vec<(f64, Vec<f32>)> = if self.backend.takes_one_pass() {
            passes.into_iter().flat_map(of_pass).collect()
        } else {
            passes.into_par_iter().map(of_pass).collect::<Vec<_>>().into_iter().flatten().collect()
        };

        let mut outcomes: Vec<Option<StepOutcome>> = vec![None; stack.len()];
        for ((item, _), (loss, gradient)) in jobs.iter().zip(parts) {
            let loss = loss / targets_of(layout.objective(), stack[*item].batch) as f64;
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

    /// The chunks of all items, in order.
    pub(super) fn jobs(&self, stack: &[StackItem<'_>]) -> Vec<Job> {
        let of_item = |(item, i): (usize, &StackItem<'_>)| {
            self.chunks(i.batch).into_iter().map(move |sequences| (item, sequences))
        };
        stack.iter().enumerate().flat_map(of_item).collect()
    }

    /// `jobs` cut into runs for one pass each. Which share one does not show in their outcomes.
    pub(super) fn passes<'a>(
        &self,
        layout: &ParameterLayout,
        stack: &[StackItem<'_>],
        jobs: &'a [Job],
    ) -> Vec<&'a [Job]> {
        let target = self.backend.chunk_tokens();
        if self.backend.takes_one_pass() {
            return together(stack, jobs, target);
        }
        // Frozen matrices come from far away once a pass.
        let mut offsets = vec![0];
        offsets.extend(jobs.iter().scan(0, |sum, job| {
            *sum += tokens_of(stack, job);
            Some(*sum)
        }));
        let for_all_threads = offsets[jobs.len()] / (PASSES_A_THREAD * rayon::current_num_threads());
        let shared = target.min(for_all_threads);
        let apart = layout.len() > MOST_SHARED_PARAMETERS
            || stack.iter().any(|item| item.runs_alone() || item.prefix.is_some());
        if shared == 0 || apart {
            return jobs.chunks(1).collect();
        }
        chunks(&offsets, shared).into_iter().map(|run| &jobs[run]).collect()
    }

    /// Mean loss of every item's batch, without a backward pass.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn losses(&self, layout: &ParameterLayout, stack: &[StackItem<'_>]) -> Vec<f64> {
        let loss = |item: &StackItem<'_>| {
            let evaluation = self.evaluate_item(layout, &StackItem { dropout: None, ..*item });
            evaluation.loss_sum / evaluation.targets.max(1) as f64
        };
        if self.backend.takes_one_pass() {
            return stack.iter().map(loss).collect();
        }
        stack.par_iter().map(loss).collect()
    }

    /// Predictions and losses of `batch`, which may be a whole test set; chunks run in parallel.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn evaluate(&self, layout: &ParameterLayout, parameters: &[f32], batch: &PackedBatch) -> Evaluation {
        self.evaluate_item(layout, &StackItem::new(parameters, batch))
    }

    /// As [`Model::evaluate`], with the cache and the channel of `item`.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn evaluate_item(&self, layout: &ParameterLayout, item: &StackItem<'_>) -> Evaluation {
        let outcomes: Vec<SequenceOutcome> = self.over_chunks(item.batch, |sequences| {
            let share = item.share(sequences);
            let mut pass = self.pass(layout, std::slice::from_ref(&share), false);
            self.forward(&mut pass, &share, item.prefix, 0..self.blocks.len());
            pass.classify()
        });
        let mut evaluation = Evaluation::default();
        for outcome in outcomes {
            evaluation.loss_sum += outcome.loss;
            evaluation.targets += outcome.targets as usize;
            evaluation.correct += outcome.correct as usize;
            evaluation.predictions.push(outcome.prediction);
        }
        evaluation
    }

    /// One pass over the chunks of one item or of several; the loss sums of its shares.
    pub(super) fn pass_over<'m>(
        &'m self,
        layout: &'m ParameterLayout,
        stack: &[StackItem<'_>],
        jobs: &[Job],
    ) -> (Vec<f64>, Pass<'m, B>) {
        if let [(item, sequences)] = jobs {
            let (loss, pass) = self.pass_over_chunk(layout, &stack[*item], sequences.clone());
            return (vec![loss], pass);
        }
        let all = self.blocks.len();
        let shares: Vec<Share<'_>> = jobs.iter().map(|(item, s)| stack[*item].share(s.clone())).collect();
        let mut pass = self.pass(layout, &shares, true);
        pass.embed();
        pass.forward_blocks(0..all);
        let mut outcomes = pass.classify().into_iter();
        pass.backward_blocks(0..all);
        let loss = |(_, s): &Job| outcomes.by_ref().take(s.len()).map(|o| o.loss).sum();
        (jobs.iter().map(loss).collect(), pass)
    }

    /// Sum of the losses; the pass holds the gradient of the batch's mean loss as far as this chunk contributes.
    fn pass_over_chunk<'m>(
        &'m self,
        layout: &'m ParameterLayout,
        item: &StackItem<'_>,
        sequences: Range<usize>,
    ) -> (f64, Pass<'m, B>) {
        let all = self.blocks.len();
        let mut crossing = item.cut.map(|at| (at.cut.block, Crossing::new(at, sequences.start)));
        let share = item.share(sequences);
        let mut pass = self.pass(layout, std::slice::from_ref(&share), true);
        let Some((cut, crossing)) = &mut crossing else {
            self.forward(&mut pass, &share, item.prefix, 0..all);
            let outcomes = pass.classify();
            pass.backward_blocks(0..all);
            return (outcomes.iter().map(|o| o.loss).sum(), pass);
        };
        self.forward(&mut pass, &share, item.prefix, 0..*cut);
        crossing.up(&mut pass);
        pass.forward_blocks(*cut..all);
        let outcomes = pass.classify();
        pass.backward_to_input_of(*cut..all);
        crossing.down(&mut pass);
        pass.backward_blocks(0..*cut);
        (outcomes.iter().map(|o| o.loss).sum(), pass)
    }

    /// The embedding and the first `blocks` of a pass over one share, or those above what `prefix` holds.
    pub(super) fn forward(
        &self,
        pass: &mut Pass<'_, B>,
        share: &Share<'_>,
        prefix: Option<Cached<'_>>,
        blocks: Range<usize>,
    ) {
        let done = match prefix.filter(|kept| kept.serves(blocks.end, share.channel)) {
            None => {
                pass.embed();
                0
            }
            Some(cached) => cached.bring(pass, share),
        };
        pass.forward_blocks(done..blocks.end);
    }
}

fn tokens_of(stack: &[StackItem<'_>], (item, sequences): &Job) -> usize {
    let offsets = &stack[*item].batch.offsets;
    offsets[sequences.end] - offsets[sequences.start]
}

/// Cuts `jobs` into runs for one pass each, of at most about `target` tokens. What crosses a cut or goes through a channel runs
/// alone.
fn together<'a>(stack: &[StackItem<'_>], jobs: &'a [Job], target: usize) -> Vec<&'a [Job]> {
    let alone = |item: usize| stack[item].runs_alone();
    let (mut runs, mut start, mut sum) = (vec![], 0, 0);
    for (i, job) in jobs.iter().enumerate() {
        let crowded = sum + tokens_of(stack, job) > target || alone(job.0) || alone(jobs[start].0);
        if i > start && crowded {
            runs.push(&jobs[start..i]);
            (start, sum) = (i, 0);
        }
        sum += tokens_of(stack, job);
    }
    if start < jobs.len() {
        runs.push(&jobs[start..]);
    }
    runs
}

/// Cuts at the sequence boundaries nearest to equal shares of the tokens, about `target` each; an even number of chunks
/// where there is more than one, so that two threads share a batch evenly.
fn chunks(offsets: &[usize], target: usize) -> Vec<Range<usize>> {
    let (sequences, tokens) = (offsets.len().saturating_sub(1), offsets.last().copied().unwrap_or(0));
    let count = (2 * ((tokens + target) / (2 * target))).max(1);
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
        assert!(cut(&[24; 10], 320).iter().eq([&(0..10)]));
        assert_eq!(cut(&[24; 16], 320), [0..8, 8..16]);
        assert_eq!(cut(&[64; 32], 320), [0..5, 5..11, 11..16, 16..21, 21..27, 27..32]);
        assert_eq!(cut(&[128; 7], 320), [0..4, 4..7]);
        assert_eq!(cut(&[500, 1, 1, 500], 300), [0..1, 1..2, 2..3, 3..4]);
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
