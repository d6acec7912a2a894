//! `kernels/low_rank.cu`: low-rank terms fused with the frozen product that they belong to.

use super::super::{Address, Arguments, Kernel, Launch};
use super::{Output, Tile, family};

/// Terms of one product that a launch takes; more are products of their own.
pub const MOST_SLOTS: usize = 4;

/// One term, as in [`crate::backend::LoraSlot`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    pub a: i64,
    pub b: i64,
    /// -1 without.
    pub diagonal: i64,
    pub scale: f32,
    pub rank: i32,
    pub outputs: i32,
    pub column: i32,
    /// Sum of the ranks before.
    pub first: i32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PackArguments {
    /// The clients' parameters.
    pub values: Address,
    /// `[clients, rank, down_row]`, half precision.
    pub down: Address,
    /// `[clients, n, rank]`, half precision.
    pub up: Address,
    /// `[clients, rank]`, single precision.
    pub factors: Address,
    /// Of a client's parameters.
    pub stride: i64,
    pub slots: [Slot; MOST_SLOTS],
    pub count: i32,
    /// Padded: [`Rank::columns`].
    pub rank: i32,
    pub inputs: i32,
    pub outputs: i32,
    /// The depth of the product, rounded up to a multiple of 8.
    pub down_row: i32,
    pub backwards: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LowRankArguments {
    pub x: Address,
    pub w: Address,
    pub down: Address,
    pub up: Address,
    pub factors: Address,
    /// `[rows, rank]` blocks, one a slot; null if nobody reads them.
    pub reduced: Address,
    /// First row of each client and one more.
    pub offsets: Address,
    pub out: Output,
    /// Elements from one client's to the next.
    pub down_group: i64,
    pub up_group: i64,
    pub n: i32,
    pub k: i32,
    pub x_row: i32,
    pub w_row: i32,
    pub down_row: i32,
    /// Of all clients.
    pub rows: i32,
    pub backwards: i32,
    pub slots: i32,
    pub ranks: [i32; MOST_SLOTS],
    pub firsts: [i32; MOST_SLOTS],
}

/// Gradients of B and of the diagonal of one term that has one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DiagonalArguments {
    /// `[clients, outputs, rank]`, single precision: `scale dy^T u`, before the diagonal.
    pub sums: Address,
    /// Of the first client, as are the rest.
    pub b: Address,
    pub diagonal: Address,
    /// Single precision.
    pub d_b: Address,
    pub d_diagonal: Address,
    /// Of a client's parameters and gradients.
    pub stride: i64,
    pub rank: i32,
    pub outputs: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for PackArguments {}
// SAFETY: as above.
unsafe impl Arguments for DiagonalArguments {}
// SAFETY: as above.
unsafe impl Arguments for LowRankArguments {}

const fn shared(tile: u32, rank: u32) -> u32 {
    const STAGES: u32 = 3;
    const DEPTH: u32 = 32;
    STAGES * (2 * tile + rank) * DEPTH * 2
}

family! {
    LOW_RANK = "low_rank" {
        FORWARD_64_R16 = "low_rank_forward_64_r16" (LowRankArguments, 128, shared(64, 16));
        FORWARD_64_R64 = "low_rank_forward_64_r64" (LowRankArguments, 128, shared(64, 64));
        FORWARD_128_R16 = "low_rank_forward_128_r16" (LowRankArguments, 256, shared(128, 16));
        BACKWARD_64_R16 = "low_rank_backward_64_r16" (LowRankArguments, 128, shared(64, 16));
        BACKWARD_64_R64 = "low_rank_backward_64_r64" (LowRankArguments, 128, shared(64, 64));
        BACKWARD_128_R16 = "low_rank_backward_128_r16" (LowRankArguments, 256, shared(128, 16));
        PACK = "low_rank_pack" (PackArguments, 256, 0);
        DIAGONAL = "low_rank_diagonal_gradient" (DiagonalArguments, 128, 16);
    }
}

/// The ranks of all slots together, padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    Of16,
    Of64,
}

impl Rank {
    /// `None` beyond 64.
    pub fn padded(rank: usize) -> Option<Self> {
        match rank {
            0..=16 => Some(Self::Of16),
            17..=64 => Some(Self::Of64),
            _ => None,
        }
    }

    pub fn columns(self) -> usize {
        match self {
            Self::Of16 => 16,
            Self::Of64 => 64,
        }
    }
}

impl PackArguments {
    pub fn launch(&self, clients: usize) -> Launch {
        let n = if self.backwards != 0 { self.inputs } else { self.outputs };
        let elements = (self.rank * self.down_row + n * self.rank + self.rank) as usize;
        Launch::new(&PACK, [elements.div_ceil(256), clients, 1], self)
    }
}

impl LowRankArguments {
    /// Clients of at most `most_rows` rows.
    pub fn launch(&self, rank: Rank, tile: Tile, clients: usize, most_rows: usize) -> Launch {
        let (kernel, tile): (&'static Kernel, _) = match (self.backwards != 0, rank, tile) {
            (false, Rank::Of16, Tile::Of64) => (&FORWARD_64_R16, tile),
            (false, Rank::Of16, Tile::Of128 | Tile::OfWarpgroups) => (&FORWARD_128_R16, tile),
            (false, Rank::Of64, _) => (&FORWARD_64_R64, Tile::Of64),
            (true, Rank::Of16, Tile::Of64) => (&BACKWARD_64_R16, tile),
            (true, Rank::Of16, Tile::Of128 | Tile::OfWarpgroups) => (&BACKWARD_128_R16, tile),
            (true, Rank::Of64, _) => (&BACKWARD_64_R64, Tile::Of64),
        };
        let blocks = |length: usize| length.div_ceil(tile.side());
        Launch::new(kernel, [blocks(self.n as usize), blocks(most_rows), clients], self)
    }
}

impl DiagonalArguments {
    pub fn launch(&self, clients: usize) -> Launch {
        Launch::new(&DIAGONAL, [self.rank as usize, clients, 1], self)
    }
}
