//! Small-scale fading that is constant within a coherence block and correlated from block to block.

use super::special::{exponential_integral_e1, poisson_cdf, sin_cos_turns};
use super::tapped_delay::DelayProfile;
use super::units::{SPEED_OF_LIGHT_MPS, db_to_linear};
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};
use std::cell::OnceCell;
use std::f64::consts::TAU;

/// Scattered waves in the sum; the variance of the Rayleigh power gain is 1 - 1/SCATTERERS instead of 1.
const SCATTERERS: usize = 64;
/// Coherence time times maximum Doppler shift (Rappaport 2002, equation 5.40.c).
const COHERENCE_DOPPLER_PRODUCT: f64 = 0.423;

/// Which law the gain follows. Its mean power is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FadingModel {
    /// The gain is always 1.
    None,
    Rayleigh,
    /// Rice with this K factor where the link has line of sight, Rayleigh where it has not.
    Rician {
        k_db: f64,
    },
    /// A tapped delay line of this root-mean-square delay spread: links have a response over the band.
    TappedDelay {
        profile: DelayProfile,
        delay_spread_s: f64,
    },
}

impl FadingModel {
    /// The law on a link with or without line of sight; of a tapped delay line, that of a single frequency.
    pub fn law(&self, los: bool) -> FadingLaw {
        match *self {
            Self::None => FadingLaw::Constant,
            Self::Rician { k_db } if los => FadingLaw::Rician { k: db_to_linear(k_db) },
            Self::TappedDelay { profile, .. } => FadingLaw::Rician { k: profile.on(los).k_factor() },
            _ => FadingLaw::Rician { k: 0.0 },
        }
    }
}

/// Fading of every link of a cell: its law, how fast it turns and how often it is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fading {
    pub model: FadingModel,
    /// Maximum Doppler shift, Hz.
    pub doppler_hz: f64,
    /// Length of a coherence block: rates change at its multiples.
    pub block: SimDuration,
}

impl Fading {
    /// For terminals (or surroundings) that move at `speed_mps`; a block is one coherence time. At speed 0 the channel
    /// never changes.
    pub fn from_speed(model: FadingModel, speed_mps: f64, carrier_ghz: f64) -> Self {
        let doppler_hz = doppler_hz(speed_mps, carrier_ghz);
        Self { model, doppler_hz, block: SimDuration::from_seconds(coherence_time_s(doppler_hz)) }
    }

    /// For a given coherence time, which is also the block.
    pub fn from_coherence_time(model: FadingModel, block: SimDuration) -> Self {
        Self { model, doppler_hz: COHERENCE_DOPPLER_PRODUCT / block.as_seconds(), block }
    }

    /// The number of the block that holds `time`.
    pub fn block_at(&self, time: SimTime) -> u64 {
        time.as_nanos() / self.block.as_nanos().max(1)
    }

    /// The middle of block `index`, seconds.
    pub fn block_middle_s(&self, index: u64) -> f64 {
        (index as f64 + 0.5) * self.block.as_seconds()
    }

    /// When block `index` begins.
    pub fn block_start(&self, index: u64) -> SimTime {
        SimTime::from_nanos(index.saturating_mul(self.block.as_nanos().max(1)))
    }
}

/// Maximum Doppler shift v f / c, Hz.
pub fn doppler_hz(speed_mps: f64, carrier_ghz: f64) -> f64 {
    speed_mps * carrier_ghz * 1e9 / SPEED_OF_LIGHT_MPS
}

/// 0.423 / f_D, seconds.
pub fn coherence_time_s(doppler_hz: f64) -> f64 {
    COHERENCE_DOPPLER_PRODUCT / doppler_hz
}

/// The gain of one link as a pure function of its stream and of time.
///
/// Scattered part: Clarke's model as a sum of plane waves of equal strength, one from each sector of arrival angles at
/// a random angle within it, with random phases. Its autocorrelation is Jakes' J0(2 pi f_D tau) in the mean over
/// streams, and its time average of the power is exactly 1 for every link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkFading {
    stream: CounterStream,
    doppler_hz: f64,
    /// Found when the link first fades: where nothing does, a link is small.
    waves: OnceCell<Waves>,
}

