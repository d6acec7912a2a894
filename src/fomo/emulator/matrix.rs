//! Parts of matrices: taking rows and columns out, and putting them back.

/// A row-major matrix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub values: Vec<f32>,
    pub rows: usize,
    pub columns: usize,
}

impl Matrix {
    /// The chosen rows and columns of the matrix with `values`.
    pub fn selected(values: &[f32], rows: &[bool], columns: &[bool]) -> Self {
        let chosen = values.chunks(columns.len()).zip(rows).filter(|(_, left)| **left);
        let of_row =
            |row: &[f32]| -> Vec<f32> { row.iter().zip(columns).filter(|(_, l)| **l).map(|(v, _)| *v).collect() };
        let values = chosen.flat_map(|(row, _)| of_row(row)).collect();
        let count = |left: &[bool]| left.iter().filter(|l| **l).count();
        Self { values, rows: count(rows), columns: count(columns) }
    }

    /// The larger matrix whose chosen rows and columns are this one, and which is 0 elsewhere.
    pub fn scattered(self, rows: &[bool], columns: &[bool]) -> Vec<f32> {
        let mut values = self.values.into_iter();
        let mut all = vec![0.0; rows.len() * columns.len()];
        for (row, _) in all.chunks_mut(columns.len()).zip(rows).filter(|(_, left)| **left) {
            for (entry, _) in row.iter_mut().zip(columns).filter(|(_, left)| **left) {
                *entry = values.next().unwrap_or_default();
            }
        }
        all
    }
}

/// The `columns x rows` matrix out of the `rows x columns` one.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_can_be_put_back() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let (rows, columns) = ([true, false], [true, false, true]);
        let part = Matrix::selected(&values, &rows, &columns);
        assert_eq!(part, Matrix { values: vec![1.0, 3.0], rows: 1, columns: 2 });
        assert_eq!(part.scattered(&rows, &columns), [1.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
        assert_eq!(transposed(&values, 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(transposed(&transposed(&values, 2, 3), 3, 2), values);
    }
}
