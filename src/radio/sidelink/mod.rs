//! From device to device without a cell: path loss of TR 37.885 and what such a link carries.
//!
//! `path_loss` turns metres into loss; [`Sidelink`] turns loss and fading into scheme and rate, with the same link
//! adaptation as a cell; `transfer` lets a message cross block by block. Who may send when is the caller's concern.
//!
//! Assumed: one antenna layer, full transmit power, no interference from cells (a band of its own) or between pairs (one
//! pair transmits at a time), and [`OVERHEAD`]. Devices are no cars: a link without line of sight is blocked by buildings
//! (the report's NLOS, its worst case), not by vehicles (NLOSv).

mod path_loss;
mod transfer;

pub use path_loss::Environment;
pub use transfer::Crossing;

use super::error::RadioError;
use super::fading::{Fading, LinkFading};
use super::geometry::Position;
use super::link_adaptation::{Choice, LinkAdaptation, Offer};
use super::link_budget::LinkBudget;
use super::noise::thermal_noise_dbm;
use super::numerology::Numerology;
use super::tables::{FrequencyRange, ModulationTable};
use super::units::{db_to_linear, linear_to_db};
use crate::random::CounterStream;

/// Symbols of a slot that carry no data: the first is repeated for gain control, the last is a gap, and control and
/// reference signals take about two more of the 14 (the first two: TS 38.211 clause 8.3; the sum: assumed).
pub const OVERHEAD: f64 = 4.0 / 14.0;
/// Where FR1 ends (TS 38.101-1), GHz.
const FR1_ENDS_GHZ: f64 = 7.125;
/// How often a normal variate exceeds four standard deviations.
const RARE: f64 = 3.2e-5;
/// Where [`Sidelink::range_m`] stops to look, metres.
const FARTHEST_M: f64 = 1e6;

/// Band and receivers of the sidelink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SidelinkConfig {
    pub environment: Environment,
    pub carrier_ghz: f64,
    pub bandwidth_mhz: f64,
    /// Of each end.
    pub antenna_gain_dbi: f64,
    pub noise_figure_db: f64,
    /// Added to the SNR that each scheme needs.
    pub implementation_loss_db: f64,
}

/// The air interface between devices.
#[derive(Clone, Debug)]
pub struct Sidelink {
    config: SidelinkConfig,
    numerology: Numerology,
    resource_blocks: u32,
    adaptation: LinkAdaptation,
}

/// The channel between two places: what does not change while a message crosses, and how the rest does.
#[derive(Clone, Debug, PartialEq)]
pub struct SidelinkChannel {
    pub distance_m: f64,
    pub distance_2d_m: f64,
    pub los: bool,
    pub path_loss_db: f64,
    pub shadowing_db: f64,
    fading: LinkFading,
}

/// A scheme on the sidelink at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SidelinkRate {
    pub mcs: u32,
    /// Part of the band that is used: less than all where the sender lacks power for more.
    pub used_share: f64,
    /// On the used part.
    pub snr_db: f64,
    pub rate_bps: f64,
}

impl Sidelink {
    /// 30 kHz subcarriers up to 7.125 GHz and 120 kHz above, 64-QAM schemes (TS 38.214 table 5.1.3.1-1).
    ///
    /// # Errors
    /// If the band holds no resource block.
    pub fn new(config: SidelinkConfig) -> Result<Self, RadioError> {
        let (range, scs_khz) = match config.carrier_ghz <= FR1_ENDS_GHZ {
            true => (FrequencyRange::Fr1, 30),
            false => (FrequencyRange::Fr2_1, 120),
        };
        let numerology = Numerology::from_scs_khz(scs_khz)?;
        let resource_blocks = numerology.resource_blocks(range, config.bandwidth_mhz)?;
        let adaptation = LinkAdaptation::new(ModulationTable::Mcs1, config.implementation_loss_db);
        Ok(Self { config, numerology, resource_blocks, adaptation })
    }

    /// The channel of a pair, the same in both directions: `pair` decides line of sight, shadowing and fading, and does
    /// so once a pair, wherever the two go.
    pub fn channel(&self, pair: &CounterStream, from: &Position, to: &Position, fading: &Fading) -> SidelinkChannel {
        let environment = self.config.environment;
        let (distance_2d_m, distance_m) = (from.distance_2d_m(to), from.distance_3d_m(to));
        let los = pair.uniform(0) < environment.los_probability(distance_2d_m);
        SidelinkChannel {
            distance_m,
            distance_2d_m,
            los,
            path_loss_db: environment.loss_db(distance_m, self.config.carrier_ghz, los),
            shadowing_db: environment.shadowing_sigma_db(los) * pair.normal(2),
            fading: LinkFading::new(&pair.child(1), fading.doppler_hz),
        }
    }

