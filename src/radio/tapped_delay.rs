//! Frequency selectivity: the tapped delay lines of TR 38.901 clause 7.7.2, one gain a resource block.
//!
//! Every tap fades on its own with Jakes' autocorrelation; the band sees their sum, each turned by its delay. The mean power
//! is 1 at every frequency, so that a line takes the place of [`LinkFading`](super::fading::LinkFading)'s single gain without moving the mean SNR.

use super::fading::{Scattered, Wave};
use super::special::sin_cos_turns;
use super::tables::read_embedded;
use super::units::db_to_linear;
use crate::random::CounterStream;
use serde::Deserialize;
use std::sync::LazyLock;

/// Blocks that are turned at once: independent of each other, so that the processor's vectors share them out.
const LANES: usize = 8;

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum DelayProfile {
    /// Without line of sight, 23 taps.
    #[serde(rename = "tdl_a")]
    TdlA,
    /// Without line of sight, 24 taps, power later than in A.
    #[serde(rename = "tdl_c")]
    TdlC,
    /// With line of sight: a direct tap 13.3 dB above what fades with it.
    #[serde(rename = "tdl_d")]
    TdlD,
}

impl DelayProfile {
    /// The line of a link with or without line of sight: D is for the former only and leaves the others to C.
    #[must_use]
    pub fn on(self, los: bool) -> Self {
        if self.has_direct_path() && !los { Self::TdlC } else { self }
    }

    pub fn has_direct_path(self) -> bool {
        self == Self::TdlD
    }

    /// Power of the direct tap over that of all others together; 0 without one.
    pub fn k_factor(self) -> f64 {
        let power = |direct: bool| -> f64 {
            self.rows().filter(|row| row.direct == direct).map(|row| db_to_linear(row.power_db)).sum()
        };
        power(true) / power(false)
    }

    fn rows(self) -> impl Iterator<Item = &'static Row> {
        static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| read_embedded(include_str!("tables/tapped_delays.csv")));
        ROWS.iter().filter(move |row| row.profile == self)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Row {
    profile: DelayProfile,
    /// Multiple of the delay spread.
    delay: f64,
    power_db: f64,
    direct: bool,
}

/// The frequency response of one link as a pure function of its stream and of time.
#[derive(Clone, Debug, PartialEq)]
pub struct TappedDelayLine {
    taps: Vec<Tap>,
}

#[derive(Clone, Debug, PartialEq)]
struct Tap {
    delay_s: f64,
    /// Square root of the mean power.
    amplitude: f64,
    gain: TapGain,
}

/// Waves of a tap: fewer than of a link that has but one gain, as the band sees the sum of two dozen taps.
const TAP_SCATTERERS: usize = 16;

/// Of mean power 1.
#[derive(Clone, Debug, PartialEq)]
enum TapGain {
    Scattered(Scattered<TAP_SCATTERERS>),
    Direct(Wave),
}

impl Tap {
    /// Complex gain (real, imaginary) at the carrier.
    fn gain_at(&self, time_s: f64) -> (f64, f64) {
        let (scale, (re, im)) = match &self.gain {
            TapGain::Scattered(waves) => (1.0 / (TAP_SCATTERERS as f64).sqrt(), waves.sum_at(time_s)),
            TapGain::Direct(wave) => (1.0, wave.gain_at(time_s)),
        };
        (self.amplitude * scale * re, self.amplitude * scale * im)
    }
}

fn product((a, b): (f64, f64), (c, d): (f64, f64)) -> (f64, f64) {
    (a * c - b * d, a * d + b * c)
}

/// By how much a delay turns what is this far from the carrier.
fn turned(offset_hz: f64, delay_s: f64) -> (f64, f64) {
    let (sin, cos) = sin_cos_turns(-offset_hz * delay_s);
    (cos, sin)
}

impl TappedDelayLine {
    /// A line of this root-mean-square delay spread, its powers summing to 1. The direct tap has the Doppler shift of a random angle of
    /// arrival, where the standard fixes 0.7 of the maximum.
    pub fn new(profile: DelayProfile, delay_spread_s: f64, stream: &CounterStream, doppler_hz: f64) -> Self {
        let total: f64 = profile.rows().map(|row| db_to_linear(row.power_db)).sum();
        let tap = |(number, row): (u64, &Row)| Tap {
            delay_s: row.delay * delay_spread_s,
            amplitude: (db_to_linear(row.power_db) / total).sqrt(),
            gain: match row.direct {
                true => TapGain::Direct(Wave::new(&stream.child(number), 0, doppler_hz)),
                false => TapGain::Scattered(Scattered::new(&stream.child(number), doppler_hz)),
            },
        };
        Self { taps: (0..).zip(profile.rows()).map(tap).collect() }
    }

    /// Complex gain (real, imaginary) at `offset_hz` from the carrier.
    pub fn gain_at(&self, time_s: f64, offset_hz: f64) -> (f64, f64) {
        let add = |(re, im): (f64, f64), tap: &Tap| {
            let (x, y) = product(tap.gain_at(time_s), turned(offset_hz, tap.delay_s));
            (re + x, im + y)
        };
        self.taps.iter().fold((0.0, 0.0), add)
    }

