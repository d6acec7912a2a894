//! A gradient through a narrow channel: random projection and back.
//!
//! With R of d rows whose p entries are signs, both sides draw R from one stream, d numbers R g cross, and the estimate
//! is R' R g / d. Since E[R' R] = d I it is unbiased; since signs have no fourth moment beyond 1 its error has
//! E|estimate - g|^2 = (p - 1) / d |g|^2 exactly (Gaussian entries: (p + 1) / d).

use crate::random::CounterStream;

/// Replaces `gradient` by its estimate from `dimension` numbers. What crosses are single-precision numbers.
pub fn project(gradient: &mut [f32], dimension: usize, stream: CounterStream) {
    let mut estimate = vec![0.0f64; gradient.len()];
    for row in 0..dimension {
        let row = stream.child(row as u64);
        let mut sum = 0.0;
        each_sign(gradient.len(), row, |n, sign| sum += sign * f64::from(gradient[n]));
        let sent = f64::from(sum as f32);
        each_sign(gradient.len(), row, |n, sign| estimate[n] += sign * sent);
    }
    for (g, e) in gradient.iter_mut().zip(estimate) {
        *g = (e / dimension as f64) as f32;
    }
}

/// The signs of one row, 64 from each draw.
fn each_sign(len: usize, row: CounterStream, mut visit: impl FnMut(usize, f64)) {
    for first in (0..len).step_by(64) {
        let bits = row.bits(first as u64 / 64);
        for n in first..len.min(first + 64) {
            visit(n, if bits >> (n - first) & 1 == 0 { 1.0 } else { -1.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Vec<f32> {
        (0..150).map(|n| ((n * 37 % 23) as f32 - 9.0) * if n < 5 { 3.0 } else { 0.4 }).collect()
    }

    fn norm_squared(v: &[f64]) -> f64 {
        v.iter().map(|x| x * x).sum()
    }

    #[test]
    fn the_estimate_is_unbiased_and_its_error_has_the_closed_form() {
        const DRAWS: u64 = 4000;
        let exact = gradient();
        let (p, size) = (exact.len() as f64, norm_squared(&exact.iter().map(|g| f64::from(*g)).collect::<Vec<_>>()));
        for dimension in [1, 10, 60] {
            let root = CounterStream::new(11, dimension as u64);
            let (mut mean, mut error) = (vec![0.0; exact.len()], 0.0);
            for draw in 0..DRAWS {
                let mut estimate = exact.clone();
                project(&mut estimate, dimension, root.child(draw));
                let difference = |(e, g): (&f32, &f32)| f64::from(*e) - f64::from(*g);
                let off: Vec<f64> = estimate.iter().zip(&exact).map(difference).collect();
                error += norm_squared(&off) / DRAWS as f64;
                mean.iter_mut().zip(&off).for_each(|(m, o)| *m += o / DRAWS as f64);
            }
            let expected = (p - 1.0) / dimension as f64 * size;
            assert!((error / expected - 1.0).abs() < 0.1, "{dimension}: {error}, not {expected}");
            // The mean of the draws misses by 1 / DRAWS of that.
            let miss = norm_squared(&mean) / (expected / DRAWS as f64);
            assert!((0.6..1.5).contains(&miss), "{dimension}: the mean is off by {miss} times what chance explains");
        }
    }

    #[test]
    fn both_sides_draw_the_same_and_other_streams_differ() {
        let [mut a, mut b, mut c] = [gradient(), gradient(), gradient()];
        project(&mut a, 5, CounterStream::new(1, 2));
        project(&mut b, 5, CounterStream::new(1, 2));
        project(&mut c, 5, CounterStream::new(1, 3));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}
