//! Which blocks are left when some are dropped.

/// Numbers of the `keep` blocks out of `blocks` that are left, ascending: the first and the last `tuned` always, and of
/// the middle as many as remain, its first and its last among them and the others at equal distances, rounded, as the
/// paper's released code spaces them (`uniform_choose_layers`); a single one is the middle's own middle.
///
/// # Panics
/// If `keep` is below `2 * tuned`, or `blocks` below `keep`.
pub fn kept_blocks(blocks: usize, tuned: usize, keep: usize) -> Vec<usize> {
    assert!(2 * tuned <= keep && keep <= blocks, "{keep} of {blocks} blocks with {tuned} at either end");
    let (middle, left) = (blocks - 2 * tuned, keep - 2 * tuned);
    let place = |i: usize| match left {
        1 => (middle - 1) / 2,
        // i (middle - 1) / (left - 1), halves up.
        _ => (2 * i * (middle - 1) + left - 1) / (2 * (left - 1)),
    };
    (0..tuned).chain((0..left).map(|i| tuned + place(i))).chain(blocks - tuned..blocks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_stay_and_the_rest_is_spread_evenly() {
        assert_eq!(kept_blocks(6, 1, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(kept_blocks(6, 1, 5), [0, 1, 3, 4, 5]);
        assert_eq!(kept_blocks(6, 1, 4), [0, 1, 4, 5]);
        assert_eq!(kept_blocks(6, 1, 3), [0, 2, 5]);
        assert_eq!(kept_blocks(6, 1, 2), [0, 5]);
        assert_eq!(kept_blocks(24, 2, 8), [0, 1, 2, 8, 15, 21, 22, 23]);
        assert_eq!(kept_blocks(4, 2, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn kept_blocks_are_distinct_ascending_and_as_many_as_asked_for() {
        for blocks in 1..40 {
            for tuned in 0..=blocks / 2 {
                for keep in 2 * tuned..=blocks {
                    let kept = kept_blocks(blocks, tuned, keep);
                    assert_eq!(kept.len(), keep);
                    assert!(kept.is_sorted_by(|a, b| a < b), "{blocks} {tuned} {keep}: {kept:?}");
                    assert!((0..tuned).chain(blocks - tuned..blocks).all(|end| kept.contains(&end)));
                }
            }
        }
    }
}
