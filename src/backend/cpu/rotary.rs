//! Rotary positions (Su et al. 2021), paired by halves.

use super::dispatch::vectorised;
use super::scalar::Scalar;
use crate::backend::{Packing, Rotary};

/// Where the heads lie: rows `row` values apart, the first head at `column`.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub count: usize,
    pub row: usize,
    pub column: usize,
}

pub(super) fn rotate<T: Scalar>(packing: &Packing, rotary: &Rotary, heads: Heads, backwards: bool, values: &mut [T]) {
    let longest = packing.all_sequence_rows().map(|r| r.len()).max().unwrap_or(0);
    let direction = if backwards { -1.0 } else { 1.0 };
    let angles = (0..longest).flat_map(|p| rotary.inverse_frequencies.iter().map(move |f| p as f64 * f));
    let (cos, sin): (Vec<T>, Vec<T>) =
        angles.map(|angle| (T::from_f64(angle.cos()), T::from_f64(direction * angle.sin()))).unzip();
    for rows in packing.all_sequence_rows() {
        let values = &mut values[rows.start * heads.row..rows.end * heads.row];
        turn(values, heads, rotary.inverse_frequencies.len(), &cos, &sin);
    }
}

vectorised! {
    /// Turns the rows of one sequence; `cos` and `sin` are `[positions, half]`.
    fn turn<T>(values: &mut [T], heads: Heads, half: usize, cos: &[T], sin: &[T]) {
        let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (row, (cos, sin)) in values.chunks_exact_mut(heads.row).zip(tables) {
            for head in row[heads.column..][..heads.count * 2 * half].chunks_exact_mut(2 * half) {
                let (first, second) = head.split_at_mut(half);
                for ((a, b), (&cos, &sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}
