//! Loops over single elements: sums, activations, the optimiser's update.

use super::dispatch::{LANES, vectorised};
use super::scalar::Scalar;

vectorised! {
    /// `out = a + b`.
    pub(super) fn add<T>(a: &[T], b: &[T], out: &mut [T]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = a + b;
        }
    }
}

vectorised! {
    /// `y *= factor`.
    pub(super) fn multiply<T>(y: &mut [T], factor: &[T]) {
        for (y, &f) in y.iter_mut().zip(factor) {
            *y *= f;
        }
    }
}

vectorised! {
    /// Adds `bias` to every row of `y`.
    pub(super) fn add_bias<T>(y: &mut [T], bias: &[T]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}

vectorised! {
    /// `y = GELU(y + bias)` on every row.
    pub(super) fn bias_gelu<T>(y: &mut [T], bias: &[T]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &b) in row.iter_mut().zip(bias) {
                let x = *y + b;
                *y = x * x.gaussian().0;
            }
        }
    }
}

vectorised! {
    /// As [`bias_gelu`], keeping `GELU'(x) = Phi(x) + x phi(x)`.
    pub(super) fn bias_gelu_cached<T>(y: &mut [T], bias: &[T], derivative: &mut [T]) {
        for (row, derivative) in y.chunks_exact_mut(bias.len()).zip(derivative.chunks_exact_mut(bias.len())) {
            for ((y, d), &b) in row.iter_mut().zip(derivative).zip(bias) {
                let x = *y + b;
                let (cdf, density) = x.gaussian();
                *y = x * cdf;
                *d = cdf + x * density;
            }
        }
    }
}

/// `sum of f(a, b)` in a fixed order: `LANES` partial sums, then pairwise.
#[inline(always)]
pub(super) fn lane_sum<T: Scalar>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut sums = [T::ZERO; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_lanes.remainder(), b_lanes.remainder());
    if !a_rest.is_empty() {
        for (s, (&a, &b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
            *s = f(a, b);
        }
    }
    for (a, b) in a_lanes.zip(b_lanes) {
        for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *s += f(a, b);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            let other = sums[i + width];
            sums[i] += other;
        }
        width /= 2;
    }
    sums[0]
}