#[derive(Clone, Debug, PartialEq)]
struct Waves {
    scattered: Scattered<SCATTERERS>,
    direct: Wave,
}

/// `N` plane waves of equal strength, one from each sector of arrival angles at a random angle within it, with random phases.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scattered<const N: usize>(Box<[Wave]>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wave {
    shift_hz: f64,
    phase_turns: f64,
}

impl Wave {
    /// From any direction, by draws `2 number` and the next of the stream.
    pub fn new(stream: &CounterStream, number: usize, doppler_hz: f64) -> Self {
        let angle = TAU * stream.uniform(2 * number as u64);
        Self::from_angle(angle, stream, number, doppler_hz)
    }

    fn from_angle(angle: f64, stream: &CounterStream, number: usize, doppler_hz: f64) -> Self {
        Self { shift_hz: doppler_hz * angle.cos(), phase_turns: stream.uniform(2 * number as u64 + 1) }
    }

    /// Complex gain (real, imaginary) of power 1.
    pub fn gain_at(&self, time_s: f64) -> (f64, f64) {
        let (sin, cos) = sin_cos_turns(self.shift_hz * time_s + self.phase_turns);
        (cos, sin)
    }
}

impl<const N: usize> Scattered<N> {
    pub fn new(stream: &CounterStream, doppler_hz: f64) -> Self {
        let sector = TAU / N as f64;
        let wave = |i: usize| {
            let angle = sector * (i as f64 + stream.uniform(2 * i as u64));
            Wave::from_angle(angle, stream, i, doppler_hz)
        };
        Self((0..N).map(wave).collect())
    }

    /// Complex gain (real, imaginary) of mean power `N`.
    pub fn sum_at(&self, time_s: f64) -> (f64, f64) {
        // First all waves, which the processor's vectors share out, then the sums, one after another.
        let mut parts = [[0.0; N]; 2];
        let [sines, cosines] = &mut parts;
        for ((wave, sine), cosine) in self.0.iter().zip(sines).zip(cosines) {
            (*cosine, *sine) = wave.gain_at(time_s);
        }
        let [sin, cos] = parts.map(|values| values.iter().fold(0.0, |sum, v| sum + v));
        (cos, sin)
    }
}

impl LinkFading {
    pub fn new(stream: &CounterStream, doppler_hz: f64) -> Self {
        Self { stream: *stream, doppler_hz, waves: OnceCell::new() }
    }

    fn waves(&self) -> &Waves {
        self.waves.get_or_init(|| Waves {
            scattered: Scattered::new(&self.stream, self.doppler_hz),
            direct: Wave::new(&self.stream, SCATTERERS, self.doppler_hz),
        })
    }

    /// Complex gain (real, imaginary) at `time_s` under `law`; unit mean power.
    pub fn gain_at(&self, time_s: f64, law: FadingLaw) -> (f64, f64) {
        let FadingLaw::Rician { k } = law else { return (1.0, 0.0) };
        let waves = self.waves();
        let (re, im) = waves.scattered.sum_at(time_s);
        let scattered = (1.0 / (SCATTERERS as f64 * (1.0 + k))).sqrt();
        let (direct_re, direct_im) = waves.direct.gain_at(time_s);
        let direct = (k / (1.0 + k)).sqrt();
        (scattered * re + direct * direct_re, scattered * im + direct * direct_im)
    }

    /// Complex gain (real, imaginary) in the middle of block `index`.
    pub fn block_gain(&self, fading: &Fading, index: u64, law: FadingLaw) -> (f64, f64) {
        self.gain_at(fading.block_middle_s(index), law)
    }

    /// Power gain |h|^2 in the middle of block `index`.
    pub fn block_power(&self, fading: &Fading, index: u64, law: FadingLaw) -> f64 {
        let (re, im) = self.block_gain(fading, index, law);
        re * re + im * im
    }
}

/// The distribution of the power gain g = |h|^2 of one link, with mean 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FadingLaw {
    Constant,
    /// Linear K factor; 0 is Rayleigh.
    Rician {
        k: f64,
    },
}

