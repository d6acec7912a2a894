//! Which columns of the feed-forward layer and which heads of a block are left when it is made narrower.
//!
//! Structured pruning by magnitude (Han et al. 2015 for single weights; Li et al. 2017 for whole filters): what is removed
//! is removed as a whole, so that matrices really get smaller. The weight of a column is the product of the norms of all
//! that its signal passes, and likewise that of a head: a column or head with a zero anywhere on its path counts nothing.
//! Heads that share keys and values stay or go together.

use crate::fomo::architecture::Architecture;
use crate::fomo::projection::Projection;

/// What is left of one block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Widths {
    /// Of the feed-forward layer's inner columns.
    pub ffn: Vec<bool>,
    /// Of the groups of heads that share keys and values.
    pub groups: Vec<bool>,
}

/// How many of `all` are left at a `share`: at least one.
pub(crate) fn left_of(all: usize, share: f64) -> usize {
    ((all as f64 * share).round() as usize).clamp(1, all)
}

/// The `keep` largest of `scores`; the first of equals.
pub(super) fn largest(scores: &[f64], keep: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut left = vec![false; scores.len()];
    order.iter().take(keep).for_each(|i| left[*i] = true);
    left
}

impl Widths {
    /// What is left of a block at these shares; `weight` gives each projection's matrix, `outputs x inputs`, row-major.
    pub fn choose<E>(
        a: &Architecture,
        ffn_share: f64,
        head_share: f64,
        weight: impl Fn(Projection) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Value};
        let mut columns = squared_columns(&weight(FfnDown)?, a.ffn);
        for up in [FfnUp, FfnGate].into_iter().filter(|p| *p == FfnUp || a.gated_ffn) {
            let rows = squared_rows(&weight(up)?, a.ffn);
            columns.iter_mut().zip(rows).for_each(|(score, row)| *score *= row);
        }
        let heads = sums(&squared_columns(&weight(AttentionOutput)?, a.heads * a.head_dim), a.kv_heads);
        let values = sums(&squared_rows(&weight(Value)?, a.kv_heads * a.head_dim), a.kv_heads);
        let groups: Vec<f64> = heads.iter().zip(values).map(|(head, value)| head * value).collect();
        Ok(Self {
            ffn: largest(&columns, left_of(a.ffn, ffn_share)),
            groups: largest(&groups, left_of(a.kv_heads, head_share)),
        })
    }

    /// Rows (outputs) of a projection's matrix that are left.
    pub fn rows(&self, a: &Architecture, projection: Projection) -> Vec<bool> {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Key, Query, Value};
        match projection {
            Query => repeated(&self.groups, a.heads * a.head_dim),
            Key | Value => repeated(&self.groups, a.kv_heads * a.head_dim),
            FfnGate | FfnUp => self.ffn.clone(),
            AttentionOutput | FfnDown => vec![true; a.hidden],
        }
    }

    /// Columns (inputs) of a projection's matrix that are left.
    pub fn columns(&self, a: &Architecture, projection: Projection) -> Vec<bool> {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Key, Query, Value};
        match projection {
            AttentionOutput => repeated(&self.groups, a.heads * a.head_dim),
            FfnDown => self.ffn.clone(),
            Query | Key | Value | FfnGate | FfnUp => vec![true; a.hidden],
        }
    }
}

/// Each entry as often as it takes to get `len` of them.
fn repeated(entries: &[bool], len: usize) -> Vec<bool> {
    let times = len / entries.len();
    entries.iter().flat_map(|entry| std::iter::repeat_n(*entry, times)).collect()
}

/// Sums of `parts` runs of equal length.
fn sums(values: &[f64], parts: usize) -> Vec<f64> {
    values.chunks(values.len() / parts).map(|run| run.iter().sum()).collect()
}

fn squared_rows(matrix: &[f32], rows: usize) -> Vec<f64> {
    let norm = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum();
    matrix.chunks(matrix.len() / rows).map(norm).collect()
}

fn squared_columns(matrix: &[f32], columns: usize) -> Vec<f64> {
    let mut norms = vec![0.0; columns];
    for row in matrix.chunks(columns) {
        norms.iter_mut().zip(row).for_each(|(norm, v)| *norm += f64::from(*v).powi(2));
    }
    norms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stay_and_the_first_of_equals() {
        assert_eq!(largest(&[1.0, 3.0, 2.0, 3.0], 2), [false, true, false, true]);
        assert_eq!(largest(&[1.0, 1.0, 1.0], 2), [true, true, false]);
        assert_eq!((left_of(12, 0.5), left_of(12, 0.01), left_of(12, 1.0)), (6, 1, 12));
    }

    #[test]
    fn a_column_weighs_what_its_whole_path_weighs() {
        // Two heads of one entry, three columns; the second column's way down is cut, the first head's values are small.
        let a = Architecture { hidden: 2, heads: 2, kv_heads: 2, head_dim: 1, ffn: 3, gated_ffn: false, ..minilm() };
        let weight = |p| -> Result<Vec<f32>, ()> {
            Ok(match p {
                Projection::FfnUp => vec![1.0, 0.0, 9.0, 9.0, 0.0, 2.0],
                Projection::FfnDown => vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
                Projection::Value => vec![0.1, 0.1, 1.0, 1.0],
                _ => vec![1.0; 4],
            })
        };
        let left = Widths::choose(&a, 2.0 / 3.0, 0.5, weight).expect("nothing fails");
        assert_eq!(left, Widths { ffn: vec![true, false, true], groups: vec![false, true] });
        assert_eq!(left.columns(&a, Projection::FfnDown), left.ffn);
        assert_eq!(left.rows(&a, Projection::Query), [false, true]);
    }

    fn minilm() -> Architecture {
        crate::fomo::preset("minilm-l6").expect("a known model")
    }
}
