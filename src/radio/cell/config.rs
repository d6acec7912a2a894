//! Description of a cell and of the radios in it.

use crate::radio::atmosphere::Atmosphere;
use crate::radio::blockage::Blockage;
use crate::radio::error::{RadioError, require};
use crate::radio::fading::{Fading, FadingModel};
use crate::radio::geometry::Position;
use crate::radio::pathloss::{Building, GlassLoss};
use crate::radio::presets::{Duplex, Preset};
use crate::sim::SimDuration;
use std::cell::Cell;
use std::rc::Rc;

const PEDESTRIAN_MPS: f64 = 3.0 / 3.6;
const DEFAULT_OUTAGE_LIMIT_S: f64 = 10.0;

/// Everything that decides how one cell carries bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct CellConfig {
    /// Carrier, powers, antennas, path-loss model and schemes. Start from a preset and change what differs.
    pub radio: Preset,
    /// Of the base station's antenna.
    pub position: Position,
    pub fading: Fading,
    pub los: LosRule,
    pub shadowing: bool,
    /// `None`: terminals send with full power.
    pub power_control: Option<PowerControl>,
    /// Added to the SNR that each scheme needs.
    pub implementation_loss_db: f64,
    /// Interference of other cells, as a rise over thermal noise.
    pub interference_margin_db: f64,
    /// Cells on the same carrier that disturb the downlink.
    pub neighbours: Vec<Neighbour>,
    /// Told whether this cell sends.
    pub sending: Sending,
    /// What the walls around indoor terminals are made of.
    pub building: Building,
    pub glass: GlassLoss,
    pub atmosphere: Atmosphere,
    /// Of outdoor links in line of sight; `None` where nobody walks through.
    pub blockage: Option<Blockage>,
    /// A transfer fails after this long without a usable scheme.
    pub outage_limit: SimDuration,
}

/// Another cell with the power and the antennas of this one, which sends on a share of its resource blocks, all the time or
/// while it has something to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// Its name decides its shadowing: the same as its own terminals see.
    pub name: String,
    pub position: Position,
    /// 0 to 1.
    pub load: f64,
    /// Says when it sends; `None` is always.
    pub sends: Option<Sending>,
}

/// Whether a cell has downlink transfers now, for those whom that disturbs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sending(Rc<Cell<bool>>);

impl Sending {
    pub(super) fn set(&self, sends: bool) {
        self.0.set(sends);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.get()
    }
}

/// Where a terminal stands in a building.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Indoor {
    /// Behind the wall, on the ground.
    pub distance_m: f64,
    /// By how many standard deviations this wall loses more than the mean one.
    pub wall_deviation: f64,
}

/// Which links have line of sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LosRule {
    /// As the path-loss model's probability has it, correlated in space.
    Drawn,
    Always,
    Never,
}

/// Open-loop power control of the uplink, TS 38.213 clause 7.1.1 (LTE: TS 36.213 clause 5.1.1.1):
/// P = min(P_max, P0 + 10 log10(2^mu M_RB) + alpha PL).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerControl {
    /// Target per resource block of 15 kHz subcarriers, dBm.
    pub p0_dbm: f64,
    /// Share of the path loss compensated, 0 to 1.
    pub alpha: f64,
}

impl PowerControl {
    /// Transmit power on `resource_blocks` over a coupling loss of `path_loss_db`, dBm.
    pub fn transmit_dbm(&self, resource_blocks: f64, mu: u32, path_loss_db: f64, max_dbm: f64) -> f64 {
        let blocks_at_15_khz = resource_blocks * f64::from(1u32 << mu);
        max_dbm.min(self.p0_dbm + 10.0 * blocks_at_15_khz.log10() + self.alpha * path_loss_db)
    }
}

/// A terminal's radio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UeRadio {
    /// Highest total transmit power.
    pub power_dbm: f64,
    pub antenna_gain_dbi: f64,
    pub noise_figure_db: f64,
    pub uplink_layers: u32,
    pub downlink_layers: u32,
    /// `None` outdoors.
    pub indoor: Option<Indoor>,
}

impl UeRadio {
    pub fn from_preset(preset: &Preset) -> Self {
        Self {
            power_dbm: preset.ue_power_dbm,
            antenna_gain_dbi: preset.ue_antenna_gain_dbi,
            noise_figure_db: preset.ue_noise_figure_db,
            uplink_layers: preset.uplink_layers,
            downlink_layers: preset.downlink_layers,
            indoor: None,
        }
    }
}

