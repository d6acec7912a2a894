//! One-bit over-the-air aggregation (Zhu, Du, Gunduz, Huang 2021, arXiv:2001.05713): devices send signs, the receiver
//! takes the sign of the sum, a majority vote over the air.

use crate::radio::special::{binomial_pmf, q_function};

/// Probability that the vote on one entry is wrong.
///
/// `devices` take part with probability `participation` each; a participant's sign is right with probability `correct`.
/// Two signs share a complex symbol, so each has amplitude sqrt(rho/2) against noise of variance N0/2: a vote of a
/// devices of which m are right fails with probability Q((2m - a) sqrt(rho/N0)).
pub fn vote_error(devices: u32, participation: f64, correct: f64, rho_to_noise: f64) -> f64 {
    let amplitude = rho_to_noise.sqrt();
    let given = |a: u32| {
        let fails = |m: u32| q_function((2.0 * f64::from(m) - f64::from(a)) * amplitude);
        (0..=a).map(|m| binomial_pmf(a, m, correct) * fails(m)).sum::<f64>()
    };
    (0..=devices).map(|a| binomial_pmf(devices, a, participation) * given(a)).sum()
}
