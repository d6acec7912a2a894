//! Special functions that the closed forms need, to about 1e-14.

use std::f64::consts::{PI, SQRT_2};

const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
const EPSILON: f64 = 1e-16;

/// Exponential integral E1(x) = int_x^inf e^-t/t dt for x > 0 (Abramowitz and Stegun 5.1.11, 5.1.22).
pub fn exponential_integral_e1(x: f64) -> f64 {
    if x <= 1.0 {
        let mut sum = -EULER_GAMMA - x.ln();
        let mut power = -1.0;
        for k in 1..40 {
            power *= -x / k as f64;
            sum += power / k as f64;
        }
        return sum;
    }
    // Modified Lentz on e^-x / (x + 1 - 1/(x + 3 - 4/(x + 5 - ...))).
    let mut b = x + 1.0;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..500 {
        let a = -((i * i) as f64);
        b += 2.0;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        h *= c * d;
        if (c * d - 1.0).abs() < EPSILON {
            break;
        }
    }
    h * (-x).exp()
}

/// Complementary error function.
pub fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.5 {
        // erf(x) = 2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!! (A&S 7.1.6): no cancellation.
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= 2.0 * x * x / (2 * n + 1) as f64;
            let before = sum;
            sum += term;
            // Terms rise to n = x^2 and fall from there on: no later one changes a bit.
            if sum == before && 2.0 * x * x < (2 * n + 1) as f64 {
                break;
            }
        }
        return 1.0 - 2.0 / PI.sqrt() * (-x * x).exp() * sum;
    }
    // Continued fraction (A&S 7.1.14), evaluated from its tail.
    let tail = (1..=80).rev().fold(0.0, |tail, k| k as f64 / 2.0 / (x + tail));
    (-x * x).exp() / PI.sqrt() / (x + tail)
}

/// Standard normal distribution function.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// Gaussian tail Q(x).
pub fn q_function(x: f64) -> f64 {
    0.5 * erfc(x / SQRT_2)
}

/// The x with Q(x) = `p`, for 0 < p < 1: bisection to the last bits, for tables rather than for loops.
pub fn inverse_q(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if q_function(middle) > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(X <= n) for X Poisson of mean x, which is the regularised upper incomplete gamma function Q(n + 1, x).
pub fn poisson_cdf(n: u32, x: f64) -> f64 {
    let mut term = (-x).exp();
    let mut sum = term;
    for j in 1..=n {
        term *= x / j as f64;
        sum += term;
    }
    sum
}

/// P(X = m) for X ~ Binomial(n, p), with 0 < p < 1.
pub fn binomial_pmf(n: u32, m: u32, p: f64) -> f64 {
    let choose: f64 = (1..=m).map(|i| ((n - m + i) as f64 / i as f64).ln()).sum();
    (choose + m as f64 * p.ln() + (n - m) as f64 * (1.0 - p).ln()).exp()
}

/// (sin, cos) of an angle given in turns, to about 1e-13 for up to 2^50 turns.
///
/// Taylor series of the half angle after reduction to +-1/2 turn: no branch, no call, so that sums over waves compile
/// to vector instructions. Plain multiplications and additions: the same bits on every machine.
#[inline]
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
    // Adding and subtracting 1.5 * 2^52 rounds to the nearest whole number.
    const ROUNDING: f64 = 6_755_399_441_055_744.0;
    let half = PI * (turns - ((turns + ROUNDING) - ROUNDING));
    let y = half * half;
    let series = |coefficients: &[f64]| coefficients.iter().rev().fold(0.0, |sum, c| sum * y + c);
    const SIN: [f64; 9] = [
        1.0,
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5040.0,
        1.0 / 362_880.0,
        -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 1_307_674_368_000.0,
        1.0 / 355_687_428_096_000.0,
    ];
    const COS: [f64; 10] = [
        1.0,
        -1.0 / 2.0,
        1.0 / 24.0,
        -1.0 / 720.0,
        1.0 / 40_320.0,
        -1.0 / 3_628_800.0,
        1.0 / 479_001_600.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 20_922_789_888_000.0,
        -1.0 / 6_402_373_705_728_000.0,
    ];
    let (sin, cos) = (half * series(&SIN), series(&COS));
    (2.0 * sin * cos, 1.0 - 2.0 * sin * sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabulated_values() {
        // Abramowitz and Stegun tables 5.1, 7.1 and 26.1.
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
        close(exponential_integral_e1(0.5), 0.559_773_594_8);
        close(exponential_integral_e1(1.0), 0.219_383_934_4);
        close(exponential_integral_e1(1.0 + 1e-12), 0.219_383_934_4);
        close(exponential_integral_e1(10.0), 4.156_968_929_7e-6);
        close(erfc(0.5), 0.479_500_122_2);
        close(erfc(2.0), 4.677_734_981_0e-3);
        close(erfc(3.0), 2.209_049_699_9e-5);
        close(erfc(-1.0), 1.842_700_792_9);
        close(normal_cdf(1.0) + q_function(1.0), 1.0);
        close(inverse_q(0.1), 1.281_551_565_544_6);
        close(inverse_q(q_function(-0.7)), -0.7);
        close((0..=7).map(|m| binomial_pmf(7, m, 0.3)).sum(), 1.0);
        close(poisson_cdf(2, 1.5), (-1.5f64).exp() * (1.0 + 1.5 + 1.125));
    }

    #[test]
    fn angles_in_turns() {
        for i in -4000..4000 {
            let turns = f64::from(i) * 0.013_7;
            let (sin, cos) = sin_cos_turns(turns);
            let (s, c) = (std::f64::consts::TAU * turns).sin_cos();
            assert!((sin - s).abs() < 1e-12 && (cos - c).abs() < 1e-12, "{turns}");
        }
    }
}
