//! Products too small for a packing GEMM: one attention head of one sequence.

use super::dispatch::LANES;
use super::scalar::Scalar;

/// A matrix whose element (i, j) is `data[i * row + j * column]`.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub column: usize,
}

/// `c = [c +] a b` for `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]`; rows of `b` and `c` are contiguous, `b_row` and `c_row`
/// apart.
///
/// Meant to be inlined into a `vectorised!` kernel. Every element is summed over `k` in order.
#[inline(always)]
pub(super) fn small_product<T: Scalar, const ACCUMULATE: bool>(
    (m, n, k): (usize, usize, usize),
    a: Strided<'_, T>,
    (b, b_row): (&[T], usize),
    (c, c_row): (&mut [T], usize),
) {
    const ROWS: usize = 4;
    let mut i = 0;
    while i + ROWS <= m {
        row_block::<T, ROWS, ACCUMULATE>(i, n, k, a, (b, b_row), (c, c_row));
        i += ROWS;
    }
    while i < m {
        row_block::<T, 1, ACCUMULATE>(i, n, k, a, (b, b_row), (c, c_row));
        i += 1;
    }
}

#[inline(always)]
fn row_block<T: Scalar, const ROWS: usize, const ACCUMULATE: bool>(
    i: usize,
    n: usize,
    k: usize,
    a: Strided<'_, T>,
    (b, b_row): (&[T], usize),
    (c, c_row): (&mut [T], usize),
) {
    let full = n - n % LANES;
    for j in (0..full).step_by(LANES) {
        let mut sums = [[T::ZERO; LANES]; ROWS];
        for p in 0..k {
            let b_lanes: &[T; LANES] = b[p * b_row + j..][..LANES].try_into().expect("LANES values");
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = a.data[(i + r) * a.row + p * a.column];
                for (sum, &b) in sums.iter_mut().zip(b_lanes) {
                    *sum += factor * b;
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let c = &mut c[(i + r) * c_row + j..][..LANES];
            if ACCUMULATE {
                for (c, &sum) in c.iter_mut().zip(sums) {
                    *c += sum;
                }
            } else {
                c.copy_from_slice(sums);
            }
        }
    }
    for j in full..n {
        for r in 0..ROWS {
            let mut sum = T::ZERO;
            for p in 0..k {
                sum += a.data[(i + r) * a.row + p * a.column] * b[p * b_row + j];
            }
            let c = &mut c[(i + r) * c_row + j];
            *c = if ACCUMULATE { *c + sum } else { sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition_at_odd_sizes_and_strides() {
        for (m, n, k) in [(1, 1, 1), (4, 16, 3), (5, 37, 7), (3, 15, 9), (9, 33, 2)] {
            let (b_row, c_row) = (n + 3, n + 1);
            let a: Vec<f64> = (0..m * k).map(|i| ((i * 7) % 11) as f64 - 4.0).collect();
            let b: Vec<f64> = (0..k * b_row).map(|i| ((i * 5) % 13) as f64 - 6.0).collect();
            let mut c = vec![f64::NAN; m * c_row];
            // `a` is stored transposed.
            let a_view = Strided { data: &a, row: 1, column: m };
            small_product::<_, false>((m, n, k), a_view, (&b, b_row), (&mut c, c_row));
            for i in 0..m {
                for j in 0..n {
                    let expected: f64 = (0..k).map(|p| a[i + p * m] * b[p * b_row + j]).sum();
                    assert_eq!(c[i * c_row + j], expected, "({i}, {j}) of {m} x {n} x {k}");
                }
                assert!(c[i * c_row + n].is_nan(), "wrote past a row");
            }
            let once = c.clone();
            small_product::<_, true>((m, n, k), a_view, (&b, b_row), (&mut c, c_row));
            assert!(c.iter().zip(&once).all(|(c, o)| c.is_nan() || *c == 2.0 * o), "accumulates");
        }
    }
}