    /// Power gains in the middle of each of `resource_blocks` blocks around the carrier, lowest frequency first. A tap is
    /// evaluated once and then turned from block to block, eight blocks at a time.
    pub fn block_powers(&self, time_s: f64, resource_blocks: u32, resource_block_hz: f64) -> Vec<f64> {
        let lowest_hz = -0.5 * (f64::from(resource_blocks) - 1.0) * resource_block_hz;
        let blocks = resource_blocks as usize;
        let mut response = vec![([0.0; LANES], [0.0; LANES]); blocks.div_ceil(LANES)];
        for tap in &self.taps {
            let mut now = product(tap.gain_at(time_s), turned(lowest_hz, tap.delay_s));
            let step = turned(resource_block_hz, tap.delay_s);
            let (mut re, mut im) = ([0.0; LANES], [0.0; LANES]);
            for (re, im) in re.iter_mut().zip(&mut im) {
                (*re, *im) = now;
                now = product(now, step);
            }
            let (cos, sin) = turned(LANES as f64 * resource_block_hz, tap.delay_s);
            for (sum_re, sum_im) in &mut response {
                for lane in 0..LANES {
                    sum_re[lane] += re[lane];
                    sum_im[lane] += im[lane];
                    (re[lane], im[lane]) = (re[lane] * cos - im[lane] * sin, re[lane] * sin + im[lane] * cos);
                }
            }
        }
        let power = |(re, im): ([f64; LANES], [f64; LANES])| {
            std::array::from_fn::<_, LANES, _>(|i| re[i] * re[i] + im[i] * im[i])
        };
        response.into_iter().flat_map(power).take(blocks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [DelayProfile; 3] = [DelayProfile::TdlA, DelayProfile::TdlC, DelayProfile::TdlD];
    const SPREAD_S: f64 = 100e-9;

    fn line(profile: DelayProfile, seed: u64) -> TappedDelayLine {
        TappedDelayLine::new(profile, SPREAD_S, &CounterStream::new(seed, 5), 10.0)
    }

    #[test]
    fn delays_have_the_wanted_spread_and_powers_sum_to_1() {
        for profile in PROFILES {
            let line = line(profile, 1);
            let moment = |n: i32| line.taps.iter().map(|t| t.amplitude.powi(2) * t.delay_s.powi(n)).sum::<f64>();
            assert!((moment(0) - 1.0).abs() < 1e-12);
            let spread = (moment(2) - moment(1).powi(2)).sqrt();
            // The tables print three to four digits.
            assert!((spread / SPREAD_S - 1.0).abs() < 0.02, "{profile:?}: {spread}");
        }
    }

    #[test]
    fn blocks_are_samples_of_the_response() {
        for profile in PROFILES {
            let line = line(profile, 2);
            let blocks = line.block_powers(0.4, 51, 360e3);
            for (i, power) in blocks.iter().enumerate() {
                let (re, im) = line.gain_at(0.4, (i as f64 - 25.0) * 360e3);
                assert!((power - re * re - im * im).abs() < 1e-9, "{profile:?}, block {i}");
            }
        }
    }

    /// E[H(f) H*(f + d)] = sum of p e^(j 2 pi d tau), over links, within four standard errors.
    #[test]
    fn frequencies_are_as_correlated_as_their_delays_say() {
        const LINKS: u64 = 4000;
        for profile in PROFILES {
            for apart_hz in [0.0, 500e3, 2e6] {
                let taps = line(profile, 0).taps;
                let turned = |part: fn(f64) -> f64| -> f64 {
                    let tap = |t: &Tap| t.amplitude.powi(2) * part(std::f64::consts::TAU * apart_hz * t.delay_s);
                    taps.iter().map(tap).sum()
                };
                let products: Vec<[f64; 2]> = (0..LINKS)
                    .map(|seed| {
                        let line = line(profile, 100 + seed);
                        let (a, b) = (line.gain_at(0.2, 1e6), line.gain_at(0.2, 1e6 + apart_hz));
                        [a.0 * b.0 + a.1 * b.1, a.1 * b.0 - a.0 * b.1]
                    })
                    .collect();
                for (part, expected) in [turned(f64::cos), turned(f64::sin)].into_iter().enumerate() {
                    let of = |(s, q): (f64, f64), p: &[f64; 2]| (s + p[part], q + p[part].powi(2));
                    let (sum, squares) = products.iter().fold((0.0, 0.0), of);
                    let mean = sum / LINKS as f64;
                    let error = ((squares / LINKS as f64 - mean * mean) / LINKS as f64).sqrt();
                    assert!(
                        (mean - expected).abs() <= 4.0 * error,
                        "{profile:?} {apart_hz}: {mean} for {expected} +- {error}"
                    );
                }
            }
        }
    }

    /// E[H(t) H*(t + d)] = J0(2 pi f_D d) at every frequency, over links, within four standard errors. TDL-D's direct tap is part of it: the
    /// angle it comes from is drawn.
    #[test]
    fn responses_turn_as_fast_as_flat_fading() {
        const LINKS: u64 = 4000;
        let j0 = |x: f64| {
            let angle = |i: u32| (f64::from(i) + 0.5) * std::f64::consts::PI / 1000.0;
            (0..1000).map(|i| (x * angle(i).sin()).cos()).sum::<f64>() / 1000.0
        };
        for profile in PROFILES {
            for later_s in [0.01, 0.0383, 0.08] {
                let product = |seed: u64| {
                    let line = line(profile, 9000 + seed);
                    let (a, b) = (line.gain_at(0.2, -2e6), line.gain_at(0.2 + later_s, -2e6));
                    a.0 * b.0 + a.1 * b.1
                };
                let (sum, squares) = (0..LINKS).map(product).fold((0.0, 0.0), |s, x| (s.0 + x, s.1 + x * x));
                let (mean, expected) = (sum / LINKS as f64, j0(std::f64::consts::TAU * 10.0 * later_s));
                let error = ((squares / LINKS as f64 - mean * mean) / LINKS as f64).sqrt();
                assert!(
                    (mean - expected).abs() < 4.0 * error,
                    "{profile:?} {later_s}: {mean} for {expected} +- {error}"
                );
            }
        }
    }
}
