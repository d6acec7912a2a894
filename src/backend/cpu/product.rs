//! Matrix products: by panels where a matrix is frozen, by tiles where one is thin, by the `gemm` crate otherwise.

use super::Storage;
use super::dispatch::LANES;
use super::packed::{Panels, edge_tile};
use super::scalar::Scalar;
use std::borrow::Cow;

/// A frozen matrix, laid out once for each of its two products.
pub struct CpuMatrix<T> {
    /// `W^T` `[inputs, outputs]`, for `x W^T`.
    forward: Panels<T>,
    /// `W` `[outputs, inputs]`, for `dy W`.
    backward: Panels<T>,
}

impl<T: Scalar> CpuMatrix<T> {
    pub(super) fn new<S: Storage<T>>(values: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(values.len(), outputs * inputs, "a matrix of {outputs} x {inputs}");
        let mut stored: Vec<T> = values.iter().map(|&v| T::from_f32(v)).collect();
        S::store(&mut stored);
        let at = |output, input| stored[output * inputs + input];
        Self { forward: Panels::new(inputs, outputs, |i, o| at(o, i)), backward: Panels::new(outputs, inputs, at) }
    }

    /// `[outputs, inputs]`, row-major.
    pub(super) fn values(&self) -> Vec<T> {
        self.backward.row_major()
    }

    /// `y = [y +] scale * x W^T` for every row of `x`.
    pub(super) fn product(&self, rows: usize, x: &[T], scale: T, accumulate: bool, y: &mut [T]) {
        self.forward.product(rows, x, scale, accumulate, y);
    }

    /// `dx = [dx +] scale * dy W` for every row of `dy`.
    pub(super) fn gradient(&self, rows: usize, dy: &[T], scale: T, accumulate: bool, dx: &mut [T]) {
        self.backward.product(rows, dy, scale, accumulate, dx);
    }
}

/// `(m, n, k)` of a product `[m, k] [k, n]`.
pub(super) type Shape = (usize, usize, usize);

/// A matrix whose element (i, j) is `data[i * row + j * column]`.
#[derive(Clone, Copy)]
pub(super) struct View<'a, T> {
    data: &'a [T],
    row: usize,
    column: usize,
}

