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
/// Every element is summed over `k` in order.
#[inline(always)]
pub(super) fn small_product<T: Scalar, const ACCUMULATE: bool>(
    (m, n, k): (usize, usize, usize),
    a: Strided<'_, T>,
    (b, b_row): (&[T], usize),
    (c, c_row): (&mut [T], usize),
) {
    let full = n - n % LANES;
    let mut j = 0;
    while j < full {
        let (tile_rows, columns) = T::tile_shape(full - j);
        for i in (0..m).step_by(tile_rows) {
            let shape = (tile_rows.min(m - i), columns, k);
            let (a, c) = ((&a.data[i * a.row..], a.row, a.column), (&mut c[i * c_row + j..], c_row));
            T::tile(shape, a, (&b[j..], b_row), (T::ONE, ACCUMULATE), c);
        }
        j += columns;
    }
    for j in full..n {
        for i in 0..m {
            let mut sum = T::ZERO;
            for p in 0..k {
                sum += a.data[i * a.row + p * a.column] * b[p * b_row + j];
            }
            let c = &mut c[i * c_row + j];
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
