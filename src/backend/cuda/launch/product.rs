//! `kernels/product.cu` and `kernels/product_wgmma.cu`: matrix products.

use super::super::{Address, Arguments, Kernel, Launch};
use super::family;
use crate::backend;

/// The nonlinearity of an epilogue, numbered as in `kernels/activation.cuh`.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None = 0,
    Gelu = 1,
    GeluTanh = 2,
    Silu = 3,
    Relu = 4,
}

impl From<backend::Activation> for Activation {
    fn from(kind: backend::Activation) -> Self {
        match kind {
            backend::Activation::Gelu => Self::Gelu,
            backend::Activation::GeluTanh => Self::GeluTanh,
            backend::Activation::Silu => Self::Silu,
            backend::Activation::Relu => Self::Relu,
        }
    }
}

/// What becomes of the elements of a product: `y = act(scale product + bias_scale bias) factor`, or with `accumulate`
/// added to y.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Half precision, or single if `single`.
    pub values: Address,
    /// One a column, or null.
    pub bias: Address,
    /// One an element, laid out as the values, or null.
    pub factor: Address,
    /// Receives the activation's derivative, laid out as the values, or null.
    pub derivative: Address,
    /// Elements from one group's bias to the next.
    pub bias_group: i64,
    pub scale: f32,
    pub bias_scale: f32,
    /// Elements from one row to the next.
    pub row: i32,
    pub single: i32,
    pub accumulate: i32,
    pub activation: Activation,
}

impl Output {
    /// Half-precision values, overwritten, as they are.
    pub fn half(values: Address, row: usize) -> Self {
        Self {
            values,
            bias: Address::NULL,
            factor: Address::NULL,
            derivative: Address::NULL,
            bias_group: 0,
            scale: 1.0,
            bias_scale: 1.0,
            row: row as i32,
            single: 0,
            accumulate: 0,
            activation: Activation::None,
        }
    }

    /// Single-precision sums, added to: gradients of parameters.
    pub fn sums(values: Address, row: usize, scale: f32) -> Self {
        Self { single: 1, accumulate: 1, scale, ..Self::half(values, row) }
    }
}

/// How groups are apart.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouped {
    ByStride = 0,
    /// Rows of A and of the output by `offsets`, B by its stride.
    ByRows = 1,
    /// Rows of A and B by `offsets`, which are what is summed over; the output by its stride.
    ByDepth = 2,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProductArguments {
    pub a: Address,
    pub b: Address,
    /// `i32`, first row of each group and one more; null if groups are apart by strides alone.
    pub offsets: Address,
    pub out: Output,
    /// Elements from one group to the next.
    pub a_group: i64,
    pub b_group: i64,
    pub out_group: i64,
    /// Of the largest group, where groups differ.
    pub m: i32,
    pub n: i32,
    pub k: i32,
    /// Elements from one row to the next.
    pub a_row: i32,
    pub b_row: i32,
    pub grouped: Grouped,
}

// SAFETY: both are `repr(C)`; eight-byte fields come first and four-byte fields are even in number.
unsafe impl Arguments for ProductArguments {}

impl ProductArguments {
    /// Of one group, all of both matrices: m, n, k, and the elements from one row to the next of each.
    pub fn of_one([a, b]: [Address; 2], out: Output, [m, n, k]: [usize; 3], [a_row, b_row]: [usize; 2]) -> Self {
        let ([m, n, k], [a_row, b_row]) = ([m, n, k].map(|v| v as i32), [a_row, b_row].map(|v| v as i32));
        let (offsets, grouped) = (Address::NULL, Grouped::ByStride);
        Self { a, b, offsets, out, a_group: 0, b_group: 0, out_group: 0, m, n, k, a_row, b_row, grouped }
    }
}

const fn shared(tile: u32) -> u32 {
    const STAGES: u32 = 3;
    const DEPTH: u32 = 32;
    STAGES * 2 * tile * DEPTH * 2
}

