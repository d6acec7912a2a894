//! Optimal power control of over-the-air aggregation over known channels (Cao, Zhu, Xu, Huang 2020,
//! doi:10.1109/TWC.2020.3012287): the receiver scales by sqrt(eta), devices whose channel is too weak send with full power.

/// The scale and powers that minimise the error of the mean.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimalPower {
    /// The receiver divides by sqrt(eta) times the sum of the weights.
    pub eta: f64,
    /// Transmit powers, in the order of the devices given.
    pub powers: Vec<f64>,
    /// Expected squared error of the mean of unit-variance symbols.
    pub mse: f64,
}

/// Power control for devices of power limits P_k and real channel amplitudes h_k (both positive, equally many) over
/// noise of variance `noise`.
///
/// With devices sorted by P_k h_k^2, eta = min_k ((noise + sum_{i<=k} P_i h_i^2) / sum_{i<=k} sqrt(P_i) h_i)^2 and
/// p_k = min(P_k, eta / h_k^2); the error is [sum_k (sqrt(p_k) h_k / sqrt(eta) - 1)^2 + noise / eta] / K^2.
pub fn optimal_power(limits: &[f64], amplitudes: &[f64], noise: f64) -> OptimalPower {
    optimal_power_weighted(limits, amplitudes, &vec![1.0; limits.len()], noise)
}

/// The same for a mean with weights a_k (positive): device k is to arrive with amplitude a_k sqrt(eta).
///
/// With devices sorted by P_k h_k^2 / a_k^2, eta = min_k ((noise + sum_{i<=k} P_i h_i^2) / sum_{i<=k} a_i sqrt(P_i) h_i)^2 and
/// p_k = min(P_k, a_k^2 eta / h_k^2); the error is [sum_k (sqrt(p_k) h_k / sqrt(eta) - a_k)^2 + noise / eta] / (sum_k a_k)^2.
pub fn optimal_power_weighted(limits: &[f64], amplitudes: &[f64], weights: &[f64], noise: f64) -> OptimalPower {
    // Largest amplitude at which each device can arrive, and the one relative to its weight.
    let mut reach: Vec<(f64, f64)> =
        limits.iter().zip(amplitudes).zip(weights).map(|((p, h), a)| (p * h * h, *a)).collect();
    reach.sort_by(|x, y| (x.0 / (x.1 * x.1)).total_cmp(&(y.0 / (y.1 * y.1))));
    let (mut power, mut amplitude, mut eta) = (noise, 0.0, f64::INFINITY);
    for (received, a) in reach {
        power += received;
        amplitude += a * received.sqrt();
        eta = eta.min((power / amplitude).powi(2));
    }
    let devices = || limits.iter().zip(amplitudes).zip(weights);
    let powers: Vec<f64> = devices().map(|((p, h), a)| p.min(a * a * eta / (h * h))).collect();
    let misfit = |(p, ((_, h), a)): (&f64, ((&f64, &f64), &f64))| ((p / eta).sqrt() * h - a).powi(2);
    let total: f64 = weights.iter().sum();
    let mse = (powers.iter().zip(devices()).map(misfit).sum::<f64>() + noise / eta) / total.powi(2);
    OptimalPower { eta, powers, mse }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_scale_does_better() {
        let (limits, amplitudes, weights) = ([1.0, 0.5, 2.0, 1.0], [0.2, 0.9, 0.4, 1.5], [1.0, 0.3, 0.7, 0.5]);
        for noise in [1e-3, 0.1, 2.0] {
            let optimum = optimal_power_weighted(&limits, &amplitudes, &weights, noise);
            let total: f64 = weights.iter().sum();
            let mse = |eta: f64| {
                let misfit: f64 = (0..4)
                    .map(|k| {
                        let p = f64::min(limits[k], weights[k].powi(2) * eta / amplitudes[k].powi(2));
                        ((p / eta).sqrt() * amplitudes[k] - weights[k]).powi(2)
                    })
                    .sum();
                (misfit + noise / eta) / (total * total)
            };
            assert!((mse(optimum.eta) / optimum.mse - 1.0).abs() < 1e-12);
            for i in 1..4000 {
                assert!(mse(optimum.eta * f64::from(i) / 1000.0) >= optimum.mse * (1.0 - 1e-12), "noise {noise}, {i}");
            }
        }
    }
}
