//! What a block that is spread over a frequency-selective band is worth: the exponential effective SINR mapping
//! ([`error_model`](super::error_model)) of one response, worked out once a channel for every SNR and every scheme.
//!
//! With power gains g_i over the band, of mean 1, and x = SNR / beta, the effective SNR over beta is
//! y(x) = -ln(mean(exp(-x g_i))): all schemes read one curve, each at its own x. Knows neither schemes nor what fades.

use super::units::linear_to_db;
use std::f64::consts::SQRT_2;

/// The curve's points are half octaves of x, from -24.1 to 36.1 dB.
const LOWEST_HALF_OCTAVE: i32 = -16;
const POINTS: usize = 41;
/// Sums that go on side by side, which the processor's vectors share out.
const LANES: usize = 8;

/// dB of SNR that the response costs against a flat one of the same mean power, over x.
#[derive(Clone, Debug, PartialEq)]
pub struct Selectivity {
    loss_db: Box<[f64; POINTS]>,
}

/// Half an octave of power.
fn step_db() -> f64 {
    5.0 * std::f64::consts::LOG10_2
}

/// x of point `at`, which need not be whole.
fn x_db(at: f64) -> f64 {
    (f64::from(LOWEST_HALF_OCTAVE) + at) * step_db()
}

impl Selectivity {
    /// Of a response with these power gains at equal distances over the band; their mean does not matter.
    pub fn new(powers: &[f64]) -> Self {
        let mean = powers.iter().sum::<f64>() / powers.len() as f64;
        let least = powers.iter().copied().fold(f64::INFINITY, f64::min) / mean;
        let lowest = f64::from(LOWEST_HALF_OCTAVE / 2).exp2();
        let mut loss_db = Box::new([0.0; POINTS]);
        // Relative to the smallest gain, so that nothing underflows where it matters. An octave up is a square.
        for (offset, first) in [(0, lowest), (1, lowest * SQRT_2)] {
            let mut x = first;
            let mut terms = vec![[0.0; LANES]; powers.len().div_ceil(LANES)];
            for (term, power) in terms.as_flattened_mut().iter_mut().zip(powers) {
                *term = exp_near_0(x * (least - power / mean));
            }
            for loss_db in loss_db.iter_mut().skip(offset).step_by(2) {
                let mut sums = [0.0; LANES];
                for terms in &mut terms {
                    for (sum, term) in sums.iter_mut().zip(terms) {
                        *sum += *term;
                        *term *= *term;
                    }
                }
                let mean = sums.iter().sum::<f64>() / powers.len() as f64;
                *loss_db = -linear_to_db(least - mean.ln() / x);
                x *= 2.0;
            }
        }
        Self { loss_db }
    }

    /// Effective SNR where the mean over the band is `snr_db`, for a scheme with this beta.
    pub fn effective_db(&self, snr_db: f64, beta_db: f64) -> f64 {
        let at = (snr_db - beta_db - x_db(0.0)) / step_db();
        snr_db - self.loss_at(at)
    }

    /// Mean SNR over the band at which the effective one is `effective_db`: [`Self::effective_db`] inverted.
    pub fn needed_db(&self, effective_db: f64, beta_db: f64) -> f64 {
        let y_db = effective_db - beta_db;
        let of = |k: usize| x_db(k as f64) - self.loss_db[k];
        let (mut below, mut above) = (0, POINTS - 1);
        if y_db <= of(below) || y_db >= of(above) {
            return effective_db + self.loss_db[if y_db <= of(below) { below } else { above }];
        }
        while above - below > 1 {
            let middle = (below + above) / 2;
            *(if of(middle) <= y_db { &mut below } else { &mut above }) = middle;
        }
        let part = (y_db - of(below)) / (of(above) - of(below));
        effective_db + self.loss_db[below] + part * (self.loss_db[above] - self.loss_db[below])
    }

    fn loss_at(&self, at: f64) -> f64 {
        let at = at.clamp(0.0, (POINTS - 1) as f64);
        let below = (at as usize).min(POINTS - 2);
        let part = at - below as f64;
        self.loss_db[below] + part * (self.loss_db[below + 1] - self.loss_db[below])
    }
}

