//! Decibels and the speed of light.

/// Speed of light in vacuum, m/s (exact by definition of the metre).
pub const SPEED_OF_LIGHT_MPS: f64 = 299_792_458.0;

pub fn db_to_linear(db: f64) -> f64 {
    10f64.powf(db / 10.0)
}

pub fn linear_to_db(ratio: f64) -> f64 {
    10.0 * ratio.log10()
}

pub fn dbm_to_watts(dbm: f64) -> f64 {
    db_to_linear(dbm - 30.0)
}
