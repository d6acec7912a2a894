//! Arrays in device memory, and what they hold.

use super::arena::Block;
use super::matrix::FewBits;

/// How the numbers of a buffer are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// 16 bits: activations, their gradients, parameters.
    #[default]
    Half,
    /// 32 bits: sums, such as gradients of parameters.
    Single,
}

impl Kind {
    pub fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
        }
    }
}

/// A growable array in device memory.
#[derive(Default)]
pub struct Buffer {
    pub(super) block: Option<Block>,
    pub(super) kind: Kind,
}

/// A frozen matrix `[outputs, inputs]`, in half precision unless it is in few bits; both of its products read it as it is.
pub struct Matrix {
    pub(super) block: Block,
    pub(super) few_bits: Option<FewBits>,
}
