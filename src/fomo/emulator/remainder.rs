//! What an emulator leaves of one tensor, as numbers of its own, and how the tensor follows from them.
//!
//! The numbers are the entries that were not pruned, or two factors of those. Rounding is part of the way from the
//! numbers to the tensor, so that whoever adjusts the numbers keeps the emulator's shape and bytes. Backwards, what was
//! pruned gets no gradient, factors theirs by the chain rule, and rounding passes the gradient on as it is (straight
//! through; Bengio, Léonard and Courville 2013, arXiv 1308.3432).

use super::low_rank::{self, Factors};
use super::matrix::Matrix;
use super::quantise;

/// The form of one `rows x columns` tensor; a vector is a matrix of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Remainder {
    /// Which rows and columns are left.
    rows: Vec<bool>,
    columns: Vec<bool>,
    /// Of the two factors in place of what is left.
    rank: Option<usize>,
    bits: Option<u32>,
}

impl Remainder {
    pub(super) fn new(rows: Vec<bool>, columns: Vec<bool>, rank: Option<usize>, bits: Option<u32>) -> Self {
        let left = |flags: &[bool]| flags.iter().filter(|left| **left).count() as u64;
        let (outputs, inputs) = (left(&rows), left(&columns));
        let rank = rank.filter(|rank| low_rank::saves(outputs, inputs, *rank as u64));
        Self { rows, columns, rank, bits }
    }

    /// Everything is left, as it is.
    pub(super) fn whole(rows: usize, columns: usize) -> Self {
        Self { rows: vec![true; rows], columns: vec![true; columns], rank: None, bits: None }
    }

    fn shape(&self) -> (usize, usize) {
        let left = |flags: &[bool]| flags.iter().filter(|left| **left).count();
        (left(&self.rows), left(&self.columns))
    }

    /// The numbers, not rounded, that come nearest to the tensor with `values`.
    pub fn of(&self, values: &[f32]) -> Vec<f32> {
        let left = Matrix::selected(values, &self.rows, &self.columns);
        match self.rank {
            Some(rank) => {
                let Factors { left, right, .. } = low_rank::truncated_svd(&left.values, left.rows, left.columns, rank);
                [left, right].concat()
            }
            None => left.values,
        }
    }

    /// The tensor that follows from `numbers`.
    pub fn tensor(&self, numbers: &[f32]) -> Vec<f32> {
        let (rows, columns) = self.shape();
        let values = match self.rank {
            Some(rank) => self.factors(numbers, rank).product(),
            None => self.rounded(numbers, columns),
        };
        Matrix { values, rows, columns }.scattered(&self.rows, &self.columns)
    }

    /// The gradient of the numbers from that of the tensor.
    pub fn gradient(&self, numbers: &[f32], of_tensor: &[f32]) -> Vec<f32> {
        let of_left = Matrix::selected(of_tensor, &self.rows, &self.columns).values;
        match self.rank {
            Some(rank) => self.factors(numbers, rank).gradients(&of_left).concat(),
            None => of_left,
        }
    }

    fn factors(&self, numbers: &[f32], rank: usize) -> Factors {
        let (rows, columns) = self.shape();
        let (left, right) = numbers.split_at(rows * rank);
        Factors { left: self.rounded(left, rank), right: self.rounded(right, columns), rank }
    }

    fn rounded(&self, numbers: &[f32], columns: usize) -> Vec<f32> {
        let mut rounded = numbers.to_vec();
        if let Some(bits) = self.bits {
            quantise::round_to_nearest(&mut rounded, columns, bits);
        }
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    const ROWS: usize = 10;
    const COLUMNS: usize = 12;

    fn draw(seed: u64, n: usize) -> Vec<f32> {
        let stream = CounterStream::new(seed, 6);
        (0..n).map(|i| stream.normal(i as u64) as f32).collect()
    }

    fn narrow(rank: Option<usize>, bits: Option<u32>) -> Remainder {
        let rows = (0..ROWS).map(|i| i % 3 != 1).collect();
        Remainder::new(rows, (0..COLUMNS).map(|i| i != 4).collect(), rank, bits)
    }

    #[test]
    fn what_is_left_whole_comes_back_as_it_was_and_what_is_pruned_is_zero() {
        let values = draw(1, ROWS * COLUMNS);
        let whole = Remainder::whole(ROWS, COLUMNS);
        assert_eq!(whole.tensor(&whole.of(&values)), values);
        for remainder in [narrow(None, None), narrow(None, Some(4)), narrow(Some(2), None), narrow(Some(2), Some(8))] {
            let tensor = remainder.tensor(&remainder.of(&values));
            for (i, value) in tensor.iter().enumerate() {
                let left = i / COLUMNS % 3 != 1 && i % COLUMNS != 4;
                assert!(left || *value == 0.0, "{remainder:?}, entry {i}");
            }
            assert!(tensor.iter().any(|value| *value != 0.0));
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let (values, weights) = (draw(2, ROWS * COLUMNS), draw(3, ROWS * COLUMNS));
        // A weighted sum of the tensor's entries, whose gradient by the tensor are the weights.
        let sum = |tensor: &[f32]| tensor.iter().zip(&weights).map(|(t, w)| f64::from(*t) * f64::from(*w)).sum::<f64>();
        for remainder in [narrow(None, None), narrow(Some(3), None)] {
            let numbers = remainder.of(&values);
            let gradient = remainder.gradient(&numbers, &weights);
            assert_eq!(gradient.len(), numbers.len());
            for i in 0..numbers.len() {
                let at = |step: f32| {
                    let mut moved = numbers.clone();
                    moved[i] += step;
                    sum(&remainder.tensor(&moved))
                };
                let slope = (at(0.05) - at(-0.05)) / 0.1;
                assert!((slope - f64::from(gradient[i])).abs() < 1e-3 * (1.0 + slope.abs()), "{i}: {slope}");
            }
        }
    }

    #[test]
    fn rounding_passes_the_gradient_on() {
        let (values, weights) = (draw(4, ROWS * COLUMNS), draw(5, ROWS * COLUMNS));
        let (plain, rounded) = (narrow(None, None), narrow(None, Some(4)));
        let numbers = plain.of(&values);
        assert_ne!(plain.tensor(&numbers), rounded.tensor(&numbers));
        assert_eq!(plain.gradient(&numbers, &weights), rounded.gradient(&numbers, &weights));
    }
}
