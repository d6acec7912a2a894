//! From a channel to SNR, scheme and rate: the part of a cell that has no state.

use super::Direction;
use super::config::{CellConfig, PowerControl, UeRadio};
use super::link::Channel;
use crate::radio::error::RadioError;
use crate::radio::link_adaptation::{LinkAdaptation, Offer};
use crate::radio::link_budget::LinkBudget;
use crate::radio::noise::thermal_noise_dbm;
use crate::radio::numerology::Numerology;
use crate::radio::selectivity::Selectivity;
use crate::radio::units::{db_to_linear, dbm_to_watts, linear_to_db};

/// What one transfer gets while nothing changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allocation {
    /// Granted part of the band.
    pub share: f64,
    /// Part that is used: less than the share where the terminal lacks power for more.
    pub used_share: f64,
    /// On the used part; on the whole share in outage.
    pub snr_db: f64,
    /// What a flat band's SNR would be that carries blocks of this scheme as well; `snr_db` where the band is flat.
    pub effective_snr_db: f64,
    /// `None` is outage: no scheme works and the rate is 0.
    pub mcs: Option<u32>,
    pub layers: u32,
    /// Error-free bits per second, averaged over the duplex pattern.
    pub rate_bps: f64,
    /// Transmit power while on the air.
    pub tx_power_watts: f64,
}

/// What a link has to offer in one direction while its channel stands, whatever part of the band it is granted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    pub direction: Direction,
    max_layers: u32,
    full_band_snr: f64,
    snr_ceiling: f64,
    /// What the terminal can radiate, and what is lost on the way.
    max_power_dbm: f64,
    coupling_gain_db: f64,
}

/// A cell's band, powers and schemes.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    pub numerology: Numerology,
    pub resource_blocks: u32,
    adaptation: LinkAdaptation,
    config: CellConfig,
}

impl Carrier {
    pub fn new(config: CellConfig) -> Result<Self, RadioError> {
        config.validate()?;
        let numerology = Numerology::from_scs_khz(config.radio.scs_khz)?;
        let resource_blocks = numerology.resource_blocks(config.radio.range, config.radio.bandwidth_mhz)?;
        let adaptation = LinkAdaptation::new(config.radio.modulation, config.implementation_loss_db);
        Ok(Self { numerology, resource_blocks, adaptation, config })
    }

    pub fn config(&self) -> &CellConfig {
        &self.config
    }

    /// Share of time in which `direction` has the carrier.
    pub fn time_share(&self, direction: Direction) -> f64 {
        match direction {
            Direction::Uplink => self.config.radio.uplink_share,
            Direction::Downlink => self.config.radio.downlink_share,
        }
    }

    /// Antenna gain of both ends minus every loss of the place, dB.
    pub fn coupling_gain_db(&self, channel: &Channel, ue: &UeRadio) -> f64 {
        let scale = &channel.large_scale;
        self.config.radio.gnb_antenna_gain_dbi + ue.antenna_gain_dbi - scale.total_db()
    }

    /// The scheme and rate of a transfer that is granted `share` of the band.
    pub fn allocate(&self, channel: &Channel, ue: &UeRadio, direction: Direction, share: f64) -> Allocation {
        self.allocate_within(&self.reach(channel, ue, direction), channel.selectivity.as_deref(), share)
    }

    pub fn reach(&self, channel: &Channel, ue: &UeRadio, direction: Direction) -> Reach {
        let (full_band_db, ceiling_db) = self.reach_db(channel, ue, direction);
        Reach {
            direction,
            max_layers: match direction {
                Direction::Uplink => ue.uplink_layers,
                Direction::Downlink => ue.downlink_layers.min(self.config.radio.downlink_layers),
            },
            full_band_snr: db_to_linear(full_band_db),
            snr_ceiling: db_to_linear(ceiling_db),
            max_power_dbm: ue.power_dbm,
            coupling_gain_db: self.coupling_gain_db(channel, ue),
        }
    }

    /// [`Carrier::allocate`] for who knows the link's reach: most of what an allocation takes depends on nothing else.
    pub fn allocate_within(&self, reach: &Reach, selectivity: Option<&Selectivity>, share: f64) -> Allocation {
        let radio = &self.config.radio;
        let &Reach { direction, max_layers, full_band_snr, snr_ceiling, .. } = reach;
        let overhead = match direction {
            Direction::Uplink => radio.uplink_overhead,
            Direction::Downlink => radio.downlink_overhead,
        };
        let smallest_part = 1.0 / f64::from(self.resource_blocks);
        let offer = Offer { full_band_snr, snr_ceiling, share, smallest_part, max_layers };
        let choice = match selectivity {
            None => self.adaptation.best(&offer),
            Some(selectivity) => self.adaptation.best_over(&offer, selectivity),
        };
        let used_share = choice.map_or(share, |c| c.used_share);
        let snr_db = linear_to_db((full_band_snr / used_share).min(snr_ceiling));
        let effective_snr_db = match (selectivity, &choice) {
            (Some(selectivity), Some(choice)) => {
                let layers_db = linear_to_db(f64::from(choice.layers));
                self.adaptation.effective_db(choice.scheme.index, snr_db - layers_db, selectivity) + layers_db
            }
            _ => snr_db,
        };
        let symbols = self.numerology.rate_bps(f64::from(self.resource_blocks) * used_share, 1.0, overhead);
        let tx_dbm = self.transmit_dbm(direction, reach.max_power_dbm, reach.coupling_gain_db, used_share);
        Allocation {
            share,
            used_share,
            snr_db,
            effective_snr_db,
            mcs: choice.map(|c| c.scheme.index),
            layers: choice.map_or(0, |c| c.layers),
            rate_bps: choice.map_or(0.0, |c| symbols * c.goodput_per_symbol * self.time_share(direction)),
            tx_power_watts: dbm_to_watts(tx_dbm),
        }
    }

