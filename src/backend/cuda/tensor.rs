//! What bulk tensor copies bring boxes of, and what a driver makes of it (`kernels/bulk.cuh`).

use super::Address;

/// Bytes of a row of a box: what the swizzle of 128 bytes takes.
const BOX_ROW: usize = 128;

/// Matrices of half-precision numbers, and the box that one copy brings: along what is contiguous in memory, rows, matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub address: Address,
    /// Elements, rows and matrices; what a box covers beyond them becomes zeros.
    pub extents: [u64; 3],
    /// Bytes from one row, and from one matrix, to the next.
    pub strides: [u64; 2],
    pub box_extents: [u32; 3],
}

impl Tensor {
    /// `count` matrices of `rows` rows of `columns` numbers, rows `row` numbers apart and matrices `matrix`; copies bring
    /// `box_rows` rows of 64 numbers. `None` where no map of it can be made: "Tensor Map Object Management" in the manual of the
    /// driver's functions says what it takes.
    pub fn new(
        address: Address,
        [columns, rows, count]: [usize; 3],
        [row, matrix]: [usize; 2],
        box_rows: usize,
    ) -> Option<Self> {
        const ALIGNED: u64 = 16;
        const MOST_EXTENT: u64 = 1 << 32;
        const STRIDES_BELOW: u64 = 1 << 40;
        const MOST_BOX_ROWS: usize = 256;
        let extents = [columns, rows, count].map(|extent| extent as u64);
        let row_bytes = 2 * row as u64;
        // Of one matrix nobody asks for the next.
        let matrix_bytes = if count == 1 { row_bytes * rows as u64 } else { 2 * matrix as u64 };
        let strides = [row_bytes, matrix_bytes];
        let possible = address.0.is_multiple_of(ALIGNED)
            && extents.iter().all(|extent| (1..=MOST_EXTENT).contains(extent))
            && strides.iter().all(|stride| stride.is_multiple_of(ALIGNED) && *stride < STRIDES_BELOW)
            && (1..=MOST_BOX_ROWS).contains(&box_rows);
        possible.then_some(Self { address, extents, strides, box_extents: [(BOX_ROW / 2) as u32, box_rows as u32, 1] })
    }
}

/// What a driver makes of a [`Tensor`] for the card to read; opaque.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorMap(pub [u64; 16]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_want_multiples_of_sixteen_bytes_and_extents_that_a_driver_takes() {
        let of = |address, extents, strides| Tensor::new(Address(address), extents, strides, 128);
        let tensor = of(4096, [13, 7, 1], [16, 5]).expect("possible");
        assert_eq!((tensor.extents, tensor.strides), ([13, 7, 1], [32, 224]));
        assert_eq!(of(4096, [13, 7, 3], [16, 200]).expect("possible").strides, [32, 400]);
        for (address, extents, strides) in [
            (4104, [13, 7, 1], [16, 0]),
            (4096, [13, 7, 1], [13, 0]),
            (4096, [13, 7, 3], [16, 204]),
            (4096, [0, 7, 1], [16, 0]),
            (4096, [13, (1 << 32) + 1, 1], [16, 0]),
            (4096, [13, 7, 2], [16, 1 << 39]),
        ] {
            assert_eq!(of(address, extents, strides), None, "{address} {extents:?} {strides:?}");
        }
    }
}
