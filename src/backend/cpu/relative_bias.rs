//! The relative position bias of T5 (Raffel et al. 2020, section 2.1).

use super::scalar::Scalar;

/// The bucket of a key that lies `distance` rows after its query (before it, if negative).
///
/// Half of the buckets hold one distance each, the rest grow logarithmically up to `max_distance`; beyond lies the last
/// one. In single precision and in this order of operations, because that is how the published weights were trained.
fn bucket(distance: i64, buckets: usize, max_distance: usize, bidirectional: bool) -> usize {
    let (buckets, first) = match bidirectional {
        true => (buckets / 2, if distance > 0 { buckets / 2 } else { 0 }),
        false => (buckets, 0),
    };
    let away = if bidirectional { distance.unsigned_abs() } else { distance.min(0).unsigned_abs() } as usize;
    let exact = buckets / 2;
    if away < exact {
        return first + away;
    }
    let growth = (max_distance as f64 / exact as f64).ln() as f32;
    let above = (away as f32 / exact as f32).ln() / growth * (buckets - exact) as f32;
    first + (exact + above as usize).min(buckets - 1)
}

/// Bias of every head at every distance that a call meets.
pub(super) struct BiasByDistance<T> {
    /// `[heads, span]`: entry `longest_query - 1 + distance` of a head.
    values: Vec<T>,
    span: usize,
    longest_query: usize,
}

impl<T: Scalar> BiasByDistance<T> {
    /// `table` is `[buckets, heads]`.
    pub(super) fn new(
        table: &[T],
        (buckets, max_distance, bidirectional): (usize, usize, bool),
        heads: usize,
        (longest_query, longest_key): (usize, usize),
    ) -> Self {
        let span = longest_query + longest_key;
        let by_distance: Vec<usize> = (0..span as i64)
            .map(|d| bucket(d + 1 - longest_query as i64, buckets, max_distance, bidirectional))
            .collect();
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

    /// The bucket by integers alone: `exact + b` starts where `(away / exact)^n >= (max / exact)^b`, n buckets growing.
    fn oracle(away: u128, buckets: u32, max_distance: u128) -> usize {
        let exact = u128::from(buckets / 2);
        let n = buckets - buckets / 2;
        if away < exact {
            return away as usize;
        }
        let starts = |b: u32| away.pow(n) * exact.pow(b) >= exact.pow(n) * max_distance.pow(b);
        exact as usize + (1..n).take_while(|&b| starts(b)).count()
    }

    #[test]
    fn buckets_match_integer_arithmetic() {
        for away in 0..300 {
            let before = oracle(away as u128, 16, 128);
            assert_eq!(bucket(-away, 32, 128, true), before, "{away} before");
            assert_eq!(bucket(away, 32, 128, true), if away > 0 { 16 + before } else { 0 }, "{away} after");
            assert_eq!(bucket(away, 32, 128, false), 0, "{away} after, one direction");
        }
        for away in 0..150 {
            assert_eq!(bucket(-away, 16, 64, false), oracle(away as u128, 16, 64), "{away} before, one direction");
        }
    }

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
