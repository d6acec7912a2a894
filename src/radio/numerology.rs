//! Subcarrier spacings, slots, resource blocks and the maximum rate of the standard.

use super::error::RadioError;
use super::tables::{FrequencyRange, transmission_bandwidths};

pub const SUBCARRIERS_PER_RESOURCE_BLOCK: u32 = 12;
pub const SYMBOLS_PER_SLOT: u32 = 14;

/// Share of the channel that resource blocks fill where no table row exists: LTE's (assumed, conservative for NR).
const ASSUMED_OCCUPANCY: f64 = 0.9;

/// A subcarrier spacing of 15 kHz times 2^mu (TS 38.211 clause 4.2), normal cyclic prefix. LTE is mu = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numerology {
    mu: u32,
}

impl Numerology {
    /// # Errors
    /// [`RadioError::OutOfRange`] unless the spacing is 15, 30, 60, 120, 240, 480 or 960 kHz.
    pub fn from_scs_khz(scs_khz: u32) -> Result<Self, RadioError> {
        (0..=6).map(|mu| Self { mu }).find(|n| n.scs_khz() == scs_khz).ok_or(RadioError::OutOfRange {
            field: "subcarrier spacing (kHz)",
            found: scs_khz as f64,
            allowed: "15, 30, 60, 120, 240, 480 or 960",
        })
    }

    pub fn mu(self) -> u32 {
        self.mu
    }

    pub fn scs_khz(self) -> u32 {
        15 << self.mu
    }

    pub fn slots_per_frame(self) -> u32 {
        10 << self.mu
    }

    pub fn slot_seconds(self) -> f64 {
        1e-3 / f64::from(1u32 << self.mu)
    }

    /// Mean duration of a symbol with its cyclic prefix, seconds: T_s^mu of TS 38.306 clause 4.1.2.
    pub fn symbol_seconds(self) -> f64 {
        self.slot_seconds() / f64::from(SYMBOLS_PER_SLOT)
    }

    pub fn resource_block_hz(self) -> f64 {
        f64::from(SUBCARRIERS_PER_RESOURCE_BLOCK * self.scs_khz()) * 1e3
    }

    /// Resource blocks in a channel: the standard's row where there is one, otherwise as many as fit in 90% of it.
    ///
    /// # Errors
    /// [`RadioError::NoResourceBlock`] if not even one fits.
    pub fn resource_blocks(self, range: FrequencyRange, bandwidth_mhz: f64) -> Result<u32, RadioError> {
        let row = transmission_bandwidths()
            .iter()
            .find(|row| row.range == range && row.scs_khz == self.scs_khz() && row.bandwidth_mhz == bandwidth_mhz);
        if let Some(row) = row {
            return Ok(row.resource_blocks);
        }
        let fitting = (ASSUMED_OCCUPANCY * bandwidth_mhz * 1e6 / self.resource_block_hz()).floor();
        if fitting >= 1.0 {
            Ok(fitting as u32)
        } else {
            Err(RadioError::NoResourceBlock { bandwidth_mhz, scs_khz: self.scs_khz() })
        }
    }

    /// Rate on `resource_blocks` at `spectral_efficiency` bits per symbol, over all layers, with the share `overhead`
    /// of symbols lost to control and reference signals; bits per second (TS 38.306 clause 4.1.2, one carrier).
    pub fn rate_bps(self, resource_blocks: f64, spectral_efficiency: f64, overhead: f64) -> f64 {
        let symbols_per_second = resource_blocks * f64::from(SUBCARRIERS_PER_RESOURCE_BLOCK) / self.symbol_seconds();
        symbols_per_second * spectral_efficiency * (1.0 - overhead)
    }
}

/// The highest code rate that TS 38.306 clause 4.1.2 assumes, R_max.
pub const MAX_CODE_RATE: f64 = 948.0 / 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_blocks_come_from_the_table_or_fit() {
        let n = Numerology::from_scs_khz(30).unwrap();
        assert_eq!(n.resource_blocks(FrequencyRange::Fr1, 100.0), Ok(273));
        // 1 MHz has no row: 0.9 MHz / 360 kHz.
        assert_eq!(n.resource_blocks(FrequencyRange::Fr1, 1.0), Ok(2));
        assert!(n.resource_blocks(FrequencyRange::Fr1, 0.3).unwrap_err().to_string().contains("30 kHz"));
        assert!(Numerology::from_scs_khz(45).is_err());
    }
}
