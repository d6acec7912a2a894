//! LTE's modulation and transport-block-size tables, TS 36.213 clauses 7.1.7 and 8.6.

use super::read_embedded;
use serde::Deserialize;
use std::sync::LazyLock;

/// The largest carrier of the size table, in resource blocks.
pub const MAX_RESOURCE_BLOCKS: u32 = 110;

/// One index of the modulation and coding tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct LteMcs {
    pub mcs: u32,
    /// Bits per symbol: 2, 4 or 6.
    pub downlink_order: u32,
    /// Row of the size table.
    pub downlink_size_index: u32,
    pub uplink_order: u32,
    pub uplink_size_index: u32,
}

/// The 29 indices that carry new data, lowest first: tables 7.1.7.1-1 and 8.6.1-1.
pub fn schemes() -> &'static [LteMcs] {
    static ROWS: LazyLock<Vec<LteMcs>> = LazyLock::new(|| read_embedded(include_str!("lte_mcs.csv")));
    &ROWS
}

/// Transport block size in bits on one layer, table 7.1.7.2.1-1; `None` outside it (27 size indices, 1 to 110 blocks).
pub fn transport_block_size_bits(size_index: u32, resource_blocks: u32) -> Option<u64> {
    static ROWS: LazyLock<Vec<Vec<u64>>> = LazyLock::new(|| {
        let text = include_str!("lte_transport_blocks.csv");
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).has_headers(false).from_reader(text.as_bytes());
        reader.deserialize().map(|row| row.expect("embedded tables are well-formed")).collect()
    });
    ROWS.get(size_index as usize)?.get(resource_blocks.checked_sub(1)? as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_its_size_and_grows_with_the_index() {
        assert_eq!(schemes().len(), 29);
        for blocks in 1..=MAX_RESOURCE_BLOCKS {
            let size = |index| transport_block_size_bits(index, blocks).unwrap();
            assert!((0..26).all(|i| size(i) <= size(i + 1) || (blocks, i) == (1, 6)), "{blocks}");
        }
        assert_eq!(transport_block_size_bits(27, 1), None);
        assert_eq!(transport_block_size_bits(0, 0), None);
        assert_eq!(transport_block_size_bits(0, MAX_RESOURCE_BLOCKS + 1), None);
        assert_eq!(transport_block_size_bits(26, 100), Some(75_376));
    }
}
