//! The number type of the CPU backend: `f32` for work, `f64` where a test wants exact derivatives.

use super::dispatch::LANES;
use super::tile::{PORTABLE_ROWS, WIDEST, portable_tile};
use super::transpose;
#[cfg(target_arch = "x86_64")]
use super::{
    column,
    tile_x86::{self, Width},
};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

/// A floating-point type with the few functions that the kernels need, written so that loops over them vectorise.
pub trait Scalar:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
{
    const ZERO: Self;
    const ONE: Self;

    fn from_f64(value: f64) -> Self;
    fn from_f32(value: f32) -> Self;
    fn to_f64(self) -> f64;
    fn to_f32(self) -> f32;
    fn sqrt(self) -> Self;
    /// Natural logarithm; used once a row, so accuracy before speed.
    fn ln(self) -> Self;
    /// `e^self`; below the smallest normal number's logarithm the result is flushed there.
    fn exp(self) -> Self;
    /// The standard normal distribution function and density at `self`: `(Phi, phi)`.
    fn gaussian(self) -> (Self, Self);

    /// Rows, at most, and columns of the next tile where so many columns are left: whole `LANES`, less the tiles before.
    fn tile_shape(columns: usize) -> (usize, usize) {
        (PORTABLE_ROWS, columns.min(WIDEST))
    }

    /// `out = [out +] scale * a b` for a tile of `(rows, columns, k)` as [`Scalar::tile_shape`] says: element (i, p) of `a`
    /// is `a.0[i * a.1 + p * a.2]`, rows of `b` and `out` are contiguous and that far apart, `how` is the scale and whether
    /// to add. Every element is summed over `k` in order.
    fn tile(
        shape: (usize, usize, usize),
        a: (&[Self], usize, usize),
        b: (&[Self], usize),
        how: (Self, bool),
        out: (&mut [Self], usize),
    ) {
        portable_tile(shape, a, b, how, out);
    }

    /// `out = [out +] scale * a b` for the first rows of `a` `[rows, k]` and a panel `b` `[k, WIDEST]`, which it returns the
    /// number of: none where there is no such kernel. Rows of `out` are `out.1` apart. What is `next` is brought near
    /// meanwhile. Elements are those of [`Scalar::tile`], bit for bit.
    fn column(
        _shape: (usize, usize),
        _a: &[Self],
        _b: &[Self],
        _how: (Self, bool),
        _out: (&mut [Self], usize),
        _next: &[Self],
    ) -> usize {
        0
    }

    /// `LANES` columns of `count` rows, of which there are one to `LANES`, become `LANES` rows of `LANES` values, zeros behind
    /// the first `count`; rows are so far apart as is said beside them.
    fn transpose(rows: (&[Self], usize, usize), out: (&mut [Self], usize)) {
        transpose::portable(LANES, rows, out);
    }

