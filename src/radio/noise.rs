//! Thermal noise.

use super::units::linear_to_db;

/// Noise power density at 290 K, dBm/Hz.
pub const THERMAL_NOISE_DBM_PER_HZ: f64 = -174.0;

/// Noise power in a band behind a receiver of the given noise figure, dBm: -174 + 10 log10(B) + NF.
pub fn thermal_noise_dbm(bandwidth_hz: f64, noise_figure_db: f64) -> f64 {
    THERMAL_NOISE_DBM_PER_HZ + linear_to_db(bandwidth_hz) + noise_figure_db
}
