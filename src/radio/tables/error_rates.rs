//! What link simulations measured: points of error curves and calibrations of the effective SINR.

use super::{ModulationTable, read_embedded};
use serde::Deserialize;
use std::sync::LazyLock;

/// SNRs at which 10% and 1% of the NR code blocks of one size fail.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct MeasuredThreshold {
    pub table: ModulationTable,
    pub index: u32,
    /// Code-block size.
    pub bits: u32,
    #[serde(rename = "snr_at_10_percent_db")]
    pub snr10_db: f64,
    /// `None` if the simulations stopped before.
    #[serde(rename = "snr_at_1_percent_db")]
    pub snr1_db: Option<f64>,
}

/// SNRs at which 10% and 1% of the LTE transport blocks of one size fail.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct LteBlockErrors {
    pub mcs: u32,
    pub transport_block_bits: u64,
    #[serde(rename = "snr_at_10_percent_db")]
    pub snr10_db: f64,
    #[serde(rename = "snr_at_1_percent_db")]
    pub snr1_db: f64,
}

/// Calibration of the exponential effective SINR mapping for one MCS.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct MeasuredBeta {
    pub table: ModulationTable,
    pub index: u32,
    pub beta: f64,
}

pub fn measured_thresholds() -> &'static [MeasuredThreshold] {
    static ROWS: LazyLock<Vec<MeasuredThreshold>> =
        LazyLock::new(|| read_embedded(include_str!("nr_code_block_errors.csv")));
    &ROWS
}

pub fn lte_block_errors() -> &'static [LteBlockErrors] {
    static ROWS: LazyLock<Vec<LteBlockErrors>> = LazyLock::new(|| read_embedded(include_str!("lte_block_errors.csv")));
    &ROWS
}

pub fn measured_betas() -> &'static [MeasuredBeta] {
    static ROWS: LazyLock<Vec<MeasuredBeta>> = LazyLock::new(|| read_embedded(include_str!("eesm_beta.csv")));
    &ROWS
}
