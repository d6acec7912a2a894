//! What keeps signals from adding up: devices that know their channel badly, oscillators out of phase, clocks out of step.
//!
//! Each leaves a factor c_k on device k's symbol, 1 if all is well. Two values a symbol, in phase and in quadrature: the
//! real part of c_k scales a value and the imaginary part leaks its neighbour into it, so the error of each is
//! |c_k - 1|^2. One value a symbol: the receiver keeps the real part, and the error is (Re c_k - 1)^2.

use super::ValuesPerSymbol;
use crate::radio::special::exponential_integral_e1;
use crate::random::CounterStream;
use nalgebra::Complex;
use std::f64::consts::TAU;

/// What a device believes its channel `h` (of mean power 1) to be: `h` and an error CN(0, `relative_variance`), number
/// `n` of `draws`.
pub fn estimate(h: Complex<f64>, relative_variance: f64, draws: &CounterStream, n: u64) -> Complex<f64> {
    let scale = (relative_variance / 2.0).sqrt();
    h + Complex::new(draws.normal(2 * n), draws.normal(2 * n + 1)) * scale
}

/// E|h / h' - 1|^2 of a device that inverts its estimate h' = h + e of a Rayleigh channel where |h'|^2 >= `threshold`, e of
/// variance v = `relative_variance`.
///
/// Given h', h is CN(h'/(1+v), v/(1+v)); so the error is (v/(1+v))^2 + v/(1+v) E[1/|h'|^2 | |h'|^2 >= G], and with
/// G' = G/(1+v) that mean is e^G' E1(G') / (1+v).
pub fn channel_error_mse(relative_variance: f64, threshold: f64) -> f64 {
    let v = relative_variance;
    let relative = threshold / (1.0 + v);
    (v / (1.0 + v)).powi(2) + v / (1.0 + v).powi(2) * relative.exp() * exponential_integral_e1(relative)
}

/// Error of the mean over K = `devices` whose phases are off by N(0, s^2), s = `std_rad`, at `noise_to_rho` = N0/rho.
///
/// One value a symbol: (1 - 2 e^(-s^2/2) + (1 + e^(-2 s^2))/2)/K + N0/(2 rho K^2). Two values: the phase also mixes them,
/// (2 - 2 e^(-s^2/2))/K + N0/(rho K^2).
pub fn phase_error_mse(values: ValuesPerSymbol, devices: u32, std_rad: f64, noise_to_rho: f64) -> f64 {
    let (k, s) = (f64::from(devices), std_rad * std_rad);
    let cosine = (-s / 2.0).exp();
    let misfit = match values {
        ValuesPerSymbol::One => 1.0 - 2.0 * cosine + f64::midpoint(1.0, (-2.0 * s).exp()),
        ValuesPerSymbol::Two => 2.0 - 2.0 * cosine,
    };
    misfit / k + noise_to_rho * f64::from(values.count()) / 2.0 / (k * k)
}

/// Phase that a delay of `seconds` within the cyclic prefix puts between neighbouring subcarriers, radians: the phase of
/// subcarrier m is m times it (counted from the band's centre, which the phase of the channel estimate absorbs).
pub fn phase_slope(seconds: f64, subcarrier_hz: f64) -> f64 {
    -TAU * subcarrier_hz * seconds
}

/// Distance of subcarrier `index` of `subcarriers` from the band's centre, in subcarriers.
pub fn from_centre(index: u32, subcarriers: u32) -> f64 {
    f64::from(index) - f64::from(subcarriers - 1) / 2.0
}

/// E|c_k - 1|^2 over subcarriers and over delays N(0, `std_seconds`^2): mean_m 2 - 2 exp(-(phase of m at one deviation)^2/2).
pub fn timing_error_mse(std_seconds: f64, subcarrier_hz: f64, subcarriers: u32) -> f64 {
    let slope = phase_slope(std_seconds, subcarrier_hz);
    let of = |m: u32| 2.0 - 2.0 * (-(slope * from_centre(m, subcarriers)).powi(2) / 2.0).exp();
    (0..subcarriers).map(of).sum::<f64>() / f64::from(subcarriers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the mean of `samples` is `expected` within four standard errors.
    fn agrees(samples: impl Iterator<Item = f64>, expected: f64) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for x in samples {
            (n, sum, squares) = (n + 1.0, sum + x, squares + x * x);
        }
        let mean: f64 = sum / n;
        let error = ((squares / n - mean * mean) / n).sqrt();
        assert!((mean - expected).abs() <= 4.0 * error, "{mean} +- {error}, expected {expected}");
    }

    #[test]
    fn inverting_a_wrong_channel() {
        let (draws, errors) = (CounterStream::new(1, 1), CounterStream::new(1, 2));
        for (variance, threshold) in [(0.01, 0.1), (0.1, 0.5), (1.0, 0.2)] {
            let misfit = (0..200_000).filter_map(|i| {
                let h = Complex::new(draws.normal(2 * i), draws.normal(2 * i + 1)) * 0.5f64.sqrt();
                let believed = estimate(h, variance, &errors, i);
                (believed.norm_sqr() >= threshold).then(|| (h / believed - Complex::from(1.0)).norm_sqr())
            });
            agrees(misfit, channel_error_mse(variance, threshold));
        }
        assert_eq!(channel_error_mse(0.0, 0.1), 0.0);
        assert_eq!(estimate(Complex::new(1.0, 2.0), 0.0, &draws, 5), Complex::new(1.0, 2.0));
    }

    #[test]
    fn phases_out_of_step() {
        let draws = CounterStream::new(2, 1);
        for std in [0.1, 0.5, 2.0] {
            let turned = |i: u64| Complex::from_polar(1.0, std * draws.normal(i)) - Complex::from(1.0);
            agrees((0..100_000).map(|i| turned(i).norm_sqr()), phase_error_mse(ValuesPerSymbol::Two, 1, std, 0.0));
            agrees((0..100_000).map(|i| turned(i).re.powi(2)), phase_error_mse(ValuesPerSymbol::One, 1, std, 0.0));
        }
        // Each value of two has twice the noise of one alone, relative to its power.
        let noise = |values| phase_error_mse(values, 5, 0.0, 0.4);
        assert!((noise(ValuesPerSymbol::Two) - 0.4 / 25.0).abs() < 1e-15);
        assert!((noise(ValuesPerSymbol::One) - 0.2 / 25.0).abs() < 1e-15);
    }

    #[test]
    fn clocks_out_of_step() {
        let draws = CounterStream::new(3, 1);
        let (std, spacing, subcarriers) = (20e-9, 30e3, 600);
        let misfit = (0..200_000).map(|i| {
            let slope = phase_slope(std * draws.normal(2 * i), spacing);
            let m = (draws.uniform(1_000_000 + i) * f64::from(subcarriers)) as u32;
            (Complex::from_polar(1.0, slope * from_centre(m, subcarriers)) - Complex::from(1.0)).norm_sqr()
        });
        agrees(misfit, timing_error_mse(std, spacing, subcarriers));
        assert_eq!(timing_error_mse(0.0, spacing, subcarriers), 0.0);
        assert_eq!(from_centre(0, 3), -1.0);
    }
}
