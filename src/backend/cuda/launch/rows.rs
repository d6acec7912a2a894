//! `kernels/norm.cu` and `kernels/reduce.cu`: norms over rows, sums over the rows of each client.

use super::super::{Address, Arguments, Launch};
use super::family;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NormArguments {
    pub x: Address,
    /// Or null.
    pub residual: Address,
    pub gain: Address,
    /// Or null.
    pub shift: Address,
    pub out: Address,
    /// Or null.
    pub normalised: Address,
    /// 1 / deviation, single precision, or null.
    pub inverse: Address,
    /// First row of each client and one more.
    pub offsets: Address,
    /// Elements from one client's to the next; 0 where all share one.
    pub gain_group: i64,
    pub shift_group: i64,
    pub width: i32,
    pub centred: i32,
    pub epsilon: f32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NormGradientArguments {
    pub dy: Address,
    pub gain: Address,
    pub normalised: Address,
    pub inverse: Address,
    pub dx: Address,
    pub offsets: Address,
    pub gain_group: i64,
    pub width: i32,
    pub centred: i32,
    pub accumulate: i32,
    pub unused: i32,
}

/// `out[client, c] += factor weight[client, c] sum_r a[r, c] b[r, c]`, in two launches.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSums {
    pub a: Address,
    pub a_row: usize,
    /// Or null for 1.
    pub b: Address,
    pub b_row: usize,
    pub columns: usize,
    /// Single precision, or null for 1.
    pub weight: Address,
    pub weight_group: usize,
    pub factor: f32,
    /// Single precision.
    pub out: Address,
    pub out_group: usize,
    /// First row of each client and one more.
    pub offsets: Address,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ReduceArguments {
    a: Address,
    b: Address,
    partial: Address,
    offsets: Address,
    columns: i32,
    a_row: i32,
    b_row: i32,
    runs: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ReduceFinishArguments {
    partial: Address,
    weight: Address,
    out: Address,
    offsets: Address,
    out_group: i64,
    weight_group: i64,
    columns: i32,
    runs: i32,
    factor: f32,
    unused: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for NormArguments {}
// SAFETY: as above.
unsafe impl Arguments for NormGradientArguments {}
// SAFETY: as above.
unsafe impl Arguments for ReduceArguments {}
// SAFETY: as above.
unsafe impl Arguments for ReduceFinishArguments {}

family! {
    NORM = "norm" {
        NORM_FORWARD = "norm_forward" (NormArguments, 256, 0);
        NORM_BACKWARD = "norm_backward" (NormGradientArguments, 256, 0);
    }
}
family! {
    REDUCE = "reduce" {
        RUNS = "reduce_runs" (ReduceArguments, 256, 1024);
        FINISH = "reduce_finish" (ReduceFinishArguments, 256, 0);
    }
}

/// Rows of a block of the norms.
const NORM_ROWS: usize = 8;
/// Rows that one block sums.
const RUN: usize = 256;

impl NormArguments {
    pub fn launch(&self, clients: usize, most_rows: usize) -> Launch {
        Launch::new(&NORM_FORWARD, [most_rows.div_ceil(NORM_ROWS), clients, 1], self)
    }
}

impl NormGradientArguments {
    pub fn launch(&self, clients: usize, most_rows: usize) -> Launch {
        Launch::new(&NORM_BACKWARD, [most_rows.div_ceil(NORM_ROWS), clients, 1], self)
    }
}

impl ColumnSums {
    /// Single-precision values that [`ColumnSums::launch`] needs in between.
    pub fn partial_len(&self, clients: usize, most_rows: usize) -> usize {
        clients * most_rows.div_ceil(RUN) * self.columns
    }

    /// To be run in order.
    pub fn launch(&self, clients: usize, most_rows: usize, partial: Address) -> [Launch; 2] {
        let runs = most_rows.div_ceil(RUN);
        let sums = ReduceArguments {
            a: self.a,
            b: self.b,
            partial,
            offsets: self.offsets,
            columns: self.columns as i32,
            a_row: self.a_row as i32,
            b_row: self.b_row as i32,
            runs: runs as i32,
        };
        let finish = ReduceFinishArguments {
            partial,
            weight: self.weight,
            out: self.out,
            offsets: self.offsets,
            out_group: self.out_group as i64,
            weight_group: self.weight_group as i64,
            columns: self.columns as i32,
            runs: runs as i32,
            factor: self.factor,
            unused: 0,
        };
        [
            Launch::new(&RUNS, [self.columns.div_ceil(32), runs, clients], &sums),
            Launch::new(&FINISH, [self.columns.div_ceil(256), clients, 1], &finish),
        ]
    }
}
