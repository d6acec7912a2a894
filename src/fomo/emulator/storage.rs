//! How an emulator holds the matrices of a block: what a download, a device's memory and its products go by.

use super::{Emulator, low_rank, quantise, width};
use crate::compute::Precision;
use crate::fomo::architecture::Architecture;
use crate::fomo::projection::Projection;

/// The matrices of one block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage {
    /// The emulator's, with the width of this block.
    pub architecture: Architecture,
    pub rank: Option<u64>,
    pub bits: Option<u32>,
}

impl Storage {
    /// Those of block `own` of the emulator.
    pub fn of(emulator: &Emulator, own: usize) -> Self {
        let (spec, a) = (emulator.spec(), emulator.architecture());
        let bits = emulator.bits(own);
        if !emulator.is_compressed(own) {
            return Self { architecture: a.clone(), rank: None, bits };
        }
        let kv_heads = width::left_of(a.kv_heads, spec.head_share);
        let architecture = Architecture {
            ffn: width::left_of(a.ffn, spec.ffn_share),
            heads: a.heads / a.kv_heads * kv_heads,
            kv_heads,
            ..a.clone()
        };
        Self { architecture, rank: spec.rank.map(|rank| rank as u64), bits }
    }

    /// Bytes of block `own`, vectors at `precision`.
    pub fn bytes(&self, own: usize, precision: Precision) -> u64 {
        let a = &self.architecture;
        let mut shapes: Vec<(usize, usize)> = Projection::of(a).map(|p| p.shape(a)).collect();
        if a.has_cross_attention(own) {
            use Projection::{AttentionOutput, Key, Query, Value};
            shapes.extend([Query, Key, Value, AttentionOutput].map(|p| p.shape(a)));
        }
        let shapes = || shapes.iter().map(|(inputs, outputs)| (*inputs as u64, *outputs as u64));
        let in_matrices: u64 = shapes().map(|(inputs, outputs)| inputs * outputs).sum();
        let matrices: u64 = shapes().map(|(inputs, outputs)| self.matrix_bytes(inputs, outputs, precision)).sum();
        matrices + (a.block_parameters(own) - in_matrices) * precision.bytes()
    }

    fn matrix_bytes(&self, inputs: u64, outputs: u64, precision: Precision) -> u64 {
        let stored = |rows: u64, columns: u64| match self.bits {
            Some(bits) => quantise::stored_bytes(rows, columns, bits),
            None => rows * columns * precision.bytes(),
        };
        match self.rank {
            Some(rank) if low_rank::saves(outputs, inputs, rank) => stored(outputs, rank) + stored(rank, inputs),
            _ => stored(outputs, inputs),
        }
    }
}

/// Bytes of a table with a row a token.
pub(crate) fn table_bytes(rows: u64, columns: u64, bits: Option<u32>, precision: Precision) -> u64 {
    match bits {
        Some(bits) => quantise::stored_bytes(rows, columns, bits),
        None => rows * columns * precision.bytes(),
    }
}
