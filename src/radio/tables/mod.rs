//! The standards' tables and measured error rates, embedded as CSV files that cite their clauses or their origin. No formulas
//! here.

mod error_rates;
pub mod lte;

pub use error_rates::{
    LteBlockErrors, MeasuredBeta, MeasuredThreshold, lte_block_errors, measured_betas, measured_thresholds,
};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::LazyLock;

/// One row of a modulation-and-coding or channel-quality table.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Scheme {
    pub index: u32,
    /// Bits per symbol: 2, 4, 6, 8 or 10.
    pub modulation_order: u32,
    /// Target code rate times 1024, as the standard prints it.
    pub rate_x1024: f64,
}

impl Scheme {
    pub fn code_rate(&self) -> f64 {
        self.rate_x1024 / 1024.0
    }

    /// Information bits per complex symbol and layer.
    pub fn spectral_efficiency(&self) -> f64 {
        self.modulation_order as f64 * self.code_rate()
    }
}

/// The tables of TS 38.214: modulation and coding (MCS) and channel quality (CQI). `Cqi1` serves LTE as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModulationTable {
    Mcs1,
    Mcs2,
    Mcs3,
    Mcs4,
    Cqi1,
    Cqi2,
    Cqi3,
}

impl ModulationTable {
    pub const ALL: [Self; 7] = [Self::Mcs1, Self::Mcs2, Self::Mcs3, Self::Mcs4, Self::Cqi1, Self::Cqi2, Self::Cqi3];

    /// The table's rows, lowest index first.
    pub fn schemes(self) -> &'static [Scheme] {
        &SCHEMES[self as usize]
    }

    /// The MCS table that carries the same modulations: where a CQI table's error rates are read.
    pub fn mcs_counterpart(self) -> Self {
        match self {
            Self::Cqi1 => Self::Mcs1,
            Self::Cqi2 => Self::Mcs2,
            Self::Cqi3 => Self::Mcs3,
            mcs => mcs,
        }
    }
}

/// A standard's number of resource blocks for a channel bandwidth.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TransmissionBandwidth {
    pub range: FrequencyRange,
    pub scs_khz: u32,
    pub bandwidth_mhz: f64,
    pub resource_blocks: u32,
}

/// The bands that the standards tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FrequencyRange {
    #[serde(rename = "LTE")]
    Lte,
    #[serde(rename = "FR1")]
    Fr1,
    #[serde(rename = "FR2-1")]
    Fr2_1,
    #[serde(rename = "FR2-2")]
    Fr2_2,
}

pub fn transmission_bandwidths() -> &'static [TransmissionBandwidth] {
    &BANDWIDTHS
}

static SCHEMES: LazyLock<[Vec<Scheme>; 7]> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Row {
        table: ModulationTable,
        index: u32,
        modulation_order: u32,
        rate_x1024: f64,
    }
    let rows: Vec<Row> = read_embedded(include_str!("modulation.csv"));
    ModulationTable::ALL.map(|table| {
        let rows = rows.iter().filter(|row| row.table == table);
        rows.map(|r| Scheme { index: r.index, modulation_order: r.modulation_order, rate_x1024: r.rate_x1024 })
            .collect()
    })
});

static BANDWIDTHS: LazyLock<Vec<TransmissionBandwidth>> =
    LazyLock::new(|| read_embedded(include_str!("resource_blocks.csv")));

/// Rows of a CSV file that is part of this program; lines that start with `#` are its sources.
pub(super) fn read_embedded<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("embedded tables are well-formed")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_consecutive() {
        for table in ModulationTable::ALL {
            let first = table.schemes()[0].index;
            assert!(table.schemes().iter().enumerate().all(|(i, s)| s.index == first + i as u32));
        }
        assert_eq!(ModulationTable::Cqi1.schemes().len(), 15);
    }
}
