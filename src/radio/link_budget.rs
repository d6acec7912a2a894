//! One link at one instant, with every term kept so that a rate can be explained down to metres.

use std::fmt;

/// Everything between transmitter and receiver, in the order in which it adds up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkBudget {
    /// Distance on the ground and between the antennas, metres.
    pub distance_2d_m: f64,
    pub distance_m: f64,
    pub los: bool,
    pub path_loss_db: f64,
    /// Through the wall and behind it; 0 outdoors.
    pub indoor_loss_db: f64,
    /// Gases and rain.
    pub air_loss_db: f64,
    /// Added to the loss: positive values weaken the link.
    pub shadowing_db: f64,
    /// Small-scale power gain |h|^2: positive values strengthen the link.
    pub fading_db: f64,
    /// Transmit plus receive antenna gain.
    pub antenna_gain_db: f64,
    /// Power within `bandwidth_hz`, the part of the band that the transmission occupies.
    pub tx_power_dbm: f64,
    pub bandwidth_hz: f64,
    /// Thermal noise with noise figure within `bandwidth_hz`.
    pub noise_dbm: f64,
    /// Rise over thermal noise for interference from other cells: a constant of the cell, and in the downlink what loaded
    /// neighbours send.
    pub interference_margin_db: f64,
    /// Signal to noise and interference margin.
    pub snr_db: f64,
}

impl LinkBudget {
    /// Power at the receiver's antenna port, dBm.
    pub fn received_dbm(&self) -> f64 {
        self.tx_power_dbm + self.antenna_gain_db + self.fading_db
            - self.path_loss_db
            - self.shadowing_db
            - self.indoor_loss_db
            - self.air_loss_db
    }
}

impl fmt::Display for LinkBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} dBm in {:.3} MHz over {:.1} m ({}): path loss {:.1} dB, walls {:.1} dB, air {:.1} dB, \
             shadowing {:+.1} dB, antennas {:+.1} dB, fading {:+.1} dB -> {:.1} dBm; noise {:.1} dBm, interference margin {:.1} dB -> SNR {:.1} dB",
            self.tx_power_dbm,
            self.bandwidth_hz / 1e6,
            self.distance_m,
            if self.los { "LOS" } else { "NLOS" },
            self.path_loss_db,
            self.indoor_loss_db,
            self.air_loss_db,
            self.shadowing_db,
            self.antenna_gain_db,
            self.fading_db,
            self.received_dbm(),
            self.noise_dbm,
            self.interference_margin_db,
            self.snr_db
        )
    }
}
