//! How often blocks fail: from the SINR of every resource block to the error rate of a transport block.
//!
//! [`effective_snr_db`] folds the SINRs of a block's resource blocks into the one that would fail as often on a flat
//! channel; [`ErrorModel::block_error`] reads the error rate of one code block there, and
//! [`ErrorModel::transport_block_error`] that of the transport block made of several. A code block fails with
//! probability Q((SNR - m)/s), SNR in dB: two parameters, set by the 10% and 1% points that link simulations measured
//! (`nr`: Sionna's LDPC, an ideal receiver; `lte`: ns-3's turbo code). Draws and retransmissions are the
//! scheduler's business.

mod eesm;
mod lte;
mod nr;

pub use eesm::{beta as scheme_beta, effective_snr, effective_snr_db};
pub use lte::{LTE_LARGEST_CODE_BLOCK_BITS, lte_segmentation};

use super::special::q_function;
use super::tables::ModulationTable;
use super::transport_block::Segmentation;

/// Q(Z10) = 0.1 and Q(Z1) = 0.01.
const Z10: f64 = 1.281_551_565_544_6;
const Z1: f64 = 2.326_347_874_040_8;

/// Error rate of a block over SNR: Q((SNR - midpoint) / spread), all in dB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorCurve {
    /// SNR at which half of the blocks fail.
    pub midpoint_db: f64,
    pub spread_db: f64,
}

impl ErrorCurve {
    /// The curve through an error rate of 10% at `snr10_db` and of 1% at `width_db` more.
    fn through(snr10_db: f64, width_db: f64) -> Self {
        let spread_db = width_db / (Z1 - Z10);
        Self { midpoint_db: snr10_db - Z10 * spread_db, spread_db }
    }

    /// Share of blocks that fail at `snr_db`.
    pub fn error(&self, snr_db: f64) -> f64 {
        q_function((snr_db - self.midpoint_db) / self.spread_db)
    }
}

/// Error curves and EESM calibration of every scheme of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorModel {
    schemes: Vec<SchemeErrors>,
}

#[derive(Clone, Debug, PartialEq)]
struct SchemeErrors {
    index: u32,
    beta: f64,
    /// (log2 of the code-block bits, SNR at 10%, dB from 10% to 1%), by rising size.
    sizes: Vec<(f64, f64, f64)>,
}

impl ErrorModel {
    /// NR's LDPC codes behind an ideal receiver, every curve moved right by `implementation_loss_db` (3 dB give
    /// 5G-LENA's). CQI tables read the curves of their MCS counterpart at equal modulation and rate.
    pub fn nr(table: ModulationTable, implementation_loss_db: f64) -> Self {
        Self { schemes: nr::schemes(table) }.harder_by(implementation_loss_db)
    }

    /// LTE's turbo codes by downlink MCS 0 to 28.
    pub fn lte(implementation_loss_db: f64) -> Self {
        Self { schemes: lte::schemes() }.harder_by(implementation_loss_db)
    }

    fn harder_by(mut self, db: f64) -> Self {
        self.schemes.iter_mut().flat_map(|s| &mut s.sizes).for_each(|size| size.1 += db);
        self
    }

    /// The curve of code blocks of `code_block_bits` under scheme `index`: interpolated over the logarithm of the size,
    /// constant beyond the measured sizes. A scheduler asks once for each grant.
    ///
    /// # Panics
    /// If the table has no such index.
    pub fn curve(&self, index: u32, code_block_bits: u64) -> ErrorCurve {
        let sizes = &self.scheme(index).sizes;
        let x = (code_block_bits.max(1) as f64).log2();
        let after = sizes.partition_point(|size| size.0 <= x);
        let (snr10_db, width_db) = match (after.checked_sub(1).map(|i| sizes[i]), sizes.get(after)) {
            (Some(a), Some(b)) => {
                let part = (x - a.0) / (b.0 - a.0);
                (a.1 + part * (b.1 - a.1), a.2 + part * (b.2 - a.2))
            }
            (Some(end), None) => (end.1, end.2),
            (None, Some(start)) => (start.1, start.2),
            (None, None) => unreachable!("every scheme has a size"),
        };
        ErrorCurve::through(snr10_db, width_db)
    }

