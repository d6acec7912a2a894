//! Shuffling that no library update can change: batch orders are part of an experiment's identity.

/// A uniform number below `bound`, from 64 random bits: the high word of a 128-bit product (Lemire 2019, without
/// rejection; the bias is below `bound` / 2^64).
fn below(bits: u64, bound: usize) -> usize {
    ((u128::from(bits) * bound as u128) >> 64) as usize
}

/// Fisher and Yates's shuffle; `bits(n)` is the n-th random word.
pub(super) fn shuffle<T>(items: &mut [T], mut bits: impl FnMut(u64) -> u64) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(bits(last as u64), last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    #[test]
    fn all_orders_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        let draws = 24_000u64;
        for draw in 0..draws {
            let mut items = [0, 1, 2, 3];
            let stream = CounterStream::new(1, 2).child(draw);
            shuffle(&mut items, |n| stream.bits(n));
            *counts.entry(items).or_insert(0u64) += 1;
        }
        assert_eq!(counts.len(), 24);
        let expected = draws as f64 / 24.0;
        let chi2: f64 = counts.values().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
        // The 0.999 quantile of chi-squared with 23 degrees of freedom.
        assert!(chi2 < 49.7, "{chi2}");
    }
}
