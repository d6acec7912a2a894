//! Tiles of products in the vector instructions of x86-64.
//!
//! Compilers do not keep this many sums in registers on their own. Every kernel computes an element by the same chain of
//! fused multiplications and additions, whatever the number of rows.

use super::dispatch::LANES;
use super::tile::{PORTABLE_ROWS, WIDE, portable_tile};
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

    /// Rows whose sums, with a row of `b` and a factor, just fit the registers.
    pub(super) fn tile_rows(self) -> usize {
        match self {
            Width::Avx512 => 12,
            Width::Avx2 => 3,
            Width::None => PORTABLE_ROWS,
        }
    }
}

/// Declares a kernel for tiles of `R` rows and `N` registers of columns.
macro_rules! kernel {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $store:ident, $spread:ident, $add:ident,
     $multiply:ident, $fused:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const R: usize, const N: usize>(
            k: usize,
            (a, a_row, a_column): (&[f32], usize, usize),
            (b, b_row): (&[f32], usize),
            (scale, accumulate): (f32, bool),
            (out, out_row): (&mut [f32], usize),
        ) {
            let last = k.saturating_sub(1);
            assert!(k == 0 || (R - 1) * a_row + last * a_column < a.len(), "a tile out of the bounds of a");
            assert!(k == 0 || last * b_row + N * $lanes <= b.len(), "a tile out of the bounds of b");
            assert!((R - 1) * out_row + N * $lanes <= out.len(), "a tile out of the bounds of the result");
            let mut sums = [[$zero(); N]; R];
            for p in 0..k {
                // SAFETY: p <= last, r <= R - 1 and j <= N - 1, so the first two assertions bound all that is read.
                unsafe {
                    let row = b.as_ptr().add(p * b_row);
                    let b: [_; N] = std::array::from_fn(|j| $load(row.add(j * $lanes)));
                    let column = a.as_ptr().add(p * a_column);
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = $spread(*column.add(r * a_row));
                        for (sum, &b) in sums.iter_mut().zip(&b) {
                            *sum = $fused(x, b, *sum);
                        }
                    }
                }
            }
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

/// As [`portable_tile`], for at most [`Width::tile_rows`] rows.
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
        ($kernel:ident, $lanes:literal, $($rows:literal)*) => {
            match (count, columns) {
                $(
                    // SAFETY: `width`, which `detect` made, says that this CPU has the kernel's features; the kernel
                    // asserts the lengths of its slices.
                    ($rows, WIDE) => unsafe { $kernel::<$rows, { WIDE / $lanes }>(k, a, b, how, out) },
                    // SAFETY: as above.
                    ($rows, LANES) => unsafe { $kernel::<$rows, { LANES / $lanes }>(k, a, b, how, out) },
                )*
                _ => unreachable!("a tile of {count} x {columns}"),
            }
        };
    }
    match width {
        Width::Avx512 => by_shape!(avx512, 16, 1 2 3 4 5 6 7 8 9 10 11 12),
        Width::Avx2 => by_shape!(avx2, 8, 1 2 3),
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
            for (count, columns) in (1..=width.tile_rows()).flat_map(|count| [(count, LANES), (count, WIDE)]) {
                // Small integers: exact in any order. `a` is stored transposed.
                let a: Vec<f32> = (0..count * 9).map(|i| (i % 7) as f32 - 3.0).collect();
                let b: Vec<f32> = (0..9 * 35).map(|i| (i % 5) as f32 - 2.0).collect();
                for how in [(1.0, true), (0.5, false)] {
                    let (mut expected, mut found) = (vec![1.0; count * 40], vec![1.0; count * 40]);
                    let (shape, a, b) = ((count, columns, 9), (a.as_slice(), 1, count), (b.as_slice(), 35));
                    portable_tile(shape, a, b, how, (&mut expected, 40));
                    tile(width, shape, a, b, how, (&mut found, 40));
                    assert_eq!(found, expected, "{count} x {columns}");
                }
            }
        }
    }
}
