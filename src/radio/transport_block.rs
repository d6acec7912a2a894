//! Transport block size and segmentation into code blocks, for per-slot scheduling.

use super::tables::Scheme;

/// Resource elements that one resource block can carry at most, TS 38.214 clause 5.1.3.2 step 1.
const MAX_RESOURCE_ELEMENTS: u32 = 156;
/// Above this size (bits) the block is computed, not looked up, and carries a 24-bit CRC.
const LOOKUP_LIMIT_BITS: u64 = 3824;

/// What a slot's grant offers a transport block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant {
    pub resource_blocks: u32,
    pub symbols: u32,
    /// Resource elements per resource block taken by demodulation reference signals.
    pub dmrs_elements: u32,
    /// Resource elements per resource block taken by other overhead (xOverhead).
    pub overhead_elements: u32,
    pub layers: u32,
}

/// Transport block size in bits, TS 38.214 clause 5.1.3.2. Whole-number arithmetic: code rates are multiples of 1/2048.
pub fn transport_block_size_bits(grant: &Grant, scheme: &Scheme) -> u64 {
    let per_block = (12 * grant.symbols).saturating_sub(grant.dmrs_elements + grant.overhead_elements);
    let elements = u64::from(per_block.min(MAX_RESOURCE_ELEMENTS) * grant.resource_blocks);
    // N_info in units of 1/2048 bit.
    let info_x2048 = elements * rate_x2048(scheme) * u64::from(scheme.modulation_order * grant.layers);
    if info_x2048 == 0 {
        return 0;
    }
    if info_x2048 <= LOOKUP_LIMIT_BITS * 2048 {
        let n = u64::from(ilog2_or_0(info_x2048 / 2048).saturating_sub(6).max(3));
        let quantised = (info_x2048 >> (11 + n) << n).max(24);
        return SIZES.iter().map(|s| u64::from(*s)).find(|size| *size >= quantised).unwrap_or(LOOKUP_LIMIT_BITS);
    }
    let excess_x2048 = info_x2048 - 24 * 2048;
    let n = u64::from(ilog2_or_0(excess_x2048 / 2048) - 5);
    // Round half up, as the standard has it.
    let quantised = ((((excess_x2048 >> (10 + n)) + 1) >> 1) << n).max(3840);
    let code_blocks = if rate_x2048(scheme) <= 512 {
        (quantised + 24).div_ceil(3816)
    } else if quantised > 8424 {
        (quantised + 24).div_ceil(8424)
    } else {
        1
    };
    8 * code_blocks * (quantised + 24).div_ceil(8 * code_blocks) - 24
}

/// Code blocks into which a transport block falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    pub code_blocks: u64,
    /// Of each, with its CRC; the last one's filler counts.
    pub code_block_bits: u64,
}

impl Segmentation {
    /// Bits of all code blocks.
    pub fn total_bits(&self) -> u64 {
        self.code_blocks * self.code_block_bits
    }
}

/// Number and size of the code blocks, TS 38.212 clauses 5.2.2 and 7.2.2, without rounding up to lifting sizes.
pub fn segmentation(transport_block_bits: u64, scheme: &Scheme) -> Segmentation {
    let (bits, rate) = (transport_block_bits, scheme.code_rate());
    let second_base_graph = bits <= 292 || (bits <= LOOKUP_LIMIT_BITS && rate <= 0.67) || rate <= 0.25;
    let largest = if second_base_graph { 3840 } else { 8448 };
    let with_crc = bits + if bits > LOOKUP_LIMIT_BITS { 24 } else { 16 };
    if with_crc <= largest {
        return Segmentation { code_blocks: 1, code_block_bits: with_crc };
    }
    let code_blocks = with_crc.div_ceil(largest - 24);
    Segmentation { code_blocks, code_block_bits: (with_crc + 24 * code_blocks).div_ceil(code_blocks) }
}

/// Code blocks into which a transport block falls: [`segmentation`]'s number.
pub fn code_blocks(transport_block_bits: u64, scheme: &Scheme) -> u64 {
    segmentation(transport_block_bits, scheme).code_blocks
}

fn rate_x2048(scheme: &Scheme) -> u64 {
    (2.0 * scheme.rate_x1024) as u64
}

fn ilog2_or_0(x: u64) -> u32 {
    x.checked_ilog2().unwrap_or(0)
}

/// TS 38.214 table 5.1.3.2-1.
#[rustfmt::skip]
const SIZES: [u16; 93] = [
    24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176, 184, 192, 208, 224, 240,
    256, 272, 288, 304, 320, 336, 352, 368, 384, 408, 432, 456, 480, 504, 528, 552, 576, 608, 640, 672, 704, 736, 768,
    808, 848, 888, 928, 984, 1032, 1064, 1128, 1160, 1192, 1224, 1256, 1288, 1320, 1352, 1416, 1480, 1544, 1608, 1672,
    1736, 1800, 1864, 1928, 2024, 2088, 2152, 2216, 2280, 2408, 2472, 2536, 2600, 2664, 2728, 2792, 2856, 2976, 3104,
    3240, 3368, 3496, 3624, 3752, 3824,
];
