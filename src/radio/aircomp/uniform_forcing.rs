//! Uniform-forcing transmission to N receive antennas (Chen, Zhao, Letaief 2018, doi:10.1109/LWC.2018.2840157; Zhu, Huang
//! 2019, arXiv:1803.10443): given a beam, every device inverts what the beam leaves of its channel.

use super::beam::Vector;
use nalgebra::Complex;

/// Factors and powers under one beam.
#[derive(Clone, Debug, PartialEq)]
pub struct UniformForcing {
    /// Common received power of a device of weight 1.
    pub eta: f64,
    /// What each device multiplies its symbol by: b_k = a_k sqrt(eta) (f^H h_k)^* / |f^H h_k|^2.
    pub factors: Vec<Complex<f64>>,
    /// noise / (eta (sum_k a_k)^2): the error of the weighted mean of unit-variance symbols.
    pub mse: f64,
}

/// Transmission of devices with power `limits`, `channels` and weights a_k = `weights` (at most 1) to the unit-norm `beam`
/// over noise of variance `noise`: eta = min_k P_k |f^H h_k|^2 / a_k^2.
pub fn uniform_forcing(
    limits: &[f64],
    channels: &[Vector],
    weights: &[f64],
    beam: &Vector,
    noise: f64,
) -> UniformForcing {
    let left: Vec<Complex<f64>> = channels.iter().map(|h| beam.dotc(h)).collect();
    let affordable = |((p, c), a): ((&f64, &Complex<f64>), &f64)| p * c.norm_sqr() / (a * a);
    let eta = limits.iter().zip(&left).zip(weights).map(affordable).fold(f64::INFINITY, f64::min);
    let factor = |(c, a): (&Complex<f64>, &f64)| c.conj() * (a * eta.sqrt() / c.norm_sqr());
    let total: f64 = weights.iter().sum();
    UniformForcing { eta, factors: left.iter().zip(weights).map(factor).collect(), mse: noise / (eta * total * total) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::aircomp::beam::matched;
    use nalgebra::DVector;

    #[test]
    fn all_arrive_alike_and_nobody_exceeds_its_power() {
        let h = |a: f64, b: f64| DVector::from_vec(vec![Complex::new(a, 0.3), Complex::new(0.2, b)]);
        let channels = [h(1.0, 0.5), h(0.2, -0.1), h(-0.7, 0.9)];
        let (limits, weights) = ([1.0, 2.0, 0.5], [1.0, 0.5, 0.25]);
        let beam = matched(&channels);
        let sent = uniform_forcing(&limits, &channels, &weights, &beam, 0.1);
        let mut fullest = 0.0f64;
        for (((b, c), a), p) in sent.factors.iter().zip(&channels).zip(weights).zip(limits) {
            assert!((beam.dotc(c) * b - Complex::from(a * sent.eta.sqrt())).norm() < 1e-12);
            fullest = fullest.max(b.norm_sqr() / p);
        }
        assert!((fullest - 1.0).abs() < 1e-12);
    }
}