    /// Whether a sender of `tx_power_dbm` is heard when fading neither helps nor harms.
    pub fn reaches(&self, channel: &SidelinkChannel, tx_power_dbm: f64) -> bool {
        self.rate(channel, tx_power_dbm, 1.0).is_some()
    }

    /// SNR over the whole band without fading, dB.
    pub fn mean_snr_db(&self, channel: &SidelinkChannel, tx_power_dbm: f64) -> f64 {
        self.budget(channel, tx_power_dbm, 1.0, 1.0).snr_db
    }

    /// The rate while the fading's power gain is `fading_power`; `None` if no scheme works.
    pub fn rate(&self, channel: &SidelinkChannel, tx_power_dbm: f64, fading_power: f64) -> Option<SidelinkRate> {
        let snr = db_to_linear(self.budget(channel, tx_power_dbm, fading_power, 1.0).snr_db);
        let choice = self.best(snr)?;
        let blocks = f64::from(self.resource_blocks) * choice.used_share;
        Some(SidelinkRate {
            mcs: choice.scheme.index,
            used_share: choice.used_share,
            snr_db: linear_to_db(snr / choice.used_share),
            rate_bps: self.numerology.rate_bps(blocks, choice.goodput_per_symbol, OVERHEAD),
        })
    }

    /// Every term of the link on a `part` of the band.
    pub fn budget(&self, channel: &SidelinkChannel, tx_power_dbm: f64, fading_power: f64, part: f64) -> LinkBudget {
        let bandwidth_hz = f64::from(self.resource_blocks) * self.numerology.resource_block_hz() * part;
        let mut budget = LinkBudget {
            distance_2d_m: channel.distance_2d_m,
            distance_m: channel.distance_m,
            los: channel.los,
            path_loss_db: channel.path_loss_db,
            indoor_loss_db: 0.0,
            air_loss_db: 0.0,
            shadowing_db: channel.shadowing_db,
            fading_db: linear_to_db(fading_power),
            antenna_gain_db: 2.0 * self.config.antenna_gain_dbi,
            tx_power_dbm,
            bandwidth_hz,
            noise_dbm: thermal_noise_dbm(bandwidth_hz, self.config.noise_figure_db),
            interference_margin_db: 0.0,
            snr_db: 0.0,
        };
        budget.snr_db = budget.received_dbm() - budget.noise_dbm;
        budget
    }

    /// How far a sender can possibly be heard, metres: in line of sight as far as that occurs at all (more often than
    /// [`RARE`]), beyond without it, in either case where shadowing strengthens the link by `luck` standard deviations.
    pub fn range_m(&self, tx_power_dbm: f64, luck: f64) -> f64 {
        let reach = |los: bool| {
            let (mut near, mut far) = (0.0, FARTHEST_M);
            for _ in 0..60 {
                let middle = (near + far) / 2.0;
                let occurs = !los || self.config.environment.los_probability(middle) > RARE;
                if occurs && self.is_heard(middle, los, tx_power_dbm, luck) { near = middle } else { far = middle }
            }
            near
        };
        reach(true).max(reach(false))
    }

    fn is_heard(&self, distance_m: f64, los: bool, tx_power_dbm: f64, luck: f64) -> bool {
        let environment = self.config.environment;
        let channel = SidelinkChannel {
            distance_m,
            distance_2d_m: distance_m,
            los,
            path_loss_db: environment.loss_db(distance_m, self.config.carrier_ghz, los),
            shadowing_db: -luck * environment.shadowing_sigma_db(los),
            fading: LinkFading::new(&CounterStream::new(0, 0), 1.0),
        };
        self.reaches(&channel, tx_power_dbm)
    }

    fn best(&self, full_band_snr: f64) -> Option<Choice> {
        let smallest_part = 1.0 / f64::from(self.resource_blocks);
        self.adaptation.best(&Offer {
            full_band_snr,
            snr_ceiling: f64::INFINITY,
            share: 1.0,
            smallest_part,
            max_layers: 1,
        })
    }
}

#[cfg(test)]
mod tests;
