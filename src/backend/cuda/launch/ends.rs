//! `kernels/ends.cu`: embeddings, pooled heads, next-token cross entropy.

use super::super::{Address, Arguments, Launch};
use super::family;

/// Tables that a gather reads.
pub const MOST_TABLES: usize = 8;

/// `out[row]` is the sum of up to three table rows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GatherArguments {
    pub tables: [Address; MOST_TABLES],
    /// `i64`, `[rows, 3]`: first element in the table; -1 for nothing.
    pub places: Address,
    /// `i32`, `[rows, 3]`: its table.
    pub which: Address,
    pub out: Address,
    pub width: i32,
    pub unused: i32,
}

/// `out[destination]` grows by the sum of its rows, in order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScatterArguments {
    pub rows: Address,
    /// Single precision.
    pub out: Address,
    /// `i32`, first entry of each destination in `list` and one more.
    pub starts: Address,
    /// `i32`, rows.
    pub list: Address,
    /// `i64`, first element of each destination in `out`.
    pub destinations: Address,
    pub width: i32,
    pub unused: i32,
}

/// What all kernels of a pooled head take.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HeadArguments {
    pub hidden: Address,
    /// Of the first client.
    pub parameters: Address,
    /// First row of each sequence and one more.
    pub offsets: Address,
    /// First row that pooling reads, of each sequence.
    pub read_first: Address,
    /// One beyond the last.
    pub read_end: Address,
    /// Client of each sequence.
    pub clients: Address,
    /// First sequence of each client and one more.
    pub segments: Address,
    /// `i32`, class of each sequence, or null.
    pub labels: Address,
    /// Single precision, answer of each sequence, where there are no classes.
    pub values: Address,
    /// Single precision, of each sequence in the loss.
    pub weights: Address,
    /// `[sequences, width]`, single precision.
    pub pooled: Address,
    /// `[sequences, outputs]`, single precision.
    pub answers: Address,
    pub d_answers: Address,
    /// Single precision.
    pub losses: Address,
    pub d_hidden: Address,
    /// Of the first client, single precision.
    pub gradient: Address,
    /// Elements from one client's parameters to the next.
    pub group: i64,
    pub weight: i64,
    pub bias: i64,
    pub width: i32,
    pub outputs: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyArguments {
    /// `[rows, vocabulary]`, single precision.
    pub logits: Address,
    pub targets: Address,
    /// Single precision, of each row in the loss.
    pub weights: Address,
    /// Half precision, or null.
    pub d_logits: Address,
    pub losses: Address,
    /// `i32`, the lowest of the largest.
    pub best: Address,
    pub vocabulary: i32,
    pub unused: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for GatherArguments {}
// SAFETY: as above.
unsafe impl Arguments for ScatterArguments {}
// SAFETY: as above.
unsafe impl Arguments for HeadArguments {}
// SAFETY: as above.
unsafe impl Arguments for CrossEntropyArguments {}

family! {
    ENDS = "ends" {
        GATHER = "gather" (GatherArguments, 128, 0);
        SCATTER = "scatter" (ScatterArguments, 128, 0);
        POOL = "pool" (HeadArguments, 128, 0);
        LOSS = "head_loss" (HeadArguments, 128, 16);
        PARAMETERS = "head_parameters_gradient" (HeadArguments, 128, 0);
        HIDDEN = "head_hidden_gradient" (HeadArguments, 128, 0);
        CROSS_ENTROPY = "cross_entropy" (CrossEntropyArguments, 256, 32);
    }
}

fn blocks(width: usize) -> usize {
    width.div_ceil(128)
}

impl GatherArguments {
    pub fn launch(&self, rows: usize) -> Launch {
        Launch::new(&GATHER, [rows, 1, 1], self)
    }
}

impl ScatterArguments {
    pub fn launch(&self, destinations: usize) -> Launch {
        Launch::new(&SCATTER, [blocks(self.width as usize), destinations, 1], self)
    }
}

impl HeadArguments {
    /// In order.
    pub fn forward(&self, sequences: usize) -> [Launch; 2] {
        let pool = Launch::new(&POOL, [blocks(self.width as usize), sequences, 1], self);
        [pool, Launch::new(&LOSS, [sequences, 1, 1], self)]
    }

    pub fn backward(&self, sequences: usize, clients: usize) -> [Launch; 2] {
        let width = self.width as usize;
        let parameters = [blocks(width + 1), self.outputs as usize, clients];
        let hidden = [blocks(width), sequences, 1];
        [Launch::new(&PARAMETERS, parameters, self), Launch::new(&HIDDEN, hidden, self)]
    }
}

impl CrossEntropyArguments {
    pub fn launch(&self, rows: usize) -> Launch {
        Launch::new(&CROSS_ENTROPY, [rows, 1, 1], self)
    }
}
