//! How much of a vector's energy is lost when it is made smaller before the cut, and the smallest form within a bound.
//!
//! A model of the values, not a look at them: the entries of a token are independent and normal, and the largest of h
//! magnitudes is where 2 Q(M) = exp(-0.5772) / h, the mean of that probability. Of unit variance, all but the k largest of
//! h dropped and the rest rounded without bias to multiples of d = M / (2^(bits - 1) - 1), the expected loss is
//!
//!   2 int_0^t x^2 phi(x) dx + 2 int_t^M (x mod d) (d - x mod d) phi(x) dx,    2 Q(t) = k / h.
//!
//! Keeping one more entry of magnitude t lowers it while t > d / 2 and raises it beyond, so the fewest entries within a
//! bound are found by bisection up to there.

use crate::radio::special::{normal_cdf, q_function};
use crate::scenario::CutCompression;

const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
const BITS: std::ops::RangeInclusive<u32> = 2..=8;
/// Rounding to 16 bits moves a value by at most 2^-11 of it.
const FP16_ERROR: f64 = 1.0 / (1u64 << 22) as f64;

/// The expected squared error of vectors of `width` values over their squares; 0 of what a bound cannot choose.
pub fn expected_error(compression: CutCompression, width: u64) -> f64 {
    match compression {
        CutCompression::Fp16 => FP16_ERROR,
        CutCompression::SparseQuantised { kept_fraction, bits } => {
            sparse_error(crate::fomo::cost::kept(kept_fraction, width), bits, width)
        }
        _ => 0.0,
    }
}

/// Every form of a vector of `width` values of `value_bits` bits that loses at most `largest_error`: as it is, in 16 bits,
/// and for each number of bits the fewest entries.
pub(super) fn within(largest_error: f64, width: u64, value_bits: u64) -> Vec<CutCompression> {
    let mut forms = vec![CutCompression::None];
    forms.extend((value_bits > 16 && largest_error >= FP16_ERROR).then_some(CutCompression::Fp16));
    for bits in BITS.filter(|bits| u64::from(*bits) < value_bits) {
        forms.extend(fewest(largest_error, bits, width).map(|kept| sparse(kept, bits, width)));
    }
    forms
}

/// The form that keeps `kept` of `width` entries.
fn sparse(kept: u64, bits: u32, width: u64) -> CutCompression {
    // Halfway between two counts: rounding up gives this one, however the quotient was rounded.
    CutCompression::SparseQuantised { kept_fraction: (kept as f64 - 0.5) / width as f64, bits }
}

/// The fewest entries in `bits` bits that lose at most `largest_error`.
fn fewest(largest_error: f64, bits: u32, width: u64) -> Option<u64> {
    let fits = |kept| sparse_error(kept, bits, width) <= largest_error;
    // From here on more entries lose more.
    let best = (width as f64 * 2.0 * q_function(step(bits, width) / 2.0)) as u64;
    let mut most = best.clamp(1, width);
    // The turn lies between two counts.
    if !fits(most) {
        most = (most + 1).min(width);
    }
    if !fits(most) {
        return None;
    }
    let mut fewer = 0;
    while most - fewer > 1 {
        let middle = fewer + (most - fewer) / 2;
        if fits(middle) { most = middle } else { fewer = middle }
    }
    Some(most)
}

/// Distance of two levels.
fn step(bits: u32, width: u64) -> f64 {
    magnitude_exceeded_by((-EULER_GAMMA).exp() / width as f64) / f64::from((1u32 << (bits - 1)) - 1)
}

/// The expected loss when `kept` of `width` entries are sent in `bits` bits.
fn sparse_error(kept: u64, bits: u32, width: u64) -> f64 {
    let (d, levels) = (step(bits, width), (1u32 << (bits - 1)) - 1);
    let t = magnitude_exceeded_by(kept as f64 / width as f64);
    let (_, _, dropped) = moments(0.0, t);
    let between = |level: u32| {
        let i = f64::from(level);
        let (from, to) = ((i * d).max(t), (i + 1.0) * d);
        if from >= to {
            return 0.0;
        }
        let (m0, m1, m2) = moments(from, to);
        (2.0 * i + 1.0) * d * m1 - i * (i + 1.0) * d * d * m0 - m2
    };
    2.0 * (dropped + (0..levels).map(between).sum::<f64>())
}

/// Integrals of phi, x phi and x^2 phi from `a` to `b`.
fn moments(a: f64, b: f64) -> (f64, f64, f64) {
    let phi = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let m0 = normal_cdf(b) - normal_cdf(a);
    (m0, phi(a) - phi(b), m0 + a * phi(a) - b * phi(b))
}

/// Where 2 Q(x) = `probability`.
fn magnitude_exceeded_by(probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if 2.0 * q_function(middle) > probability { low = middle } else { high = middle }
    }
    if probability >= 1.0 { 0.0 } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_entries_are_those_of_trying_all() {
        for width in [16, 384, 768] {
            for bits in BITS {
                for largest_error in [0.5, 0.2, 0.05, 0.01, 1e-3, 1e-5] {
                    let all = (1..=width).find(|k| sparse_error(*k, bits, width) <= largest_error);
                    assert_eq!(fewest(largest_error, bits, width), all, "{width} {bits} {largest_error}");
                }
            }
        }
    }

    #[test]
    fn a_form_keeps_as_many_as_were_counted() {
        for kept in [1, 7, 100, 383, 384] {
            let CutCompression::SparseQuantised { kept_fraction, .. } = sparse(kept, 4, 384) else { unreachable!() };
            assert_eq!(crate::fomo::cost::kept(kept_fraction, 384), kept);
        }
    }

    #[test]
    fn everything_within_the_bound_and_the_tighter_the_larger() {
        let mut before = 0;
        for largest_error in [1e-9, 1e-3, 0.05, 0.3] {
            let forms = within(largest_error, 384, 32);
            assert_eq!(forms[0], CutCompression::None);
            assert!(forms.iter().all(|f| expected_error(*f, 384) <= largest_error), "{forms:?}");
            assert!(forms.len() >= before);
            before = forms.len();
        }
        assert_eq!(before, 2 + 6, "two bits lose more than any of these");
    }
}
