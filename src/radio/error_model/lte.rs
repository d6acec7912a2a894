//! LTE: transport blocks as ns-3's mutual-information error model has them, taken apart into code blocks.

use super::eesm::beta_at;
use super::{SchemeErrors, each_of};
use crate::radio::special::inverse_q;
use crate::radio::tables::lte::{schemes as mcs_table, transport_block_size_bits};
use crate::radio::tables::lte_block_errors;
use crate::radio::transport_block::Segmentation;

/// The turbo code's largest interleaver, TS 36.212 clause 5.1.2.
pub const LTE_LARGEST_CODE_BLOCK_BITS: u64 = 6144;
const CRC_BITS: u64 = 24;
/// Resource elements of a block that carry data, 3 control symbols and two-port reference signals apart: sets the code
/// rate at which beta is read, which hardly depends on it.
const DATA_ELEMENTS: f64 = 120.0;
const REFERENCE_RESOURCE_BLOCKS: u32 = 50;

/// Code blocks of a transport block, TS 36.212 clause 5.1.2, without rounding up to the interleaver's sizes.
pub fn lte_segmentation(transport_block_bits: u64) -> Segmentation {
    let with_crc = transport_block_bits + CRC_BITS;
    if with_crc <= LTE_LARGEST_CODE_BLOCK_BITS {
        return Segmentation { code_blocks: 1, code_block_bits: with_crc };
    }
    let code_blocks = with_crc.div_ceil(LTE_LARGEST_CODE_BLOCK_BITS - CRC_BITS);
    Segmentation { code_blocks, code_block_bits: (with_crc + code_blocks * CRC_BITS).div_ceil(code_blocks) }
}

/// Curves by downlink MCS. A transport block of C code blocks fails with 10% where each fails with 1 - 0.9^(1/C), which
/// gives two points of the code block's curve and so its two parameters.
pub(super) fn schemes() -> Vec<SchemeErrors> {
    let errors = |mcs: &crate::radio::tables::lte::LteMcs| {
        let rows = lte_block_errors().iter().filter(|row| row.mcs == mcs.mcs);
        let mut sizes: Vec<(f64, f64, f64)> = rows
            .map(|row| {
                let parts = lte_segmentation(row.transport_block_bits);
                let z = |transport_block_error| inverse_q(each_of(parts.code_blocks, transport_block_error));
                let (z10, z1) = (z(0.1), z(0.01));
                let spread_db = (row.snr1_db - row.snr10_db) / (z1 - z10);
                let snr10_db = row.snr10_db + (super::Z10 - z10) * spread_db;
                ((parts.code_block_bits as f64).log2(), snr10_db, (super::Z1 - super::Z10) * spread_db)
            })
            .collect();
        sizes.sort_by(|a, b| a.partial_cmp(b).expect("tables hold numbers"));
        let bits = transport_block_size_bits(mcs.downlink_size_index, REFERENCE_RESOURCE_BLOCKS).unwrap_or(0) as f64;
        let coded = f64::from(REFERENCE_RESOURCE_BLOCKS * mcs.downlink_order) * DATA_ELEMENTS;
        SchemeErrors { index: mcs.mcs, beta: beta_at(mcs.downlink_order, bits / coded), sizes }
    };
    mcs_table().iter().map(errors).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_blocks_hold_the_transport_block() {
        assert_eq!(lte_segmentation(6120), Segmentation { code_blocks: 1, code_block_bits: 6144 });
        assert_eq!(lte_segmentation(6121).code_blocks, 2);
        for bits in (16..75_376).step_by(97) {
            let parts = lte_segmentation(bits);
            assert!(parts.code_block_bits <= LTE_LARGEST_CODE_BLOCK_BITS && parts.total_bits() >= bits + CRC_BITS);
        }
    }
}
