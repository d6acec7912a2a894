//! What attention and its gradient share: where the heads lie, which keys a query sees, working memory.

use super::dispatch::LANES;
use super::parameters::Sets;
use super::relative_bias::BiasByDistance;
use super::scalar::Scalar;
use super::transpose::transpose;
use super::{Cpu, Storage};
use crate::backend::{AttentionInput, AttentionShape, Packing};
use std::ops::Range;

/// Queries of a causal sequence that are computed together: keys after the last of them are not visited.
const TILE: usize = 64;

/// One head of keys of one sequence and the neighbouring query heads that it serves.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub client: usize,
    /// Queries, and keys without the prefix.
    pub tokens: usize,
    pub key_tokens: usize,
    pub prefix: usize,
    pub dim: usize,
    pub causal: bool,
    pub scale: f64,
    /// First query head, how many there are, and how many in the whole layer.
    pub first_head: usize,
    pub heads: usize,
    pub all_heads: usize,
    /// First value of the first head's queries, and the distance of rows.
    pub query: usize,
    pub query_row: usize,
    pub key: usize,
    pub key_row: usize,
    pub value: usize,
    pub value_row: usize,
    /// Where the prefix of this head of keys starts in a client's parameters, and the distance of its rows.
    pub prefix_key: usize,
    pub prefix_value: usize,
    pub prefix_row: usize,
    /// First value in `[rows, width]`.
    pub context: usize,
    pub width: usize,
    /// First value in `[rows, all_heads]`.
    pub log_sum: usize,
}

/// All groups of a call: sequences in order, then heads in order. A sequence of queries has keys.
pub(super) fn plan<'a, T: Scalar, S: Storage<T>>(
    packing: &'a Packing,
    shape: AttentionShape,
    input: &'a AttentionInput<'_, Cpu<T, S>>,
) -> impl Iterator<Item = Group> + 'a {
    debug_assert_eq!(packing.sequences(), input.keys.sequences(), "queries and keys of different batches");
    let (dim, heads) = (shape.head_dim, shape.heads / shape.kv_heads);
    let sequences = packing.segments().iter().enumerate().flat_map(|(client, s)| s.clone().map(move |s| (client, s)));
    let sequences = sequences.filter(|&(_, sequence)| !packing.sequence_rows(sequence).is_empty());
    sequences.flat_map(move |(client, sequence)| {
        let (rows, key_rows) = (packing.sequence_rows(sequence), input.keys.sequence_rows(sequence));
        (0..shape.kv_heads).map(move |kv_head| Group {
            client,
            tokens: rows.len(),
            key_tokens: key_rows.len(),
            prefix: input.prefix.map_or(0, |p| p.tokens),
            dim,
            causal: shape.causal,
            scale: shape.scale,
            first_head: kv_head * heads,
            heads,
            all_heads: shape.heads,
            query: rows.start * input.query.row + input.query.column + kv_head * heads * dim,
            query_row: input.query.row,
            key: key_rows.start * input.key.row + input.key.column + kv_head * dim,
            key_row: input.key.row,
            value: key_rows.start * input.value.row + input.value.column + kv_head * dim,
            value_row: input.value.row,
            prefix_key: input.prefix.map_or(0, |p| p.key + kv_head * dim),
            prefix_value: input.prefix.map_or(0, |p| p.value + kv_head * dim),
            prefix_row: shape.kv_width(),
            context: rows.start * shape.width() + kv_head * heads * dim,
            width: shape.width(),
            log_sum: rows.start * shape.heads + kv_head * heads,
        })
    })
}

/// What the operations read.
pub(super) struct Sources<'a, T> {
    pub query: &'a [T],
    pub key: &'a [T],
    pub value: &'a [T],
    pub sets: Sets<'a, T>,
    pub bias: Option<BiasByDistance<T>>,
}

impl<'a, T: Scalar> Sources<'a, T> {
    pub(super) fn new<S: Storage<T>>(
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'a, Cpu<T, S>>,
    ) -> Self {
        let lengths = (longest(packing), longest(input.keys));
        let clients = packing.segments().len();
        let bias = input.bias.map(|bias| BiasByDistance::new(bias, input, shape.heads, clients, lengths));
        let (query, key, value) = (input.query.buffer, input.key.buffer, input.value.buffer);
        Self { query, key, value, sets: input.trainable.into(), bias }
    }
}

fn longest(packing: &Packing) -> usize {
    packing.all_sequence_rows().map(|r| r.len()).max().unwrap_or(0)
}

/// Rows of `dim` values, `row` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    pub data: &'a [T],
    pub row: usize,
}

/// Working memory for the largest sequence of a call.
pub(super) struct Scratch<T> {
    /// Prefix and keys, prefix and values, `[total, head_dim]`; used only where there is a prefix.
    pub keys: Vec<T>,
    pub values: Vec<T>,
    pub d_keys: Vec<T>,
    pub d_values: Vec<T>,
    /// Keys or values, `[head_dim, padded]`.
    pub transposed: Vec<T>,
    /// `[tokens, padded]`.
    pub probabilities: Vec<T>,
    pub d_scores: Vec<T>,
    /// `rowsum(dO O)` of every query and head, `[rows, heads]`.
    pub d_sums: Vec<T>,
    /// Gradients of one head's scores by distance, where a table of biases trains.
    pub bias_sums: Vec<T>,
}