impl FadingLaw {
    /// P(g >= x). For Rayleigh e^-x; for Rice the Poisson(K) mixture of gamma tails, Q_1(sqrt(2K), sqrt(2(1+K)x)).
    pub fn exceeds(&self, x: f64) -> f64 {
        match *self {
            Self::Constant => f64::from(x <= 1.0),
            Self::Rician { k } => mixture(k, |n| poisson_cdf(n, (1.0 + k) * x)),
        }
    }

    /// E[1/g ; g >= x] for x > 0: what truncated channel inversion spends on average for unit received power.
    ///
    /// For Rayleigh E1(x) (Zhu, Wang, Huang 2020, section III). For Rice, term n of the mixture has mean
    /// (1+K)/n times the gamma tail of order n, and (1+K) E1((1+K)x) for n = 0.
    pub fn truncated_inverse_mean(&self, x: f64) -> f64 {
        match *self {
            Self::Constant => f64::from(x <= 1.0),
            Self::Rician { k } => {
                let y = (1.0 + k) * x;
                (1.0 + k)
                    * mixture(k, |n| match n.checked_sub(1) {
                        None => exponential_integral_e1(y),
                        Some(below) => poisson_cdf(below, y) / f64::from(n),
                    })
            }
        }
    }
}

/// sum_n e^-K K^n / n! f(n), over the terms that matter in double precision.
fn mixture(k: f64, f: impl Fn(u32) -> f64) -> f64 {
    let last = (k + 12.0 * k.sqrt() + 20.0).ceil() as u32;
    let mut sum = 0.0;
    let mut log_weight = -k;
    for n in 0..=last {
        if n > 0 {
            log_weight += (k / f64::from(n)).ln();
        }
        let weight = log_weight.exp();
        if weight > 0.0 {
            sum += weight * f(n);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_pure_function_of_its_index() {
        let fading = Fading::from_speed(FadingModel::Rayleigh, 0.8, 3.5);
        let link = LinkFading::new(&CounterStream::new(1, 2), fading.doppler_hz);
        let law = fading.model.law(false);
        let forwards: Vec<f64> = (0..50).map(|b| link.block_power(&fading, b, law)).collect();
        let backwards: Vec<f64> = (0..50).rev().map(|b| link.block_power(&fading, b, law)).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        assert!(forwards.windows(2).all(|w| w[0] != w[1]));
    }

    #[test]
    fn every_link_has_unit_mean_power() {
        for (k_db, los) in [(0.0, false), (6.0, true)] {
            let law = FadingModel::Rician { k_db }.law(los);
            let link = LinkFading::new(&CounterStream::new(4, 5), 10.0);
            let power = |i: u32| {
                let (re, im) = link.gain_at(f64::from(i) * 0.317, law);
                re * re + im * im
            };
            let mean = (0..40_000).map(power).sum::<f64>() / 40_000.0;
            assert!((mean - 1.0).abs() < 0.03, "{mean}");
        }
    }

    #[test]
    fn blocks_tile_time() {
        let fading = Fading::from_coherence_time(FadingModel::Rayleigh, SimDuration::from_seconds(0.01));
        assert_eq!(fading.block_at(SimTime::from_seconds(0.025)), 2);
        assert_eq!(fading.block_start(2), SimTime::from_seconds(0.02));
        assert!((fading.doppler_hz - 42.3).abs() < 1e-9);
    }

    #[test]
    fn truncated_inverse_mean_matches_integration() {
        for k in [0.0, 1.0, 10.0] {
            let law = FadingLaw::Rician { k };
            // E[1/g; g >= x] = int 1/t dP(g <= t), by differences of the tail on a fine grid.
            let (x, step) = (0.3, 1e-3);
            let sum: f64 = (0..30_000)
                .map(|i| {
                    let t = x + step * f64::from(i);
                    (law.exceeds(t) - law.exceeds(t + step)) / (t + step / 2.0)
                })
                .sum();
            assert!((law.truncated_inverse_mean(x) / sum - 1.0).abs() < 1e-5, "K {k}");
        }
    }
}