    /// SNR with all power over the whole band, and the SNR that a smaller part of it cannot exceed: that of power
    /// control in the uplink, the same for a downlink, whose power is spread evenly. dB.
    pub fn reach_db(&self, channel: &Channel, ue: &UeRadio, direction: Direction) -> (f64, f64) {
        let snr_db = |tx_dbm: f64| self.budget_of(channel, ue, direction, tx_dbm, 1.0).snr_db;
        match direction {
            Direction::Uplink => {
                let coupling_db = self.coupling_gain_db(channel, ue);
                let controlled = |c: PowerControl| snr_db(self.controlled_dbm(&c, coupling_db, 1.0, f64::INFINITY));
                (snr_db(ue.power_dbm), self.config.power_control.map_or(f64::INFINITY, controlled))
            }
            Direction::Downlink => {
                let snr = snr_db(self.config.radio.gnb_power_dbm);
                (snr, snr)
            }
        }
    }

    pub fn adaptation(&self) -> &LinkAdaptation {
        &self.adaptation
    }

    /// Every term of the link on a `part` of the band.
    pub fn budget(&self, channel: &Channel, ue: &UeRadio, direction: Direction, part: f64) -> LinkBudget {
        let tx_dbm = self.transmit_dbm(direction, ue.power_dbm, self.coupling_gain_db(channel, ue), part);
        self.budget_of(channel, ue, direction, tx_dbm, part)
    }

    /// Noise and interference margin in one subcarrier at the base station, watts.
    pub fn uplink_noise_watts_per_subcarrier(&self) -> f64 {
        let hz = f64::from(self.numerology.scs_khz()) * 1e3;
        let noise_dbm = thermal_noise_dbm(hz, self.config.radio.gnb_noise_figure_db);
        dbm_to_watts(noise_dbm + self.config.interference_margin_db)
    }

    /// Power on a `part` of the band: a terminal concentrates its power, a base station spreads it evenly.
    fn transmit_dbm(&self, direction: Direction, max_dbm: f64, coupling_gain_db: f64, part: f64) -> f64 {
        match (direction, self.config.power_control) {
            (Direction::Downlink, _) => self.config.radio.gnb_power_dbm + linear_to_db(part),
            (Direction::Uplink, None) => max_dbm,
            (Direction::Uplink, Some(control)) => self.controlled_dbm(&control, coupling_gain_db, part, max_dbm),
        }
    }

    fn controlled_dbm(&self, control: &PowerControl, coupling_gain_db: f64, part: f64, max_dbm: f64) -> f64 {
        let blocks = f64::from(self.resource_blocks) * part;
        control.transmit_dbm(blocks, self.numerology.mu(), -coupling_gain_db, max_dbm)
    }

    fn budget_of(
        &self,
        channel: &Channel,
        ue: &UeRadio,
        direction: Direction,
        tx_power_dbm: f64,
        part: f64,
    ) -> LinkBudget {
        let radio = &self.config.radio;
        let bandwidth_hz = f64::from(self.resource_blocks) * self.numerology.resource_block_hz() * part;
        let noise_figure_db = match direction {
            Direction::Uplink => radio.gnb_noise_figure_db,
            Direction::Downlink => ue.noise_figure_db,
        };
        let noise_dbm = thermal_noise_dbm(bandwidth_hz, noise_figure_db);
        let interference_margin_db = match direction {
            Direction::Uplink => self.config.interference_margin_db,
            Direction::Downlink => self.downlink_rise_db(channel, ue, noise_dbm, part),
        };
        let fading_db = linear_to_db(channel.fading_power);
        let received_dbm = tx_power_dbm + self.coupling_gain_db(channel, ue) + fading_db;
        LinkBudget {
            distance_2d_m: channel.large_scale.distance_2d_m,
            distance_m: channel.large_scale.distance_m,
            los: channel.large_scale.los,
            path_loss_db: channel.large_scale.path_loss_db,
            indoor_loss_db: channel.large_scale.indoor_loss_db,
            air_loss_db: channel.large_scale.air_loss_db,
            shadowing_db: channel.large_scale.shadowing_db + channel.large_scale.blockage_db,
            fading_db,
            antenna_gain_db: radio.gnb_antenna_gain_dbi + ue.antenna_gain_dbi,
            tx_power_dbm,
            bandwidth_hz,
            noise_dbm,
            interference_margin_db,
            snr_db: received_dbm - noise_dbm - interference_margin_db,
        }
    }

    /// Rise of noise and interference over thermal noise at the terminal: the cell's constant, and what reaches it of the
    /// neighbours' power, which is spread evenly over the band.
    fn downlink_rise_db(&self, channel: &Channel, ue: &UeRadio, noise_dbm: f64, part: f64) -> f64 {
        let constant_db = self.config.interference_margin_db;
        let gain = channel.large_scale.neighbours_gain;
        if gain == 0.0 {
            return constant_db;
        }
        let antennas_db = self.config.radio.gnb_antenna_gain_dbi + ue.antenna_gain_dbi;
        let received_dbm = self.config.radio.gnb_power_dbm + linear_to_db(part * gain) + antennas_db;
        linear_to_db(db_to_linear(constant_db) + db_to_linear(received_dbm - noise_dbm))
    }
}
