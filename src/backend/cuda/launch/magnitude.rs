//! `kernels/magnitude.cu`: weight decomposition, and the last step of a product that could not be fused.

use super::super::{Address, Arguments, Launch};
use super::{Activation, MOST_SLOTS, family};

/// One term with magnitudes, as in [`crate::backend::LoraSlot`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MagnitudeSlot {
    pub a: i64,
    pub b: i64,
    pub magnitude: i64,
    /// -1 without.
    pub diagonal: i64,
    pub scale: f32,
    pub rank: i32,
    pub outputs: i32,
    pub column: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MagnitudeArguments {
    /// The clients' parameters.
    pub values: Address,
    /// `[outputs, inputs]`, of the first client.
    pub weight: Address,
    /// `[clients, outputs]`, single precision.
    pub inverse: Address,
    /// Laid out as `inverse`.
    pub factor: Address,
    /// Of a client's parameters.
    pub stride: i64,
    /// Elements from one client's weight to the next; 0 where all share one.
    pub weight_group: i64,
    pub slots: [MagnitudeSlot; MOST_SLOTS],
    pub count: i32,
    pub inputs: i32,
    pub outputs: i32,
    pub unused: i32,
}

/// `y = [y +] act(product factor + bias)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FinishArguments {
    /// `[rows, columns]`.
    pub product: Address,
    /// `[clients, columns]`, single precision, or null for 1.
    pub factor: Address,
    /// Of the first client, or null.
    pub bias: Address,
    /// `[rows, columns]`; may be the product.
    pub y: Address,
    /// Receives the activation's derivative, or null.
    pub derivative: Address,
    /// First row of each client and one more.
    pub offsets: Address,
    /// Elements from one client's bias to the next; 0 where all share one.
    pub bias_group: i64,
    pub columns: i32,
    pub accumulate: i32,
    pub activation: Activation,
    pub unused: i32,
}

// SAFETY: `repr(C)`, eight-byte fields first, an even number of four-byte fields after them.
unsafe impl Arguments for MagnitudeArguments {}
// SAFETY: as above.
unsafe impl Arguments for FinishArguments {}

family! {
    MAGNITUDE = "magnitude" {
        MAGNITUDES = "magnitudes" (MagnitudeArguments, 128, 0);
        FINISH = "finish_product" (FinishArguments, 128, 0);
    }
}

impl MagnitudeArguments {
    pub fn launch(&self, clients: usize) -> Launch {
        Launch::new(&MAGNITUDES, [(self.outputs as usize).div_ceil(4), clients, 1], self)
    }
}

impl FinishArguments {
    /// Clients of at most `most_rows` rows.
    pub fn launch(&self, clients: usize, most_rows: usize) -> Launch {
        Launch::new(&FINISH, [(most_rows * self.columns as usize).div_ceil(128), clients, 1], self)
    }
}
