//! Frozen matrices: in half precision, or in the few bits that a checkpoint holds them in.

use super::arena::{Block, Purpose};
use super::buffer::{Kind, Matrix};
use super::launch::{Bits, Output, QuantiseArguments, QuantisedArguments};
use super::tables::bytes_of;
use super::{Address, Cuda};
use crate::backend::{Linear, QuantisedMatrix};

/// Scales and shape of a matrix in few bits.
pub(super) struct FewBits {
    bits: Bits,
    scales: Block,
    rows: usize,
    columns: usize,
    group: usize,
}

impl FewBits {
    fn groups(&self) -> usize {
        self.columns / self.group
    }
}

/// A matrix in half precision for one operation.
pub(super) struct Lent {
    address: Address,
    /// Where it was made for this operation.
    _made: Option<Block>,
}

impl Lent {
    pub fn address(&self) -> Address {
        self.address
    }
}

impl Cuda {
    /// As it is, if kernels read matrices of its kind.
    pub(super) fn few_bits(&self, matrix: &QuantisedMatrix) -> Option<Matrix> {
        let bits = match matrix.bits {
            8 => Bits::Eight,
            4 => Bits::Four,
            _ => return None,
        };
        let (columns, group) = (matrix.columns, matrix.group);
        if columns % group != 0 || group % 8 != 0 {
            return None;
        }
        let block = self.uploaded(&matrix.weights, Purpose::FrozenMatrices);
        let scales = self.uploaded(bytes_of(&matrix.scales), Purpose::FrozenMatrices);
        Some(Matrix { block, few_bits: Some(FewBits { bits, scales, rows: matrix.rows(), columns, group }) })
    }

    /// In half precision, made anew where it is held in few bits.
    pub(super) fn in_half_precision(&self, matrix: &Matrix) -> Lent {
        let Some(few) = &matrix.few_bits else {
            return Lent { address: matrix.block.address(), _made: None };
        };
        let made = self.working(Kind::Half, few.rows * few.columns);
        let arguments = QuantiseArguments {
            values: made.address(),
            w: matrix.block.address(),
            scales: few.scales.address(),
            rows: few.rows as i32,
            columns: few.columns as i32,
            w_row: few.bits.row_bytes(few.columns) as i32,
            bits: few.bits.number() as i32,
            group: few.group as i32,
            groups: few.groups() as i32,
        };
        self.run(arguments.dequantise());
        Lent { address: made.address(), _made: Some(made) }
    }

    /// `a W^T`, or `backwards` `a W`, of `rows` rows with a frozen matrix in few bits; whether it was one, and `out` one for all
    /// clients.
    pub(super) fn few_bits_product(
        &self,
        layer: &Linear<Self>,
        backwards: bool,
        (rows, a): (usize, Address),
        out: Output,
    ) -> bool {
        let Some(few) = layer.weight.few_bits.as_ref().filter(|_| out.bias_group == 0) else { return false };
        let (n, k) = if backwards { (few.columns, few.rows) } else { (few.rows, few.columns) };
        let arguments = QuantisedArguments {
            a,
            w: layer.weight.block.address(),
            scales: few.scales.address(),
            out,
            m: rows as i32,
            n: n as i32,
            k: k as i32,
            a_row: k as i32,
            w_row: few.bits.row_bytes(few.columns) as i32,
            group: few.group as i32,
            groups: few.groups() as i32,
            unused: 0,
        };
        self.run(if backwards { arguments.backward(few.bits) } else { arguments.forward(few.bits) });
        true
    }
}
