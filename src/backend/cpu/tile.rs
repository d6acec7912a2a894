//! The innermost piece of every product written here: a few rows by one to three wide registers of columns, for any CPU.

use super::dispatch::{LANES, vectorised};
use super::scalar::Scalar;

/// The most columns that a tile has.
pub(super) const WIDEST: usize = 3 * LANES;

/// The most values of a tile on any CPU.
pub(super) const MOST_VALUES: usize = 9 * WIDEST;

/// Rows of a portable tile.
pub(super) const PORTABLE_ROWS: usize = 4;

vectorised! {
    /// The definition of [`Scalar::tile`], for at most `PORTABLE_ROWS` rows.
    pub(super) fn portable_tile<T>(
        shape: (usize, usize, usize),
        a: (&[T], usize, usize),
        b: (&[T], usize),
        how: (T, bool),
        out: (&mut [T], usize),
    ) {
        let ((count, columns, k), (a, a_row, a_column), (out, out_row)) = (shape, a, out);
        for j in (0..columns).step_by(LANES) {
            if count == PORTABLE_ROWS {
                row_block::<T, PORTABLE_ROWS>((j, k), (a, a_row, a_column), b, how, (&mut out[j..], out_row));
                continue;
            }
            for r in 0..count {
                let out = (&mut out[r * out_row + j..], out_row);
                row_block::<T, 1>((j, k), (&a[r * a_row..], a_row, a_column), b, how, out);
            }
        }
    }
}

/// `LANES` columns from column `j` of `b`; `out` starts at them.
#[inline(always)]
fn row_block<T: Scalar, const ROWS: usize>(
    (j, k): (usize, usize),
    (a, a_row, a_column): (&[T], usize, usize),
    (b, b_row): (&[T], usize),
    (scale, accumulate): (T, bool),
    (out, out_row): (&mut [T], usize),
) {
    let mut sums = [[T::ZERO; LANES]; ROWS];
    for p in 0..k {
        let b_lanes: &[T; LANES] = b[p * b_row + j..][..LANES].try_into().expect("LANES values");
        for (r, sums) in sums.iter_mut().enumerate() {
            let factor = a[r * a_row + p * a_column];
            for (sum, &b) in sums.iter_mut().zip(b_lanes) {
                *sum += factor * b;
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (o, &sum) in out[r * out_row..][..LANES].iter_mut().zip(sums) {
            *o = if accumulate { *o + scale * sum } else { scale * sum };
        }
    }
}
