//! The relative position bias of T5 (Raffel et al. 2020, section 2.1) and the gradient of its table.

use super::parameters::{GradientSets, Sets};
use super::scalar::Scalar;
use super::{Cpu, Storage};
use crate::backend::distance::buckets_by_distance;
use crate::backend::{AttentionInput, RelativeBias};

/// Bias of every head at every distance that a call meets.
pub(super) struct BiasByDistance<T> {
    /// `[tables, heads, span]`: entry `longest_query - 1 + distance` of a head.
    values: Vec<T>,
    heads: usize,
    /// Of every distance.
    buckets: Vec<usize>,
    /// Entries of a table.
    entries: usize,
    longest_query: usize,
    /// Where the clients' own tables start; without, all read the frozen one.
    own: Option<usize>,
}

impl<T: Scalar> BiasByDistance<T> {
    /// For `clients` clients, queries and keys of at most the two `lengths`.
    pub(super) fn new<S: Storage<T>>(
        bias: &RelativeBias<Cpu<T, S>>,
        input: &AttentionInput<'_, Cpu<T, S>>,
        heads: usize,
        clients: usize,
        lengths: (usize, usize),
    ) -> Self {
        let entries = bias.buckets * heads;
        let (own, sets) = (input.bias_table, Sets::from(input.trainable));
        let tables: Vec<&[T]> = match own {
            Some(at) => (0..clients).map(|client| sets.tensor(client, at, entries)).collect(),
            None => vec![&bias.table],
        };
        let buckets = buckets_by_distance((bias.buckets, bias.max_distance, bias.bidirectional), lengths);
        let by_head = tables.iter().flat_map(|table| (0..heads).map(move |head| (table, head)));
        let values = by_head.flat_map(|(table, head)| buckets.iter().map(move |b| table[b * heads + head])).collect();
        Self { values, heads, buckets, entries, longest_query: lengths.0, own }
    }

    /// The bias of query `i` on keys 0, 1, ...
    #[inline(always)]
    pub(super) fn of(&self, client: usize, head: usize, i: usize) -> &[T] {
        let (table, span) = (if self.own.is_some() { client } else { 0 }, self.buckets.len());
        &self.values[(table * self.heads + head) * span..][..span][self.longest_query - 1 - i..]
    }

    /// Adds the gradients of the scores of query `i` on keys 0, 1, ... to their sums by distance.
    #[inline(always)]
    pub(super) fn sum(&self, i: usize, d_scores: &[T], sums: &mut [T]) {
        for (sum, &d) in sums[self.longest_query - 1 - i..].iter_mut().zip(d_scores) {
            *sum += d;
        }
    }

    /// Adds `factor` times the sums of one head of a client to the gradient of its table, and starts them anew.
    pub(super) fn add_to_table(
        &self,
        (client, head): (usize, usize),
        factor: T,
        sums: &mut [T],
        gradient: &mut GradientSets<'_, T>,
    ) {
        let Some(at) = self.own else { return };
        let table = gradient.tensor(client, at, self.entries);
        for (sum, bucket) in sums.iter_mut().zip(&self.buckets) {
            table[bucket * self.heads + head] += *sum * factor;
            *sum = T::ZERO;
        }
    }
}