impl<'a, T> View<'a, T> {
    pub(super) fn rows(data: &'a [T], row: usize) -> Self {
        Self { data, row, column: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// Columns or inner indices of a product that is too thin for the `gemm` crate to gain anything by ordering its factors: most of
/// the low-rank ones.
const THIN: usize = 64;

/// `out = [out +] scale * a b` for `a` `[m, k]`, `b` `[k, n]`; rows of `out` are `out_row` apart.
pub(super) fn product<T: Scalar>(
    (m, n, k): Shape,
    a: View<'_, T>,
    b: View<'_, T>,
    scale: T,
    accumulate: bool,
    out: &mut [T],
    out_row: usize,
) {
    assert!(a.holds(m, k) && b.holds(k, n) && View::rows(out, out_row).holds(m, n), "a product out of bounds");
    let in_place = b.column == 1 && n % LANES == 0;
    if k > 0 && (n.min(k) <= THIN || (m <= LANES && in_place)) {
        return thin((m, n, k), a, b, (scale, accumulate), (out, out_row));
    }
    // SAFETY: every element that the strides reach lies inside its slice, as just checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            if accumulate { T::ONE } else { T::ZERO },
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// As [`product`], each element summed in the order of the inner index.
fn thin<T: Scalar>(
    (m, n, k): Shape,
    a: View<'_, T>,
    b: View<'_, T>,
    how: (T, bool),
    (out, out_row): (&mut [T], usize),
) {
    let padded = n.next_multiple_of(LANES);
    let (b, b_row) = match b.column {
        1 if padded == n => (Cow::from(b.data), b.row),
        _ => {
            let mut rows = vec![T::ZERO; k * padded];
            for (p, row) in rows.chunks_exact_mut(padded).enumerate() {
                for (v, &x) in row[..n].iter_mut().zip(b.data[p * b.row..].iter().step_by(b.column)) {
                    *v = x;
                }
            }
            (Cow::from(rows), padded)
        }
    };
    let mut first = 0;
    while first < n {
        let (tile_rows, wide) = T::tile_shape(padded - first);
        for row in (0..m).step_by(tile_rows) {
            let shape = (tile_rows.min(m - row), wide, k);
            let (a, b) = ((&a.data[row * a.row..], a.row, a.column), (&b[first..], b_row));
            let out = (&mut out[row * out_row + first..], out_row);
            match n - first {
                left if left < wide => edge_tile(shape, left, a, b, how, out),
                _ => T::tile(shape, a, b, how, out),
            }
        }
        first += wide;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Exact;
    use super::*;

    fn made_up(len: usize, salt: u64) -> Vec<f32> {
        let stream = crate::random::CounterStream::new(3, salt);
        (0..len as u64).map(|i| stream.uniform(i) as f32 - 0.5).collect()
    }

    #[test]
    fn thin_products_equal_the_definition() {
        for (m, n, k) in [(30, 8, 50), (50, 8, 30), (8, 50, 30), (13, 96, 8), (1, 1, 1), (20, 70, 3), (9, 48, 100)] {
            let (a, b): (Vec<f32>, Vec<f32>) = (made_up(m * k, 1), made_up(k * n, 2));
            for (a_transposed, b_transposed, scale, accumulate) in [
                (false, false, 1.0, false),
                (true, false, 0.5, true),
                (false, true, 2.0, true),
                (true, true, 1.0, false),
            ] {
                let a = if a_transposed { View::rows(&a, m).transposed() } else { View::rows(&a, k) };
                let b = if b_transposed { View::rows(&b, k).transposed() } else { View::rows(&b, n) };
                let mut out = vec![1.0; m * (n + 3)];
                product((m, n, k), a, b, scale, accumulate, &mut out, n + 3);
                for (i, row) in out.chunks_exact(n + 3).enumerate() {
                    for (j, &found) in row[..n].iter().enumerate() {
                        let term = |p| f64::from(a.data[i * a.row + p * a.column] * b.data[p * b.row + j * b.column]);
                        let sum = (0..k).map(term).sum::<f64>() * f64::from(scale) + f64::from(u8::from(accumulate));
                        assert!((f64::from(found) - sum).abs() < 1e-5, "({i}, {j}) of {m} x {n} x {k}");
                    }
                    assert_eq!(row[n..], [1.0; 3], "wrote past a row");
                }
            }
        }
    }

    #[test]
    fn rows_of_a_frozen_product_do_not_depend_on_how_many_there_are() {
        const MOST: usize = 330;
        for (n, k) in [(384, 384), (1152, 384), (1536, 384), (384, 1536), (70, 1100), (21, 37)] {
            let (w, x) = (CpuMatrix::<f32>::new::<Exact>(&made_up(n * k, 1), n, k), made_up(MOST * k.max(n), 2));
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let (mut all, mut all_back) = (vec![0.0; MOST * n], vec![0.0; MOST * k]);
            w.product(MOST, &x, 1.0, false, &mut all);
            w.gradient(MOST, &x, 1.0, false, &mut all_back);
            for m in [1, 2, 3, 5, 16, 63, 64, 65, 129, 320] {
                let first = MOST - m;
                let (mut y, mut dx) = (vec![0.0; m * n], vec![0.0; m * k]);
                w.product(m, &x[first * k..], 1.0, false, &mut y);
                w.gradient(m, &x[first * n..], 1.0, false, &mut dx);
                assert_eq!(bits(&y), bits(&all[first * n..]), "{m} rows of {n} x {k}");
                assert_eq!(bits(&dx), bits(&all_back[first * k..]), "{m} rows of {k} x {n}");
            }
        }
    }
}
