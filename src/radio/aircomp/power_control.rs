//! Optimal power control of over-the-air aggregation over known channels (Cao, Zhu, Xu, Huang 2020,
//! doi:10.1109/TWC.2020.3012287): the receiver scales by sqrt(eta), devices whose channel is too weak send with full power.

/// The scale and powers that minimise the error of the mean.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimalPower {
    /// The receiver divides by K sqrt(eta).
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
    let mut received: Vec<f64> = limits.iter().zip(amplitudes).map(|(p, h)| p * h * h).collect();
    received.sort_by(f64::total_cmp);
    let (mut power, mut amplitude, mut eta) = (noise, 0.0, f64::INFINITY);
    for r in received {
        power += r;
        amplitude += r.sqrt();
        eta = eta.min((power / amplitude).powi(2));
    }
    let powers: Vec<f64> = limits.iter().zip(amplitudes).map(|(p, h)| p.min(eta / (h * h))).collect();
    let misfit = |(p, h): (&f64, &f64)| ((p / eta).sqrt() * h - 1.0).powi(2);
    let devices = limits.len() as f64;
    let mse = (powers.iter().zip(amplitudes).map(misfit).sum::<f64>() + noise / eta) / devices.powi(2);
    OptimalPower { eta, powers, mse }
}