    /// Share of code blocks of this size that fail at an effective SNR.
    ///
    /// # Panics
    /// If the table has no such index.
    pub fn block_error(&self, index: u32, code_block_bits: u64, effective_snr_db: f64) -> f64 {
        self.curve(index, code_block_bits).error(effective_snr_db)
    }

    /// Share of transport blocks that fail: 1 - (1 - p)^C for C code blocks that fail independently with p.
    ///
    /// # Panics
    /// If the table has no such index.
    pub fn transport_block_error(&self, index: u32, parts: Segmentation, effective_snr_db: f64) -> f64 {
        any_of(parts.code_blocks, self.block_error(index, parts.code_block_bits, effective_snr_db))
    }

    /// Calibration of [`effective_snr`] for scheme `index`.
    ///
    /// # Panics
    /// If the table has no such index.
    pub fn beta(&self, index: u32) -> f64 {
        self.scheme(index).beta
    }

    fn scheme(&self, index: u32) -> &SchemeErrors {
        let first = self.schemes[0].index;
        &self.schemes[(index - first) as usize]
    }
}

/// Probability that at least one of `count` independent events of probability `p` happens.
pub fn any_of(count: u64, p: f64) -> f64 {
    if count == 1 { p } else { -(count as f64 * (-p).ln_1p()).exp_m1() }
}

/// The probability of which `count` independent events make one of probability `p`: [`any_of`] inverted.
fn each_of(count: u64, p: f64) -> f64 {
    -((-p).ln_1p() / count as f64).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::transport_block::segmentation;

    #[test]
    fn a_curve_goes_through_its_points_and_falls() {
        let curve = ErrorCurve::through(5.0, 0.5);
        assert!((curve.error(5.0) - 0.1).abs() < 1e-12 && (curve.error(5.5) - 0.01).abs() < 1e-12);
        assert!((curve.error(curve.midpoint_db) - 0.5).abs() < 1e-12);
        assert!((0..80).all(|i| curve.error(2.0 + 0.1 * f64::from(i)) >= curve.error(2.1 + 0.1 * f64::from(i))));
        assert!(curve.error(-60.0) == 1.0 && curve.error(60.0) == 0.0);
    }

    #[test]
    fn every_scheme_has_a_plausible_curve_and_beta() {
        for table in ModulationTable::ALL {
            let model = ErrorModel::nr(table, 0.0);
            for scheme in table.schemes() {
                for bits in [8, 24, 300, 2000, 8448] {
                    let curve = model.curve(scheme.index, bits);
                    assert!((0.2..2.5).contains(&curve.spread_db), "{table:?} {scheme:?} {bits} {curve:?}");
                }
                assert!((1.0..600.0).contains(&model.beta(scheme.index)), "{table:?} {scheme:?}");
            }
        }
        let lte = ErrorModel::lte(0.0);
        assert!((0..29).all(|mcs| (0.05..0.4).contains(&lte.curve(mcs, 3000).spread_db)));
    }

    #[test]
    fn implementation_loss_moves_the_curve() {
        let (ideal, real) = (ErrorModel::nr(ModulationTable::Mcs1, 0.0), ErrorModel::nr(ModulationTable::Mcs1, 3.0));
        let p = ideal.block_error(12, 700, 4.0);
        assert!((p - real.block_error(12, 700, 7.0)).abs() < 1e-12 && (0.0..1.0).contains(&p));
    }

    #[test]
    fn more_code_blocks_fail_more_often() {
        let model = ErrorModel::nr(ModulationTable::Mcs2, 0.0);
        let scheme = ModulationTable::Mcs2.schemes()[20];
        let one = segmentation(8000, &scheme);
        let many = segmentation(80_000, &scheme);
        assert!(one.code_blocks == 1 && many.code_blocks > 5);
        let at = |parts| model.transport_block_error(20, parts, 18.8);
        assert!(at(many) > at(one) && at(many) < at(one) * many.code_blocks as f64);
        assert!((any_of(7, each_of(7, 0.1)) - 0.1).abs() < 1e-15);
    }
}
