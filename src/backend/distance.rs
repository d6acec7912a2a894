//! Buckets of relative distance (Raffel et al. 2020, section 2.1): the same on every backend.

use std::ops::Range;

/// The bucket of a key that lies `distance` rows after its query (before it, if negative).
///
/// Half of the buckets hold one distance each, the rest grow logarithmically up to `max_distance`; beyond lies the last
/// one. In single precision and in this order of operations, because that is how the published weights were trained.
pub(super) fn bucket(distance: i64, buckets: usize, max_distance: usize, bidirectional: bool) -> usize {
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

/// The bucket of every distance that sequences of these lengths meet: entry `longest_query - 1 + distance`.
pub(super) fn buckets_by_distance(
    (buckets, max_distance, bidirectional): (usize, usize, bool),
    (longest_query, longest_key): (usize, usize),
) -> Vec<usize> {
    let distances = (0..(longest_query + longest_key) as i64).map(|d| d + 1 - longest_query as i64);
    distances.map(|d| bucket(d, buckets, max_distance, bidirectional)).collect()
}

/// The places of each bucket in what [`buckets_by_distance`] returns: one run each, since buckets follow distances.
pub(super) fn places_of_buckets(by_distance: &[usize], buckets: usize) -> Vec<Range<usize>> {
    let mut places = vec![0..0; buckets];
    for (place, &bucket) in by_distance.iter().enumerate() {
        let run = &mut places[bucket];
        let first = run.start == run.end;
        debug_assert!(first || run.end == place, "bucket {bucket} in two runs");
        *run = if first { place..place + 1 } else { run.start..place + 1 };
    }
    places
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
    fn every_bucket_is_one_run_of_distances() {
        for (bidirectional, lengths) in [(true, (200, 150)), (false, (150, 200)), (true, (3, 2)), (false, (1, 1))] {
            let by_distance = buckets_by_distance((32, 128, bidirectional), lengths);
            let places = places_of_buckets(&by_distance, 32);
            for (bucket, run) in places.iter().enumerate() {
                let all: Vec<usize> = (0..by_distance.len()).filter(|&p| by_distance[p] == bucket).collect();
                assert!(run.clone().eq(all), "bucket {bucket}, both ways {bidirectional}");
            }
        }
    }
}
