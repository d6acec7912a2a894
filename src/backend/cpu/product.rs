//! Matrix products: by the `gemm` crate, and by panels where a matrix is frozen.

use super::Storage;
use super::packed::Panels;
use super::scalar::Scalar;

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

#[cfg(test)]
mod tests {
    use super::super::Exact;
    use super::*;

    fn made_up(len: usize, salt: u64) -> Vec<f32> {
        let stream = crate::random::CounterStream::new(3, salt);
        (0..len as u64).map(|i| stream.uniform(i) as f32 - 0.5).collect()
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
