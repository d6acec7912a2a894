//! The response over the band of one link whose taps fade each on their own.

use crate::radio::fading::Fading;
use crate::radio::selectivity::Selectivity;
use crate::radio::tapped_delay::{DelayProfile, TappedDelayLine};
use crate::random::CounterStream;
use std::cell::OnceCell;
use std::rc::Rc;

/// Most resource blocks to a sample of the response: TS 38.214 has quality reported for no fewer than 4 at a time (table 5.2.1.4-2).
const MOST_BLOCKS_TO_A_SAMPLE: f64 = 4.0;
/// Width of a sample times the delay spread, at most: a sixteenth of a turn between taps that lie a delay spread apart. Effective
/// SNRs are then within 0.03 dB, root mean square, of those over every resource block (the test below).
const WIDTH_TIMES_SPREAD: f64 = 1.0 / 16.0;

/// How many samples stand for the response over `resource_blocks`: one a block where the delay spread is long, fewer where it is short.
/// A resource block is the finest there is, however long the spread.
fn samples(resource_blocks: u32, resource_block_hz: f64, delay_spread_s: f64) -> u32 {
    let blocks = (WIDTH_TIMES_SPREAD / (delay_spread_s * resource_block_hz)).clamp(1.0, MOST_BLOCKS_TO_A_SAMPLE);
    resource_blocks.div_ceil(blocks as u32)
}

/// One link's tapped delay lines, without and with line of sight.
#[derive(Debug)]
pub(super) struct Response {
    profile: DelayProfile,
    delay_spread_s: f64,
    samples: u32,
    sample_hz: f64,
    stream: CounterStream,
    /// Made when the link is first in that state: the waves of a line's taps take 6 kB.
    lines: [OnceCell<TappedDelayLine>; 2],
}

impl Response {
    /// Over `resource_blocks` of this width.
    pub fn new(
        (profile, delay_spread_s): (DelayProfile, f64),
        (resource_blocks, resource_block_hz): (u32, f64),
        stream: CounterStream,
    ) -> Self {
        let samples = samples(resource_blocks, resource_block_hz, delay_spread_s);
        let sample_hz = f64::from(resource_blocks) * resource_block_hz / f64::from(samples);
        Self { profile, delay_spread_s, samples, sample_hz, stream, lines: Default::default() }
    }

    /// Mean power gain over the band in the middle of coherence block `index`, and what its shape costs.
    pub fn in_block(&self, fading: &Fading, index: u64, los: bool) -> (f64, Rc<Selectivity>) {
        let profile = self.profile.on(los);
        let state = usize::from(profile.has_direct_path());
        let line = self.lines[state].get_or_init(|| {
            TappedDelayLine::new(profile, self.delay_spread_s, &self.stream.child(state as u64), fading.doppler_hz)
        });
        let powers = line.block_powers(fading.block_middle_s(index), self.samples, self.sample_hz);
        (powers.iter().sum::<f64>() / powers.len() as f64, Rc::new(Selectivity::new(&powers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::fading::FadingModel;
    use crate::radio::units::linear_to_db;
    use crate::sim::SimDuration;

    const PROFILES: [DelayProfile; 3] = [DelayProfile::TdlA, DelayProfile::TdlC, DelayProfile::TdlD];

    /// Effective SNR of 16-QAM at 10 dB over these power gains.
    fn effective_db(powers: &[f64]) -> f64 {
        let mean_db = linear_to_db(powers.iter().sum::<f64>() / powers.len() as f64);
        Selectivity::new(powers).effective_db(10.0 + mean_db, linear_to_db(6.16))
    }

    #[test]
    fn samples_are_as_good_as_every_resource_block() {
        let mut worst: f64 = 0.0;
        for (blocks, block_hz) in [(273, 360e3), (51, 360e3), (100, 180e3), (264, 1.44e6)] {
            for spread_s in [10e-9, 30e-9, 100e-9, 300e-9, 1000e-9] {
                let samples = samples(blocks, block_hz, spread_s);
                for profile in PROFILES {
                    let error = |seed: u64| {
                        let line = TappedDelayLine::new(profile, spread_s, &CounterStream::new(seed, 9), 10.0);
                        let some = line.block_powers(0.3, samples, f64::from(blocks) * block_hz / f64::from(samples));
                        (effective_db(&line.block_powers(0.3, blocks, block_hz)) - effective_db(&some)).powi(2)
                    };
                    let rms_db = ((0..40).map(error).sum::<f64>() / 40.0).sqrt();
                    if rms_db > worst {
                        println!("{profile:?}, {spread_s} s, {samples} of {blocks}: {rms_db:.4} dB");
                    }
                    worst = worst.max(rms_db);
                }
            }
        }
        assert!(worst < 0.03, "{worst} dB");
        assert_eq!([10e-9, 100e-9, 1e-6].map(|spread_s| samples(273, 360e3, spread_s)), [69, 273, 273]);
        assert_eq!(samples(100, 180e3, 100e-9), 34);
    }

    /// Over many links, at one time, the mean over the band is 1 within four standard errors.
    #[test]
    fn the_mean_power_is_1() {
        const LINKS: u64 = 1000;
        let fading = Fading::from_coherence_time(FadingModel::None, SimDuration::from_seconds(0.02));
        for profile in PROFILES {
            for los in [false, true] {
                let mean = |link: u64| {
                    let response = Response::new((profile, 100e-9), (51, 360e3), CounterStream::new(link, 3));
                    response.in_block(&fading, 7, los).0
                };
                let (sum, squares) = (0..LINKS).map(mean).fold((0.0, 0.0), |s, x| (s.0 + x, s.1 + x * x));
                let mean = sum / LINKS as f64;
                let error = ((squares / LINKS as f64 - mean * mean) / LINKS as f64).sqrt();
                assert!((mean - 1.0).abs() < 4.0 * error, "{profile:?}: {mean} +- {error}");
            }
        }
    }
}
