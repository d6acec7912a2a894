//! Packed batches: sequences laid end to end, no padding.

/// Token ids of several sequences and one label each.
///
/// Sequence `i` holds `tokens[offsets[i]..offsets[i + 1]]`; `offsets` has one more entry than there are sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedBatch {
    pub tokens: Vec<u32>,
    pub offsets: Vec<usize>,
    pub labels: Vec<u32>,
}

impl PackedBatch {
    /// Packs `sequences` in order.
    pub fn pack<'a>(sequences: impl IntoIterator<Item = (&'a [u32], u32)>) -> Self {
        let mut batch = Self { offsets: vec![0], ..Self::default() };
        for (tokens, label) in sequences {
            batch.tokens.extend_from_slice(tokens);
            batch.offsets.push(batch.tokens.len());
            batch.labels.push(label);
        }
        batch
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.labels.len()
    }

    pub fn sequence(&self, i: usize) -> &[u32] {
        &self.tokens[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Lengths in tokens, in order.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|w| w[1] - w[0])
    }
}
