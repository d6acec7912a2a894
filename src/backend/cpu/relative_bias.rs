//! The relative position bias of T5 (Raffel et al. 2020, section 2.1).

use super::scalar::Scalar;
use crate::backend::distance::buckets_by_distance;

/// Bias of every head at every distance that a call meets.
pub(super) struct BiasByDistance<T> {
    /// `[heads, span]`: entry `longest_query - 1 + distance` of a head.
    values: Vec<T>,
    span: usize,
    longest_query: usize,
}

impl<T: Scalar> BiasByDistance<T> {
    /// `table` is `[buckets, heads]`.
    pub(super) fn new(table: &[T], kind: (usize, usize, bool), heads: usize, lengths: (usize, usize)) -> Self {
        let by_distance = buckets_by_distance(kind, lengths);
        let (span, longest_query) = (by_distance.len(), lengths.0);
        let values = (0..heads).flat_map(|h| by_distance.iter().map(move |&b| table[b * heads + h])).collect();
        Self { values, span, longest_query }
    }

    /// The bias of query `i` on keys 0, 1, ...
    #[inline(always)]
    pub(super) fn of(&self, head: usize, i: usize) -> &[T] {
        &self.values[head * self.span..][..self.span][self.longest_query - 1 - i..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::distance::bucket;

    #[test]
    fn a_query_finds_its_keys() {
        let table: Vec<f64> = (0..8 * 3).map(f64::from).collect();
        let bias = BiasByDistance::new(&table, (8, 20, true), 3, (5, 9));
        for (head, i) in [(0, 0), (1, 4), (2, 2)] {
            for j in 0..9 {
                let expected = table[bucket(j - i, 8, 20, true) * 3 + head];
                assert_eq!(bias.of(head, i as usize)[j as usize], expected);
            }
        }
    }
}
