//! Whether the kernels for one architecture agree with those for all, on the card that is there: a mistake in what only it can
//! check, such as the bits of a matrix descriptor, then costs time and nothing else.

use super::buffer::Kind;
use super::launch::{Grouped, Output, Product, ProductArguments, ProductKind, Tile};
use super::tables::bytes_of;
use super::{Address, Cuda};
use half::f16;

/// Several tiles, the last ones not full, and a depth that is no multiple of a stage.
const SHAPE: [usize; 3] = [136, 264, 152];

impl Cuda {
    /// Whether products of every kind by warpgroups are, to the last bit, those of `product.cu`: their factors are such that
    /// every sum of products is a number of single precision, so that no order of adding rounds.
    pub(super) fn warpgroups_agree(&self) -> bool {
        let [m, n, k] = SHAPE;
        // Eighths of whole numbers up to 8 in magnitude: sums of 152 products are whole 64ths below 2^8.
        let made_up = |len: usize, salt: usize| {
            let value = |i: usize| f16::from_f32(((i * 37 + i / 7 * salt) % 17) as f32 / 8.0 - 1.0);
            (0..len).map(value).collect::<Vec<f16>>()
        };
        let (a, b) = (made_up(m * k, 5), made_up(n * k, 11));
        let (a, b) = (self.half_table(&a), self.half_table(&b));
        let sums = self.working(Kind::Single, m * n);
        [ProductKind::Nt, ProductKind::Nn, ProductKind::Tn].into_iter().all(|kind| {
            let (a_row, b_row) = match kind {
                ProductKind::Nt => (k, k),
                ProductKind::Nn => (k, n),
                ProductKind::Tn => (m, n),
            };
            let by = |tile: Tile| -> Vec<f32> {
                self.zero_bytes(sums.address(), Kind::Single.bytes() * m * n);
                let [m, n, k, a_row, b_row] = [m, n, k, a_row, b_row].map(|length| length as i32);
                let arguments = ProductArguments {
                    a: a.address(),
                    b: b.address(),
                    offsets: Address::NULL,
                    out: Output::sums(sums.address(), n as usize, 1.0),
                    a_group: 0,
                    b_group: 0,
                    out_group: 0,
                    m,
                    n,
                    k,
                    a_row,
                    b_row,
                    grouped: Grouped::ByStride,
                };
                self.run(Product { kind, tile, groups: 1, arguments }.launch());
                self.fetched(sums.address(), SHAPE[0] * SHAPE[1])
            };
            by(Tile::OfWarpgroups) == by(Tile::Of64)
        })
    }

    fn half_table(&self, values: &[f16]) -> super::arena::Block {
        self.uploaded(bytes_of(values), super::Purpose::Working)
    }
}