    /// `1 / (1 + e^-self)`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }

    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

/// `1 / sqrt(2 pi)`.
const DENSITY_AT_ZERO: f64 = 0.398_942_280_401_432_7;

impl Scalar for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }

    #[cfg(target_arch = "x86_64")]
    fn tile_shape(columns: usize) -> (usize, usize) {
        Width::detect().tile_shape(columns)
    }

    #[cfg(target_arch = "x86_64")]
    fn tile(
        shape: (usize, usize, usize),
        a: (&[f32], usize, usize),
        b: (&[f32], usize),
        how: (f32, bool),
        out: (&mut [f32], usize),
    ) {
        tile_x86::tile(Width::detect(), shape, a, b, how, out);
    }

    #[cfg(target_arch = "x86_64")]
    fn column(
        shape: (usize, usize),
        a: &[f32],
        b: &[f32],
        how: (f32, bool),
        out: (&mut [f32], usize),
        next: &[f32],
    ) -> usize {
        match Width::detect() {
            // SAFETY: the CPU has the kernel's features.
            Width::Avx512 => unsafe { column::column(shape, a, b, how, out, next) },
            _ => 0,
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn transpose(rows: (&[f32], usize, usize), out: (&mut [f32], usize)) {
        match Width::detect() {
            // SAFETY: the CPU has the kernel's features.
            Width::Avx512 => unsafe { transpose::x86::transpose(rows, out) },
            _ => transpose::portable(LANES, rows, out),
        }
    }

    /// Range reduction to `2^n e^r`, `|r| <= ln(2) / 2` (Cody and Waite 1980), and Taylor's polynomial of degree 7.
    #[inline(always)]
    fn exp(self) -> Self {
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        // Adding it rounds to an integer in the low bits of the significand.
        const ROUND: f32 = 12_582_912.0;
        let x = if self > 88.0 { 88.0 } else { self };
        let x = if x < -87.0 { -87.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
        let mut p = 1.0 / 5040.0;
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = p * r + c;
        }
        let power_of_two = f32::from_bits(shifted.to_bits().wrapping_add(127).wrapping_shl(23));
        p * power_of_two
    }

    /// `Phi(-|x|) = exp(-z^2) t P(t) / 2` with `z = |x| / sqrt 2`, `t = 1 / (1 + 0.42 z)`: the form of Abramowitz and
    /// Stegun 7.1.26, here with a polynomial that interpolates `erfcx(z) / t` at Chebyshev points of `0 <= z <= 6`.
    /// Largest errors on 8 million points of |x| <= 8: 2.2e-7 absolute; relative 4.2e-7 (1 + 0.15 x^2), the second
    /// part from rounding the exponential's argument. Mostly rounding: the polynomial itself is good to 5e-8.
    #[inline(always)]
    fn gaussian(self) -> (Self, Self) {
        const P: [f32; 7] =
            [-0.350_699_85, 0.495_639_4, -0.183_985_68, 0.298_926_9, 0.184_850_07, 0.241_317_38, 0.236_698_8];
        let z = self.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let e = Scalar::exp(-0.5 * self * self);
        let t = 1.0 / (1.0 + 0.42 * z);
        let mut p: f32 = 0.077_253_02;
        for c in P {
            p = p * t + c;
        }
        let tail = 0.5 * (p * t) * e;
        let cdf = if self < 0.0 { tail } else { 1.0 - tail };
        (cdf, DENSITY_AT_ZERO as f32 * e)
    }
}

impl Scalar for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }

    /// Marsaglia's series `1/2 + phi(x) (x + x^3/3 + x^5/15 + ...)` up to 5, then Laplace's continued fraction
    /// (Marsaglia 2004, "Evaluating the normal distribution").
    fn gaussian(self) -> (Self, Self) {
        let density = DENSITY_AT_ZERO * (-0.5 * self * self).exp();
        let x = self.abs();
        let tail = if x < 5.0 {
            let (mut term, mut sum, mut k) = (x, x, 1.0);
            while term > sum * 1e-17 {
                k += 2.0;
                term *= x * x / k;
                sum += term;
            }
            0.5 - density * sum
        } else {
            density / (1..=60).rev().fold(x, |f, k| x + f64::from(k) / f)
        };
        (if self < 0.0 { tail } else { 1.0 - tail }, density)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-12_000..=12_000).map(|i| i as f32 * 0.000_731)
    }

    #[test]
    fn f32_exponential_is_within_two_units_in_the_last_place() {
        for x in grid().map(|x| x * 9.9) {
            let (found, exact) = (f64::from(Scalar::exp(x)), f64::from(x).exp());
            assert!((found / exact - 1.0).abs() < 1.5e-7, "exp({x}) = {found}, expected {exact}");
        }
        assert_eq!(Scalar::exp(0f32), 1.0);
        assert!(Scalar::exp(-1e30f32) < 1e-37);
    }

    #[test]
    fn f32_sigmoid_is_accurate_on_both_tails() {
        for x in grid().map(|x| x * 9.0) {
            let (found, exact) = (f64::from(Scalar::sigmoid(x)), 1.0 / (1.0 + (-f64::from(x)).exp()));
            assert!((found - exact).abs() < 1.2e-7, "sigmoid({x})");
            assert!((found / exact - 1.0).abs() < 2.4e-7, "relative sigmoid({x})");
        }
        assert!(Scalar::sigmoid(-1e30f32) < 1e-37 && Scalar::sigmoid(1e30f32) == 1.0);
    }

    #[test]
    fn f64_gaussian_matches_tabulated_values() {
        // Phi to 16 digits: Abramowitz and Stegun, table 26.1, and 1 - Phi(6) from table 26.2.
        for (x, phi) in
            [(0f64, 0.5), (1.0, 0.841_344_746_068_543), (2.0, 0.977_249_868_051_821), (-1.0, 0.158_655_253_931_457)]
        {
            assert!((Scalar::gaussian(x).0 - phi).abs() < 1e-14, "Phi({x})");
        }
        assert!((Scalar::gaussian(-6f64).0 / 9.865_876_450_377e-10 - 1.0).abs() < 1e-10);
        let (below, above) = (Scalar::gaussian(-4.999_999_999f64).0, Scalar::gaussian(-5.000_000_001f64).0);
        assert!((below / above - 1.0).abs() < 1e-7, "series and fraction meet at 5");
    }

    #[test]
    fn f32_gaussian_is_accurate_on_both_tails() {
        for x in grid().filter(|x| x.abs() < 8.0) {
            let (cdf, density) = Scalar::gaussian(x);
            let (exact_cdf, exact_density) = Scalar::gaussian(f64::from(x));
            assert!((f64::from(cdf) - exact_cdf).abs() < 2.5e-7, "Phi({x})");
            // exp(-x^2/2) loses x^2/2 roundings of its argument.
            let slack = 4.5e-7 * (1.0 + 0.15 * f64::from(x * x));
            assert!((f64::from(cdf) / exact_cdf - 1.0).abs() < slack, "relative Phi({x})");
            assert!((f64::from(density) / exact_density - 1.0).abs() < slack, "phi({x})");
        }
    }
}
