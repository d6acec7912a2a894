//! How GGUF files store numbers: floats, and blocks of quantised weights that share a scale.
//!
//! Layouts: the `block_*` structures of ggml's `ggml-common.h`; arithmetic: `dequantize_row_*` of its `ggml-quants.c`. Blocks
//! of 32 have one scale `d` (types `_0`) or a scale and an offset `m` (types `_1`); the `K` formats have blocks of 256 with
//! a scale, itself quantised, for each 16 or 32.

use half::{bf16, f16};

/// One of ggml's types.
pub struct BlockFormat {
    /// Its number in the file (`ggml_type`).
    id: u32,
    pub name: &'static str,
    /// Values in a block; a row is a whole number of blocks.
    pub values: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Turns whole blocks into their values.
    pub decode: fn(&[u8], &mut [f32]),
    /// Where values are whole numbers times the block's scale and nothing else.
    pub repack: Option<Repack>,
}

/// To the layout of [`QuantisedMatrix`](crate::backend::QuantisedMatrix).
#[derive(Clone, Copy)]
pub struct Repack {
    pub bits: u32,
    /// Neighbours that share a scale.
    pub group: usize,
    /// Appends the scales and the weights of whole blocks.
    pub rows: fn(&[u8], &mut Vec<f32>, &mut Vec<u8>),
}

/// `d`, then 32 signed bytes.
fn repack_q8_0(bytes: &[u8], scales: &mut Vec<f32>, weights: &mut Vec<u8>) {
    for block in bytes.as_chunks::<34>().0 {
        scales.push(half(block, 0));
        weights.extend(&block[2..]);
    }
}

/// From low halves first to neighbours in a byte; both add 8.
fn repack_q4_0(bytes: &[u8], scales: &mut Vec<f32>, weights: &mut Vec<u8>) {
    for block in bytes.as_chunks::<18>().0 {
        scales.push(half(block, 0));
        let pairs = block[2..].as_chunks::<2>().0;
        weights.extend(pairs.iter().map(|[a, b]| a & 0xf | b << 4));
        weights.extend(pairs.iter().map(|[a, b]| a >> 4 | b & 0xf0));
    }
}

/// Names of [`FORMATS`], for messages.
pub const KNOWN: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K or Q6_K";

static FORMATS: [BlockFormat; 11] = [
    BlockFormat {
        id: 0,
        name: "F32",
        values: 1,
        bytes: 4,
        decode: |b, v| each(b, v, |b, [v]| *v = f32::from_le_bytes(*b)),
        repack: None,
    },
    BlockFormat {
        id: 1,
        name: "F16",
        values: 1,
        bytes: 2,
        decode: |b, v| each(b, v, |b: &[u8; 2], [v]| *v = half(b, 0)),
        repack: None,
    },
    BlockFormat {
        id: 30,
        name: "BF16",
        values: 1,
        bytes: 2,
        decode: |b, v| each(b, v, |b, [v]| *v = bf16::from_le_bytes(*b).to_f32()),
        repack: None,
    },
    BlockFormat {
        id: 2,
        name: "Q4_0",
        values: 32,
        bytes: 18,
        decode: |b, v| each(b, v, q4_0),
        repack: Some(Repack { bits: 4, group: 32, rows: repack_q4_0 }),
    },
    BlockFormat { id: 3, name: "Q4_1", values: 32, bytes: 20, decode: |b, v| each(b, v, q4_1), repack: None },
    BlockFormat { id: 6, name: "Q5_0", values: 32, bytes: 22, decode: |b, v| each(b, v, q5_0), repack: None },
    BlockFormat { id: 7, name: "Q5_1", values: 32, bytes: 24, decode: |b, v| each(b, v, q5_1), repack: None },
    BlockFormat {
        id: 8,
        name: "Q8_0",
        values: 32,
        bytes: 34,
        decode: |b, v| each(b, v, q8_0),
        repack: Some(Repack { bits: 8, group: 32, rows: repack_q8_0 }),
    },
    BlockFormat { id: 12, name: "Q4_K", values: 256, bytes: 144, decode: |b, v| each(b, v, q4_k), repack: None },
    BlockFormat { id: 13, name: "Q5_K", values: 256, bytes: 176, decode: |b, v| each(b, v, q5_k), repack: None },
    BlockFormat { id: 14, name: "Q6_K", values: 256, bytes: 210, decode: |b, v| each(b, v, q6_k), repack: None },
];

impl BlockFormat {
    /// The format numbered `id` in files.
    pub fn numbered(id: u32) -> Option<&'static Self> {
        FORMATS.iter().find(|f| f.id == id)
    }
}