/// e^z for z from -4 to 0, within 1e-11: Taylor's series of the sixteenth part, squared four times. Neither branch nor call, so that a
/// response compiles to vector instructions.
fn exp_near_0(z: f64) -> f64 {
    const SERIES: [f64; 10] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
    ];
    let part = z / 16.0;
    let e = SERIES.iter().rev().fold(0.0, |sum, c| sum * part + c);
    let e = e * e;
    let e = e * e;
    let e = e * e;
    e * e
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::error_model::effective_snr_db;
    use crate::radio::tapped_delay::{DelayProfile, TappedDelayLine};
    use crate::radio::units::db_to_linear;
    use crate::random::CounterStream;

    const PROFILES: [DelayProfile; 3] = [DelayProfile::TdlA, DelayProfile::TdlC, DelayProfile::TdlD];

    fn powers(profile: DelayProfile, spread_s: f64, seed: u64, samples: u32) -> Vec<f64> {
        let line = TappedDelayLine::new(profile, spread_s, &CounterStream::new(seed, 9), 10.0);
        line.block_powers(0.3, samples, 273.0 * 360e3 / f64::from(samples))
    }

    #[test]
    fn the_curve_is_the_plain_mapping_of_the_same_response() {
        let mut worst = 0.0f64;
        for profile in PROFILES {
            for seed in 0..20 {
                let powers = powers(profile, 100e-9, seed, 69);
                let mean = powers.iter().sum::<f64>() / powers.len() as f64;
                let curve = Selectivity::new(&powers);
                for tenths in -250..400 {
                    let (snr_db, beta) = (f64::from(tenths) / 10.0, 6.16);
                    let snrs: Vec<f64> = powers.iter().map(|p| snr_db + linear_to_db(p / mean)).collect();
                    let plain_db = effective_snr_db(beta, &snrs);
                    worst = worst.max((curve.effective_db(snr_db, linear_to_db(beta)) - plain_db).abs());
                }
            }
        }
        assert!(worst < 0.03, "{worst} dB");
    }

    #[test]
    fn small_exponents_have_their_exponential() {
        for hundredths in -400..=0 {
            let z = f64::from(hundredths) / 100.0;
            assert!((exp_near_0(z) / z.exp() - 1.0).abs() < 1e-11, "{z}");
        }
    }

    #[test]
    fn a_flat_response_costs_nothing_and_a_selective_one_something() {
        let flat = Selectivity::new(&[0.3; 69]);
        let selective = Selectivity::new(&powers(DelayProfile::TdlC, 300e-9, 1, 69));
        for snr_db in [-20.0, 0.0, 13.0, 45.0] {
            assert!((flat.effective_db(snr_db, 4.0) - snr_db).abs() < 1e-9);
            assert!((flat.needed_db(snr_db, 4.0) - snr_db).abs() < 1e-9);
            assert!(selective.effective_db(snr_db, 4.0) < snr_db);
        }
        // The larger beta, the nearer the mean.
        assert!(selective.effective_db(10.0, 2.0) < selective.effective_db(10.0, 12.0));
    }

    #[test]
    fn what_is_needed_is_what_makes_the_effective_snr() {
        for profile in PROFILES {
            let curve = Selectivity::new(&powers(profile, 300e-9, 3, 69));
            for effective_db in [-8.0, -1.3, 0.0, 7.7, 22.0] {
                let needed_db = curve.needed_db(effective_db, 5.5);
                assert!((curve.effective_db(needed_db, 5.5) - effective_db).abs() < 1e-9, "{profile:?} {effective_db}");
            }
        }
    }

    /// Wide bands of independent Rayleigh gains: mean(exp(-x g)) = 1 / (1 + x).
    #[test]
    fn very_wide_rayleigh_bands_have_a_closed_form() {
        let draws = CounterStream::new(5, 6);
        let powers: Vec<f64> = (0..200_000).map(|n| -draws.uniform(n).ln()).collect();
        let curve = Selectivity::new(&powers);
        for snr_db in [-10.0, 0.0, 10.0] {
            let closed_db = linear_to_db(db_to_linear(snr_db).ln_1p());
            assert!((curve.effective_db(snr_db, 0.0) - closed_db).abs() < 0.05, "{snr_db}");
        }
    }
}