impl CellConfig {
    /// A cell at the origin with pedestrian Rayleigh fading, drawn line of sight, shadowing, full uplink power, an
    /// ideal receiver, no interference, clear air, traditional buildings and an outage limit of 10 s.
    pub fn from_preset(preset: Preset) -> Self {
        Self {
            position: Position::new(0.0, 0.0, preset.gnb_height_m),
            fading: Fading::from_speed(FadingModel::Rayleigh, PEDESTRIAN_MPS, preset.carrier_ghz),
            los: LosRule::Drawn,
            shadowing: true,
            power_control: None,
            implementation_loss_db: 0.0,
            interference_margin_db: 0.0,
            neighbours: Vec::new(),
            sending: Sending::default(),
            building: Building::LowLoss,
            glass: GlassLoss::Edition19,
            atmosphere: Atmosphere::default(),
            blockage: None,
            outage_limit: SimDuration::from_seconds(DEFAULT_OUTAGE_LIMIT_S),
            radio: preset,
        }
    }

    /// # Errors
    /// Names the first field whose value makes no cell.
    pub fn validate(&self) -> Result<(), RadioError> {
        let r = &self.radio;
        require("carrier (GHz)", r.carrier_ghz, r.carrier_ghz > 0.0, "a positive frequency")?;
        require("bandwidth (MHz)", r.bandwidth_mhz, r.bandwidth_mhz > 0.0, "a positive width")?;
        for (field, share) in [("downlink share", r.downlink_share), ("uplink share", r.uplink_share)] {
            require(field, share, share > 0.0 && share <= 1.0, "a share of time above 0 and at most 1")?;
        }
        let total = r.downlink_share + r.uplink_share;
        let fits = r.duplex == Duplex::Fdd || total <= 1.0 + 1e-9;
        require("sum of the TDD shares", total, fits, "at most 1, or choose FDD")?;
        for (field, lost) in [("downlink overhead", r.downlink_overhead), ("uplink overhead", r.uplink_overhead)] {
            require(field, lost, (0.0..1.0).contains(&lost), "a share from 0 to below 1")?;
        }
        for (field, db) in [
            ("base station power (dBm)", r.gnb_power_dbm),
            ("base station antenna gain (dBi)", r.gnb_antenna_gain_dbi),
            ("base station noise figure (dB)", r.gnb_noise_figure_db),
            ("implementation loss (dB)", self.implementation_loss_db),
            ("interference margin (dB)", self.interference_margin_db),
        ] {
            require(field, db, true, "a finite number")?;
        }
        let rain = self.atmosphere.rain_mm_per_h;
        require("rain (mm/h)", rain, rain >= 0.0, "0 or more")?;
        for neighbour in &self.neighbours {
            let load = neighbour.load;
            require("load of a neighbouring cell", load, (0.0..=1.0).contains(&load), "a share from 0 to 1")?;
        }
        if let Some(control) = self.power_control {
            require("power control P0 (dBm)", control.p0_dbm, true, "a finite number")?;
            let alpha = control.alpha;
            require("power control alpha", alpha, (0.0..=1.0).contains(&alpha), "a number from 0 to 1")?;
        }
        let block = self.fading.block.as_seconds();
        require("coherence block (s)", block, block > 0.0, "a positive time")?;
        let doppler = self.fading.doppler_hz;
        require("Doppler shift (Hz)", doppler, doppler >= 0.0, "0 or more")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_cells_are_refused_by_field() {
        let good = CellConfig::from_preset(Preset::by_name("nr_fr1").unwrap());
        good.validate().unwrap();
        let refused = |change: fn(&mut CellConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.radio.uplink_share = 0.5).contains("TDD"));
        assert!(refused(|c| c.radio.carrier_ghz = f64::NAN).contains("carrier"));
        assert!(refused(|c| c.radio.uplink_overhead = 1.0).contains("uplink overhead"));
        assert!(refused(|c| c.atmosphere.rain_mm_per_h = -1.0).contains("rain"));
        assert!(refused(|c| c.fading.block = SimDuration::ZERO).contains("coherence"));
        assert!(refused(|c| c.power_control = Some(PowerControl { p0_dbm: -80.0, alpha: 1.2 })).contains("alpha"));
    }
}
