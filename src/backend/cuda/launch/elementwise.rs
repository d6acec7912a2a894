//! `kernels/elementwise.cu`: loops over single elements.

use super::super::{Address, Arguments, Launch};
use super::{Activation, family};
use crate::random::CounterStream;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PairArguments {
    pub x: Address,
    pub y: Address,
    pub len: i64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConvertArguments {
    pub single: Address,
    pub half: Address,
    pub len: i64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GateArguments {
    /// `[rows, 2 width]`, gate first.
    pub pairs: Address,
    /// `[rows, width]`, backward only.
    pub d_out: Address,
    pub out: Address,
    pub rows: i64,
    pub width: i32,
    pub activation: Activation,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScaleArguments {
    pub x: Address,
    /// Of the first client.
    pub factor: Address,
    /// `[rows, columns]`, or null.
    pub before: Address,
    pub offsets: Address,
    pub factor_group: i64,
    pub row: i32,
    pub column: i32,
    pub columns: i32,
    pub unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RotateArguments {
    pub x: Address,
    /// `[positions, half_width]`, single precision.
    pub cosine: Address,
    /// Negative for the gradient.
    pub sine: Address,
    /// `i32`, of each row in its sequence.
    pub positions: Address,
    pub rows: i64,
    pub heads: i32,
    pub half_width: i32,
    pub row: i32,
    pub column: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DropArguments {
    pub x: Address,
    pub out: Address,
    /// [`CounterKey`] of each client.
    pub keys: Address,
    /// `i64`, of each client in its batch.
    pub first_rows: Address,
    pub offsets: Address,
    pub share: f64,
    pub width: i32,
    pub accumulate: i32,
}

/// A counter-based stream as kernels take it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterKey {
    pub key: u64,
    pub tweak: u64,
}

impl From<CounterStream> for CounterKey {
    fn from(stream: CounterStream) -> Self {
        let (key, tweak) = stream.key();
        Self { key, tweak }
    }
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for PairArguments {}
// SAFETY: as above.
unsafe impl Arguments for ConvertArguments {}
// SAFETY: as above.
unsafe impl Arguments for GateArguments {}
// SAFETY: as above.
unsafe impl Arguments for ScaleArguments {}
// SAFETY: as above.
unsafe impl Arguments for RotateArguments {}
// SAFETY: as above.
unsafe impl Arguments for DropArguments {}

family! {
    ELEMENTWISE = "elementwise" {
        ADD = "add" (PairArguments, 256, 0);
        MULTIPLY = "multiply" (PairArguments, 256, 0);
        TO_HALF = "to_half_precision" (ConvertArguments, 256, 0);
        GATE_FORWARD = "gate_forward" (GateArguments, 256, 0);
        GATE_BACKWARD = "gate_backward" (GateArguments, 256, 0);
        SCALE_COLUMNS = "scale_columns" (ScaleArguments, 256, 0);
        ROTATE = "rotate" (RotateArguments, 256, 0);
        DROP = "drop" (DropArguments, 256, 0);
    }
}

fn blocks(elements: i64) -> usize {
    (elements as usize).div_ceil(256)
}

impl PairArguments {
    /// `y += x`.
    pub fn add(&self) -> Launch {
        Launch::new(&ADD, [blocks(self.len), 1, 1], self)
    }

    /// `y *= x`.
    pub fn multiply(&self) -> Launch {
        Launch::new(&MULTIPLY, [blocks(self.len), 1, 1], self)
    }
}

impl ConvertArguments {
    pub fn launch(&self) -> Launch {
        Launch::new(&TO_HALF, [blocks(self.len), 1, 1], self)
    }
}

impl GateArguments {
    pub fn forward(&self) -> Launch {
        Launch::new(&GATE_FORWARD, [blocks(self.rows * i64::from(self.width)), 1, 1], self)
    }

    pub fn backward(&self) -> Launch {
        Launch::new(&GATE_BACKWARD, [blocks(self.rows * i64::from(self.width)), 1, 1], self)
    }
}

impl ScaleArguments {
    pub fn launch(&self, clients: usize, most_rows: usize) -> Launch {
        Launch::new(&SCALE_COLUMNS, [blocks(most_rows as i64 * i64::from(self.columns)), clients, 1], self)
    }
}

impl RotateArguments {
    pub fn launch(&self) -> Launch {
        let pairs = i64::from(self.heads * self.half_width);
        Launch::new(&ROTATE, [blocks(self.rows * pairs), 1, 1], self)
    }
}

impl DropArguments {
    pub fn launch(&self, clients: usize, most_rows: usize) -> Launch {
        Launch::new(&DROP, [blocks(most_rows as i64 * i64::from(self.width)), clients, 1], self)
    }
}
