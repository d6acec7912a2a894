//! `kernels/quantised.cu`: frozen matrices in 8 or 4 bits.

use super::super::{Address, Arguments, Kernel, Launch};
use super::{Output, family};

/// Bits of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    Eight,
    Four,
}

impl Bits {
    pub fn number(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Four => 4,
        }
    }

    /// Bytes of a row of weights.
    pub fn row_bytes(self, columns: usize) -> usize {
        (columns * self.number()).div_ceil(8)
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct QuantisedArguments {
    pub a: Address,
    /// Rows `w_row` bytes apart.
    pub w: Address,
    /// `[rows of W, groups]`, single precision.
    pub scales: Address,
    pub out: Output,
    pub m: i32,
    pub n: i32,
    pub k: i32,
    pub a_row: i32,
    pub w_row: i32,
    /// Columns of W that share a scale: a multiple of 8 if there are several groups in a row.
    pub group: i32,
    pub groups: i32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct QuantiseArguments {
    /// `[rows, columns]`, half precision.
    pub values: Address,
    pub w: Address,
    pub scales: Address,
    pub rows: i32,
    pub columns: i32,
    pub w_row: i32,
    pub bits: i32,
    pub group: i32,
    pub groups: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for QuantisedArguments {}
// SAFETY: as above.
unsafe impl Arguments for QuantiseArguments {}

const SIDE: usize = 64;
/// Three stages of two tiles of 64 x 32 half-precision numbers.
const SHARED: u32 = 3 * 2 * 64 * 32 * 2;

family! {
    QUANTISED = "quantised" {
        NT_8 = "quantised_nt_8" (QuantisedArguments, 128, SHARED);
        NN_8 = "quantised_nn_8" (QuantisedArguments, 128, SHARED);
        NT_4 = "quantised_nt_4" (QuantisedArguments, 128, SHARED);
        NN_4 = "quantised_nn_4" (QuantisedArguments, 128, SHARED);
        QUANTISE = "quantise" (QuantiseArguments, 128, 0);
        DEQUANTISE = "dequantise" (QuantiseArguments, 128, 0);
    }
}

impl QuantisedArguments {
    fn product(&self, kernel: &'static Kernel) -> Launch {
        let blocks = |length: i32| (length as usize).div_ceil(SIDE);
        Launch::new(kernel, [blocks(self.n), blocks(self.m), 1], self)
    }

    /// `A W^T`.
    pub fn forward(&self, bits: Bits) -> Launch {
        self.product(if bits == Bits::Eight { &NT_8 } else { &NT_4 })
    }

    /// `A W`.
    pub fn backward(&self, bits: Bits) -> Launch {
        self.product(if bits == Bits::Eight { &NN_8 } else { &NN_4 })
    }
}

impl QuantiseArguments {
    pub fn quantise(&self) -> Launch {
        Launch::new(&QUANTISE, [(self.rows as usize * self.groups as usize).div_ceil(4), 1, 1], self)
    }

    pub fn dequantise(&self) -> Launch {
        Launch::new(&DEQUANTISE, [(self.rows as usize * self.columns as usize).div_ceil(128), 1, 1], self)
    }
}
