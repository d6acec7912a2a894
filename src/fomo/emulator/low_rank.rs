//! The best approximation of a matrix by two thin ones (Eckart and Young 1936).

use nalgebra::{DMatrix, SymmetricEigen};

/// A matrix as a product: `left` is `outputs x rank` with orthonormal columns, `right` is `rank x inputs`; both row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    pub left: Vec<f32>,
    pub right: Vec<f32>,
    pub rank: usize,
}

/// The truncated singular value decomposition U S V^T of a row-major `outputs x inputs` matrix: `left` is U, `right` S V^T,
/// of the `rank` largest singular values.
///
/// By the eigenvectors of the smaller of W W^T and W^T W in 64 bits, several times quicker than a decomposition of W itself:
/// squaring halves the digits of small singular values only, and those are what is thrown away.
///
/// # Panics
/// If there are not `outputs * inputs` values, or `rank` is above the smaller side.
pub fn truncated_svd(values: &[f32], outputs: usize, inputs: usize, rank: usize) -> Factors {
    assert!(values.len() == outputs * inputs && rank <= outputs.min(inputs));
    let w = from_rows(outputs, inputs, values);
    let (left, right) = if outputs <= inputs {
        let u = leading_eigenvectors(&w * w.transpose(), rank);
        let right = u.transpose() * &w;
        (u, right)
    } else {
        let v = leading_eigenvectors(w.transpose() * &w, rank);
        let mut left = w * &v;
        let mut right = v.transpose();
        for (mut column, mut row) in left.column_iter_mut().zip(right.row_iter_mut()) {
            let singular = column.norm();
            if singular > 0.0 {
                column /= singular;
            }
            row *= singular;
        }
        (left, right)
    };
    Factors { left: row_major(&left), right: row_major(&right), rank }
}

/// The eigenvectors of the `rank` largest eigenvalues of a symmetric matrix, as columns, largest first.
fn leading_eigenvectors(symmetric: DMatrix<f64>, rank: usize) -> DMatrix<f64> {
    let eigen = SymmetricEigen::new(symmetric);
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    eigen.eigenvectors.select_columns(&order[..rank])
}

impl Factors {
    /// The matrix that the factors stand for, row-major.
    pub fn product(&self) -> Vec<f32> {
        let (left, right) = self.matrices();
        row_major(&(left * right))
    }

    /// The gradients of `left` and `right` from that of their product.
    pub fn gradients(&self, of_product: &[f32]) -> [Vec<f32>; 2] {
        let (left, right) = self.matrices();
        let of_product = from_rows(left.nrows(), right.ncols(), of_product);
        [row_major(&(&of_product * right.transpose())), row_major(&(left.transpose() * &of_product))]
    }

    fn matrices(&self) -> (DMatrix<f64>, DMatrix<f64>) {
        let side = |factor: &[f32]| factor.len() / self.rank.max(1);
        let (outputs, inputs) = (side(&self.left), side(&self.right));
        (from_rows(outputs, self.rank, &self.left), from_rows(self.rank, inputs, &self.right))
    }
}

fn from_rows(rows: usize, columns: usize, values: &[f32]) -> DMatrix<f64> {
    DMatrix::from_row_iterator(rows, columns, values.iter().map(|v| f64::from(*v)))
}

fn row_major(m: &DMatrix<f64>) -> Vec<f32> {
    m.transpose().iter().map(|v| *v as f32).collect()
}

/// Whether two factors are smaller than the matrix.
pub(crate) fn saves(outputs: u64, inputs: u64, rank: u64) -> bool {
    rank * (outputs + inputs) < outputs * inputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    fn matrix(outputs: usize, inputs: usize) -> Vec<f32> {
        let draw = CounterStream::new(5, 2);
        (0..outputs * inputs).map(|i| draw.normal(i as u64) as f32).collect()
    }

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_error_is_that_of_the_discarded_singular_values() {
        for (outputs, inputs) in [(12, 30), (30, 12), (9, 9)] {
            let w = matrix(outputs, inputs);
            // nalgebra's own decomposition, by another algorithm.
            let full = DMatrix::from_row_iterator(outputs, inputs, w.iter().map(|v| f64::from(*v)));
            let mut singular: Vec<f64> = full.singular_values().iter().copied().collect();
            singular.sort_by(|a, b| b.total_cmp(a));
            for rank in [1, 4, 8] {
                let expected = singular[rank..].iter().map(|s| s * s).sum::<f64>().sqrt();
                let got = distance(&w, &truncated_svd(&w, outputs, inputs, rank).product());
                assert!(
                    (got - expected).abs() < 1e-5 * (1.0 + expected),
                    "{outputs} x {inputs}, {rank}: {got} {expected}"
                );
            }
        }
    }

    #[test]
    fn full_rank_gives_the_matrix_back() {
        for (outputs, inputs) in [(12, 30), (30, 12)] {
            let w = matrix(outputs, inputs);
            let back = truncated_svd(&w, outputs, inputs, 12).product();
            assert!(w.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn the_left_factor_is_orthonormal_and_zeros_are_harmless() {
        let factors = truncated_svd(&matrix(20, 8), 20, 8, 3);
        for a in 0..3 {
            for b in 0..3 {
                let dot: f32 = factors.left.chunks(3).map(|row| row[a] * row[b]).sum();
                assert!((dot - if a == b { 1.0 } else { 0.0 }).abs() < 1e-5);
            }
        }
        assert!(truncated_svd(&[0.0; 24], 6, 4, 2).product().iter().all(|v| *v == 0.0));
    }
}
