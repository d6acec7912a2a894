//! Tiles of products in the vector instructions of x86-64.
//!
//! Compilers do not keep this many sums in registers on their own. Every kernel computes an element by the same chain of
//! fused multiplications and additions, whatever the number of rows.

use super::tile::{PORTABLE_ROWS, WIDEST, portable_tile};
use std::arch::x86_64::*;

/// Which of the kernels below this CPU can run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Avx512,
    Avx2,
    None,
}

impl Width {
    pub(super) fn detect() -> Self {
        if is_x86_feature_detected!("avx512f") {
            Width::Avx512
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            Width::Avx2
        } else {
            Width::None
        }
    }

    /// Rows and columns of the next tile where so many columns are left, in whole or half `LANES`: as many as have their
    /// sums, a row of `b` and a factor in registers. The more of both, the fewer loads a multiplication.
    pub(super) fn tile_shape(self, columns: usize) -> (usize, usize) {
        match (self, columns) {
            (Width::Avx512, 16) => (12, 16),
            (Width::Avx512, 32 | 64) => (12, 32),
            (Width::Avx512, _) => (9, 48),
            // 4 x 24 would load less, but uses all 16 registers: compilers then keep a sum on the stack, which halves the speed.
            (Width::Avx2, _) => (6, 16),
            (Width::None, columns) => (PORTABLE_ROWS, columns.min(WIDEST)),
        }
    }
}

/// Summands between two checks for the end.
const UNROLLED: usize = 4;

/// Declares a kernel for tiles of `R` rows and `N` registers of columns, for an `a` with contiguous rows or any other.
macro_rules! kernel {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $store:ident, $spread:ident, $add:ident,
     $multiply:ident, $fused:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const R: usize, const N: usize, const CONTIGUOUS: bool>(
            k: usize,
            (a, a_row, a_column): (&[f32], usize, usize),
            (b, b_row): (&[f32], usize),
            (scale, accumulate): (f32, bool),
            (out, out_row): (&mut [f32], usize),
        ) {
            let a_column = if CONTIGUOUS { 1 } else { a_column };
            let last = k.saturating_sub(1);
            assert!(k == 0 || (R - 1) * a_row + last * a_column < a.len(), "a tile out of the bounds of a");
            assert!(k == 0 || last * b_row + N * $lanes <= b.len(), "a tile out of the bounds of b");
            assert!((R - 1) * out_row + N * $lanes <= out.len(), "a tile out of the bounds of the result");
            let mut sums = [[$zero(); N]; R];
            let (mut a, mut b, mut left) = (a.as_ptr(), b.as_ptr(), k);
            macro_rules! add_summands {
                ($count:expr) => {
                    for p in 0..$count {
                        // SAFETY: `left` summands are ahead, no fewer than the count, so the first two assertions bound
                        // all that is read.
                        unsafe {
                            let row = b.add(p * b_row);
                            let b: [_; N] = std::array::from_fn(|j| $load(row.add(j * $lanes)));
                            let column = a.add(p * a_column);
                            for (r, sums) in sums.iter_mut().enumerate() {
                                let x = $spread(*column.add(r * a_row));
                                for (sum, &b) in sums.iter_mut().zip(&b) {
                                    *sum = $fused(x, b, *sum);
                                }
                            }
                        }
                    }
                };
            }
            while left >= UNROLLED {
                add_summands!(UNROLLED);
                left -= UNROLLED;
                // Past the last summand they may point beyond the slices, but are not read any more.
                (a, b) = (a.wrapping_add(UNROLLED * a_column), b.wrapping_add(UNROLLED * b_row));
            }
            add_summands!(left);
            let scale = $spread(scale);
            for (r, sums) in sums.iter().enumerate() {
                for (j, &sum) in sums.iter().enumerate() {
                    let product = $multiply(sum, scale);
                    // SAFETY: r <= R - 1 and j <= N - 1, so the last assertion bounds what is read and written.
                    unsafe {
                        let to = out.as_mut_ptr().add(r * out_row + j * $lanes);
                        $store(to, if accumulate { $add(product, $load(to)) } else { product });
                    }
                }
            }
        }
    };
}

kernel!(
    avx512,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps
);
kernel!(
    avx2,
    "avx2,fma",
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);

/// As [`portable_tile`], for the columns and at most the rows of a [`Width::tile_shape`].
pub(super) fn tile(
    width: Width,
    shape: (usize, usize, usize),
    a: (&[f32], usize, usize),
    b: (&[f32], usize),
    how: (f32, bool),
    out: (&mut [f32], usize),
) {
    let (count, columns, k) = shape;
    macro_rules! by_shape {
        ($kernel:ident, $lanes:literal, $($columns:literal: $($rows:literal)*;)*) => {
            match (columns, count, a.2) {
                $($(
                    // SAFETY: `width`, which `detect` made, says that this CPU has the kernel's features; the kernel
                    // asserts the lengths of its slices.
                    ($columns, $rows, 1) => unsafe { $kernel::<$rows, { $columns / $lanes }, true>(k, a, b, how, out) },
                    // SAFETY: as above.
                    ($columns, $rows, _) => unsafe { $kernel::<$rows, { $columns / $lanes }, false>(k, a, b, how, out) },
                )*)*
                _ => unreachable!("a tile of {count} x {columns}"),
            }
        };
    }
    match width {
        Width::Avx512 => by_shape!(
            avx512, 16,
            16: 1 2 3 4 5 6 7 8 9 10 11 12;
            32: 1 2 3 4 5 6 7 8 9 10 11 12;
            48: 1 2 3 4 5 6 7 8 9;
        ),
        Width::Avx2 => by_shape!(avx2, 8, 16: 1 2 3 4 5 6;),
        Width::None => portable_tile(shape, a, b, how, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_this_cpu_equals_the_portable_one() {
        let widths: &[Width] = match Width::detect() {
            Width::Avx512 => &[Width::Avx512, Width::Avx2],
            Width::Avx2 => &[Width::Avx2],
            Width::None => &[],
        };
        for &width in widths {
            let shapes = [16, 32, 48].map(|columns| width.tile_shape(columns));
            for (count, columns) in shapes.into_iter().flat_map(|(rows, columns)| (1..=rows).map(move |r| (r, columns)))
            {
                // Small integers: exact in any order. `a` is stored transposed, or not.
                let a: Vec<f32> = (0..count * 9).map(|i| (i % 7) as f32 - 3.0).collect();
                let b: Vec<f32> = (0..9 * 51).map(|i| (i % 5) as f32 - 2.0).collect();
                for (how, a_strides, k) in
                    [((1.0, true), (1, count), 9), ((0.5, false), (9, 1), 9), ((1.0, false), (9, 1), 0)]
                {
                    let (mut expected, mut found) = (vec![1.0; count * 56], vec![1.0; count * 56]);
                    let (a, b) = ((a.as_slice(), a_strides.0, a_strides.1), (b.as_slice(), 51));
                    // In whole registers of its own; columns that are not the tile's are put back.
                    portable_tile((count, columns.next_multiple_of(16), k), a, b, how, (&mut expected, 56));
                    expected.chunks_mut(56).for_each(|row| row[columns..].fill(1.0));
                    tile(width, (count, columns, k), a, b, how, (&mut found, 56));
                    assert_eq!(found, expected, "{count} x {columns}");
                }
            }
        }
    }
}
