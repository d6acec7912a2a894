//! Over-the-air computation: what the multiple-access channel adds up, and how noisily. No time passes here.
//!
//! Devices send analog symbols at once on the same resource elements; with pre-compensated channels the antenna
//! receives their sum. [`TruncatedInversion`] and [`power_control`] are schemes for one receive antenna, [`uniform_forcing`] over a
//! [`beam`] is one for several; [`one_bit`] sends signs. [`misalignment`] is what imperfect devices add to each.
//!
//! Conventions. Inputs are zero-mean and of unit variance. A complex symbol carries one or two real values. Powers are
//! per subcarrier and symbol. The noise of a subcarrier is circular with variance `noise_watts`, half of it in each
//! real dimension.

pub mod beam;
pub mod misalignment;
pub mod one_bit;
pub mod power_control;
mod truncated_inversion;
pub mod uniform_forcing;

pub use truncated_inversion::{Divisor, PowerRule, Superposition, TruncatedInversion, expected_mse};

use super::fading::FadingLaw;

/// One device's uplink during an analog round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelState {
    /// |h|^2 of the small-scale fading in this block, mean 1.
    pub fading_power: f64,
    /// The law from which it was drawn: the average power limit is an expectation over it.
    pub law: FadingLaw,
    /// Large-scale power gain (path loss, shadowing, antennas), linear.
    pub path_gain: f64,
    /// Limit on the device's average transmit power over the whole band, watts.
    pub power_watts: f64,
}

/// The resource grid of an analog uplink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AirInterface {
    /// Subcarriers used, all by every device.
    pub subcarriers: u32,
    /// With cyclic prefix.
    pub symbol_seconds: f64,
    /// Noise power of a subcarrier at the receiver.
    pub noise_watts: f64,
    /// Share of time that belongs to the uplink (1 in FDD).
    pub time_share: f64,
}

impl AirInterface {
    /// Duration of one analog round: `ceil(q / (M v)) T_s` for `values` reals over M subcarriers with v values a
    /// complex symbol, stretched by the share of time that is uplink. It does not depend on the number of devices.
    pub fn round_seconds(&self, values: u64, values_per_symbol: ValuesPerSymbol) -> f64 {
        let per_symbol = u64::from(self.subcarriers) * u64::from(values_per_symbol.count());
        values.div_ceil(per_symbol) as f64 * self.symbol_seconds / self.time_share
    }
}

/// Real values that one complex symbol carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuesPerSymbol {
    /// In phase only: half the noise, twice the symbols.
    One,
    /// In phase and in quadrature, each with half the power.
    Two,
}

impl ValuesPerSymbol {
    pub fn count(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}