family! {
    PRODUCT = "product" {
        NT_64 = "product_nt_64" (ProductArguments, 128, shared(64));
        NN_64 = "product_nn_64" (ProductArguments, 128, shared(64));
        TN_64 = "product_tn_64" (ProductArguments, 128, shared(64));
        NT_128 = "product_nt_128" (ProductArguments, 256, shared(128));
        NN_128 = "product_nn_128" (ProductArguments, 256, shared(128));
        TN_128 = "product_tn_128" (ProductArguments, 256, shared(128));
    }
}

const fn shared_by_warpgroups() -> u32 {
    const STAGES: u32 = 3;
    const DEPTH: u32 = 64;
    // Core matrices of 128 bytes are 144 apart.
    STAGES * 2 * 128 * DEPTH * 2 / 128 * 144
}

family! {
    PRODUCT_WGMMA = "product_wgmma" on "sm_90a" {
        NT_WGMMA = "product_nt_wgmma" (ProductArguments, 256, shared_by_warpgroups());
        NN_WGMMA = "product_nn_wgmma" (ProductArguments, 256, shared_by_warpgroups());
        TN_WGMMA = "product_tn_wgmma" (ProductArguments, 256, shared_by_warpgroups());
    }
}

/// Which of the factors is transposed: a matrix is N as its rows lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductKind {
    /// `A[m, k] B[n, k]^T`.
    Nt,
    /// `A[m, k] B[k, n]`.
    Nn,
    /// `A[k, m]^T B[k, n]`.
    Tn,
}

/// Side of a block's tile of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    Of64,
    Of128,
    /// Of 128, by warpgroups: on Hopper.
    OfWarpgroups,
}

impl Tile {
    pub fn side(self) -> usize {
        match self {
            Self::Of64 => 64,
            Self::Of128 | Self::OfWarpgroups => 128,
        }
    }

    /// Whether a product's matrix of weights, or of their gradient, is large enough for warpgroups. Rows of clients do not
    /// matter: tensor cores may round sums differently, and a client gets the same bits whoever shares its pass.
    pub fn suits_warpgroups(kind: ProductKind, m: usize, n: usize, k: usize) -> bool {
        const LEAST: usize = 1 << 20;
        let weights = match kind {
            ProductKind::Nt | ProductKind::Nn => n * k,
            ProductKind::Tn => m * n,
        };
        weights >= LEAST
    }

    /// The larger one reads less, but only where its tiles fill `multiprocessors`.
    pub fn for_output(m: usize, n: usize, groups: usize, multiprocessors: usize) -> Self {
        let blocks = m.div_ceil(128) * n.div_ceil(128) * groups;
        if blocks >= multiprocessors { Self::Of128 } else { Self::Of64 }
    }
}

/// A product of `groups` groups.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub kind: ProductKind,
    pub tile: Tile,
    pub groups: usize,
    /// Of all groups, where offsets say which are whose.
    pub rows: usize,
    pub arguments: ProductArguments,
}

impl Product {
    pub fn launch(&self) -> Launch {
        let kernel: &'static Kernel = match (self.kind, self.tile) {
            (ProductKind::Nt, Tile::Of64) => &NT_64,
            (ProductKind::Nn, Tile::Of64) => &NN_64,
            (ProductKind::Tn, Tile::Of64) => &TN_64,
            (ProductKind::Nt, Tile::Of128) => &NT_128,
            (ProductKind::Nn, Tile::Of128) => &NN_128,
            (ProductKind::Tn, Tile::Of128) => &TN_128,
            (ProductKind::Nt, Tile::OfWarpgroups) => &NT_WGMMA,
            (ProductKind::Nn, Tile::OfWarpgroups) => &NN_WGMMA,
            (ProductKind::Tn, Tile::OfWarpgroups) => &TN_WGMMA,
        };
        let blocks = |length: i32| (length as usize).div_ceil(self.tile.side());
        Launch::new(kernel, [blocks(self.arguments.n), blocks(self.arguments.m), self.groups], &self.arguments)
    }
}