impl<T: Scalar> Scratch<T> {
    pub(super) fn new<S: Storage<T>>(
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Cpu<T, S>>,
        with_gradient: bool,
    ) -> Self {
        let prefix = input.prefix.map_or(0, |p| p.tokens);
        let (tokens, total) = (longest(packing), longest(input.keys) + prefix);
        let padded = total.next_multiple_of(LANES);
        let zeros = |wanted: bool, len: usize| vec![T::ZERO; if wanted { len } else { 0 }];
        let gathered = shape.head_dim * total;
        Self {
            keys: zeros(prefix > 0, gathered),
            values: zeros(prefix > 0, gathered),
            d_keys: zeros(prefix > 0 && with_gradient, gathered),
            d_values: zeros(prefix > 0 && with_gradient, gathered),
            transposed: zeros(true, shape.head_dim * padded),
            probabilities: zeros(true, tokens * padded),
            d_scores: zeros(with_gradient, tokens * padded),
            d_sums: zeros(with_gradient, packing.rows() * shape.heads),
            bias_sums: zeros(with_gradient && input.bias_table.is_some(), tokens + longest(input.keys)),
        }
    }
}

impl Group {
    /// Columns of a row of scores: the prefix, then the keys.
    pub(super) fn total(&self) -> usize {
        self.prefix + self.key_tokens
    }

    #[inline(always)]
    pub(super) fn whole_registers(&self, columns: usize) -> usize {
        columns.next_multiple_of(LANES)
    }

    /// Length of a row of scores, rounded up so that every row is whole registers.
    pub(super) fn padded(&self) -> usize {
        self.whole_registers(self.total())
    }

    /// Columns that queries `0..end` see together.
    #[inline(always)]
    pub(super) fn visible(&self, end: usize) -> usize {
        self.prefix + if self.causal { end.min(self.key_tokens) } else { self.key_tokens }
    }

    /// Queries that are computed together.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        tiles(self.tokens, self.causal)
    }

    /// Columns whose gradients are computed together, each with the first query that sees any of them.
    pub(super) fn column_tiles(&self) -> impl Iterator<Item = (Range<usize>, usize)> + use<> {
        let (prefix, causal) = (self.prefix, self.causal);
        tiles(self.key_tokens, causal).map(move |keys| {
            let start = if keys.start == 0 { 0 } else { keys.start + prefix };
            (start..keys.end + prefix, if causal { keys.start } else { 0 })
        })
    }

    #[inline(always)]
    pub(super) fn keys<'a, T: Scalar>(&self, sources: &Sources<'a, T>, gathered: &'a mut [T]) -> Rows<'a, T> {
        self.gather(sources.sets, self.prefix_key, (&sources.key[self.key..], self.key_row), gathered)
    }

    #[inline(always)]
    pub(super) fn values<'a, T: Scalar>(&self, sources: &Sources<'a, T>, gathered: &'a mut [T]) -> Rows<'a, T> {
        self.gather(sources.sets, self.prefix_value, (&sources.value[self.value..], self.value_row), gathered)
    }

    /// The rows as they lie, or behind the client's prefix.
    #[inline(always)]
    fn gather<'a, T: Scalar>(
        &self,
        sets: Sets<'a, T>,
        prefix: usize,
        (data, row): (&'a [T], usize),
        gathered: &'a mut [T],
    ) -> Rows<'a, T> {
        if self.prefix == 0 {
            return Rows { data, row };
        }
        let (before, after) = gathered[..self.total() * self.dim].split_at_mut(self.prefix * self.dim);
        for (i, out) in before.chunks_exact_mut(self.dim).enumerate() {
            out.copy_from_slice(sets.tensor(self.client, prefix + i * self.prefix_row, self.dim));
        }
        for (i, out) in after.chunks_exact_mut(self.dim).enumerate() {
            out.copy_from_slice(&data[i * row..][..self.dim]);
        }
        Rows { data: gathered, row: self.dim }
    }

    /// `[total, dim]` rows become `[dim, padded]`, padded with zeros.
    #[inline(always)]
    pub(super) fn transpose<T: Scalar>(&self, rows: Rows<'_, T>, out: &mut [T]) {
        transpose((rows.data, rows.row), (self.total(), self.dim), (out, self.padded()));
    }
}

fn tiles(len: usize, causal: bool) -> impl Iterator<Item = Range<usize>> {
    let step = if causal { TILE } else { len.max(1) };
    (0..len).step_by(step).map(move |start| start..(start + step).min(len))
}

/// Adds the relative bias to a row of products, if there is one; returns the factor that is still to be applied.
#[inline(always)]
pub(super) fn softmax_input<T: Scalar>(
    group: &Group,
    sources: &Sources<'_, T>,
    head: usize,
    query: usize,
    row: &mut [T],
) -> T {
    let scale = T::from_f64(group.scale);
    let Some(bias) = &sources.bias else { return scale };
    for s in row.iter_mut() {
        *s *= scale;
    }
    for (s, &b) in row[group.prefix..].iter_mut().zip(bias.of(group.client, group.first_head + head, query)) {
        *s += b;
    }
    T::ONE
}