impl std::fmt::Debug for BlockFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Decodes block after block.
fn each<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    values: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, outputs) = (bytes.as_chunks().0, values.as_chunks_mut().0);
    blocks.iter().zip(outputs).for_each(|(block, output)| decode(block, output));
}

/// The binary16 number at `at`.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `d`, then 32 numbers of 4 bits: the low halves of the bytes are the first 16 values. Offset 8.
fn q4_0(block: &[u8; 18], values: &mut [f32; 32]) {
    let d = half(block, 0);
    for (i, q) in block[2..].iter().enumerate() {
        values[i] = (f32::from(q & 0xf) - 8.0) * d;
        values[i + 16] = (f32::from(q >> 4) - 8.0) * d;
    }
}

/// `d`, `m`, then as Q4_0 without its offset.
fn q4_1(block: &[u8; 20], values: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for (i, q) in block[4..].iter().enumerate() {
        values[i] = f32::from(q & 0xf) * d + m;
        values[i + 16] = f32::from(q >> 4) * d + m;
    }
}

/// The 32 numbers of 5 bits: bit i of `high` on top of the i-th of the 4-bit numbers in `low`.
fn five_bits(high: &[u8], low: &[u8], i: usize) -> f32 {
    let four = if i < 16 { low[i] & 0xf } else { low[i - 16] >> 4 };
    f32::from(four | (high[i / 8] >> (i % 8) & 1) << 4)
}

/// `d`, the fifth bits, the other four. Offset 16.
fn q5_0(block: &[u8; 22], values: &mut [f32; 32]) {
    let d = half(block, 0);
    for (i, value) in values.iter_mut().enumerate() {
        *value = (five_bits(&block[2..6], &block[6..], i) - 16.0) * d;
    }
}

/// `d`, `m`, the fifth bits, the other four.
fn q5_1(block: &[u8; 24], values: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    for (i, value) in values.iter_mut().enumerate() {
        *value = five_bits(&block[4..8], &block[8..], i) * d + m;
    }
}

/// `d`, then 32 signed bytes.
fn q8_0(block: &[u8; 34], values: &mut [f32; 32]) {
    let d = half(block, 0);
    for (value, q) in values.iter_mut().zip(&block[2..]) {
        *value = f32::from(*q as i8) * d;
    }
}

/// Scale and offset of the `j`-th 32 values of a Q4_K or Q5_K block, 6 bits each, packed into 12 bytes: those of the first
/// four in the low bits of bytes 0..4 and 4..8, of the others in bytes 8..12 with their upper bits on top of the first ones'.
fn packed_scale(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, offset) = if j < 4 {
        (packed[j] & 0x3f, packed[j + 4] & 0x3f)
    } else {
        (packed[j + 4] & 0xf | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(offset))
}

/// `d`, `dmin`, 12 bytes of scales and offsets, 128 bytes of 4-bit numbers: 32 bytes hold values 64 p to 64 p + 31 in their
/// low halves and the next 32 in their high ones.
fn q4_k(block: &[u8; 144], values: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (j, group) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, offset) = packed_scale(&block[4..16], j);
        let (scale, offset) = (d * scale, dmin * offset);
        let low = &block[16 + j / 2 * 32..];
        for (value, q) in group.iter_mut().zip(low) {
            *value = scale * f32::from(q >> (j % 2 * 4) & 0xf) - offset;
        }
    }
}

/// As Q4_K with 32 bytes of fifth bits before the others: bit j of byte i belongs to value i of the j-th 32.
fn q5_k(block: &[u8; 176], values: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (j, group) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, offset) = packed_scale(&block[4..16], j);
        let (scale, offset) = (d * scale, dmin * offset);
        let (high, low) = (&block[16..48], &block[48 + j / 2 * 32..]);
        for (value, (q, h)) in group.iter_mut().zip(low.iter().zip(high)) {
            *value = scale * f32::from(q >> (j % 2 * 4) & 0xf | (h >> j & 1) << 4) - offset;
        }
    }
}

/// 128 bytes of low halves, 64 of the upper two bits, 16 signed scales, `d`. Each 128 values take 64 bytes and 32 bytes:
/// its q-th 32 values have their low bits in half q / 2 of 32 of the bytes, their upper two at bit 2 q. Offset 32.
fn q6_k(block: &[u8; 210], values: &mut [f32; 256]) {
    let d = half(block, 208);
    for (i, value) in values.iter_mut().enumerate() {
        let (part, quarter, column) = (i / 128, i / 32 % 4, i % 32);
        let low = block[part * 64 + quarter % 2 * 32 + column] >> (quarter / 2 * 4) & 0xf;
        let high = block[128 + part * 32 + column] >> (quarter * 2) & 3;
        let scale = f32::from(block[192 + i / 16] as i8);
        *value = d * scale * (f32::from(low | high << 4) - 32.0);
    }
}
