//! What attention reads and leaves, and positions that act on it.

use super::{Packing, Trainable};
use crate::backend::Backend;

/// Geometry of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / kv_heads` neighbouring query heads (Ainslie et al. 2023).
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Factor of the scores before the softmax, usually `1 / sqrt(head_dim)`.
    pub scale: f64,
    /// Whether row i of a sequence sees only rows 0..=i.
    pub causal: bool,
}

impl AttentionShape {
    /// Columns of the queries and of the context: `heads * head_dim`.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of the keys, and of the values.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// Columns `column..` of the rows of a buffer that are `row` values apart.
pub struct Columns<'a, B: Backend> {
    pub buffer: &'a B::Buffer,
    pub row: usize,
    pub column: usize,
}

impl<B: Backend> Clone for Columns<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend> Copy for Columns<'_, B> {}

/// What an attention reads.
pub struct AttentionInput<'a, B: Backend> {
    pub query: Columns<'a, B>,
    pub key: Columns<'a, B>,
    /// In the same buffer as the keys.
    pub value: Columns<'a, B>,
    /// How the rows of keys and values belong to sequences: the queries' own packing, or the encoder's under
    /// cross-attention. As many sequences as the queries have.
    pub keys: &'a Packing,
    pub prefix: Option<PrefixSlot>,
    pub trainable: Trainable<'a, B>,
    pub bias: Option<&'a RelativeBias<B>>,
    /// Where the client's own table of the bias starts, in place of the frozen one; only where there is a bias.
    pub bias_table: Option<usize>,
}

/// Trainable keys and values put before those of every sequence, seen by every query, without positions (Li and Liang
/// 2021): two tensors `[tokens, kv_width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixSlot {
    pub key: usize,
    pub value: usize,
    pub tokens: usize,
}

/// A bias on the scores by bucket of relative distance (Raffel et al. 2020, section 2.1).
pub struct RelativeBias<B: Backend> {
    /// Frozen, `[buckets, heads]`.
    pub table: B::Buffer,
    pub buckets: usize,
    pub max_distance: usize,
    /// Whether keys after the query have buckets of their own: the encoder's, not the decoder's.
    pub bidirectional: bool,
}

/// Where an attention's gradients go: laid out as the inputs are, overwritten in the columns that attention reads.
pub struct AttentionGradient<'a, B: Backend> {
    /// Holds the queries' gradient and, unless `key_value` is given, the keys' and values'.
    pub query: &'a mut B::Buffer,
    /// Where keys and values come from another buffer than the queries: theirs.
    pub key_value: Option<&'a mut B::Buffer>,
    /// `[segments, stride]`, added to: of the prefix and of the bias's table.
    pub parameters: &'a mut B::Buffer,
}

/// What attention's forward pass left.
pub struct AttentionSaved<'a, B: Backend> {
    /// `[rows, width]`.
    pub context: &'a B::Buffer,
    /// Log of each softmax's denominator, `[rows, heads]`.
    pub log_sum: &'a B::Buffer,
}

/// Rotary positions: pair (j, j + head_dim / 2) of a head turns by `position * inverse_frequencies[j]` (Su et al. 2021,
/// paired by halves). The position is the row's index in its sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    pub inverse_frequencies: Vec<f64>,
}
