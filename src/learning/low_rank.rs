//! Means of low-rank pairs: of their products, and of devices that hold fewer ranks than the server.
//!
//! A pair (B, A) stands for the change B A of a frozen matrix. The mean of several devices' changes is
//! sum_k w_k B_k A_k, which is not the product of the factors' means: (sum_k w_k B_k) (sum_k w_k A_k) has cross terms.
//! Here the server forms the mean of the products and takes it apart again by its singular value decomposition, as in
//! FlexLoRA (Bai et al. 2024, arXiv 2402.11505): exact where the mean's rank is at most that of the pairs, and the
//! nearest of that rank otherwise (Eckart and Young 1936).

use super::value::State;
use crate::backend::LoraSlot;
use crate::nn::ParameterLayout;
use nalgebra::DMatrix;
use std::ops::Range;
use std::sync::Arc;

/// Writes into `parameters` the factors of sum_k `weights`_k B_k A_k, for every pair that lies in `ranges`.
pub(super) fn mean_of_products(
    layout: &ParameterLayout,
    ranges: &[Range<usize>],
    updates: &[Arc<State>],
    weights: &[f64],
    parameters: &mut [f32],
) {
    let here = |slot: &&LoraSlot| ranges.iter().any(|r| r.contains(&slot.a));
    for slot in layout.lora_slots().filter(here) {
        let factors = updates.iter().zip(weights).map(|(u, w)| (Pair::of(slot, &u.parameters), *w));
        refactored(&factors.collect::<Vec<_>>(), slot.rank).write(slot, parameters);
    }
}

/// `state` with the first `rank` ranks of each pair. Where A's row and B's column are zero, so are their gradients.
pub(super) fn first_ranks(layout: &ParameterLayout, state: &State, rank: usize) -> State {
    let mut parameters = state.parameters.clone();
    for slot in layout.lora_slots().filter(|slot| slot.rank > rank) {
        parameters[slot.a..][rank * slot.inputs..slot.rank * slot.inputs].fill(0.0);
        for row in parameters[slot.b..][..slot.outputs * slot.rank].chunks_mut(slot.rank) {
            row[rank..].fill(0.0);
        }
    }
    State { parameters, moments: None, loss: state.loss }
}

/// B `[outputs, rank]` and A `[rank, inputs]`.
struct Pair {
    b: DMatrix<f64>,
    a: DMatrix<f64>,
}

impl Pair {
    fn of(slot: &LoraSlot, parameters: &[f32]) -> Self {
        let matrix = |from: usize, rows: usize, columns: usize| {
            DMatrix::from_fn(rows, columns, |i, j| f64::from(parameters[from + i * columns + j]))
        };
        Self { b: matrix(slot.b, slot.outputs, slot.rank), a: matrix(slot.a, slot.rank, slot.inputs) }
    }

    fn write(&self, slot: &LoraSlot, parameters: &mut [f32]) {
        for (matrix, from) in [(&self.b, slot.b), (&self.a, slot.a)] {
            for ((i, j), from) in index(matrix).zip(from..) {
                parameters[from] = matrix[(i, j)] as f32;
            }
        }
    }
}

/// Places of a matrix, row by row.
fn index(matrix: &DMatrix<f64>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, columns) = matrix.shape();
    (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j)))
}

/// The pair of `rank` ranks nearest to sum_k w_k B_k A_k. The sum is the product of the stacked factors
/// `[w_1 B_1 ... w_K B_K] [A_1; ...; A_K]`; with their QR decompositions Q_b R_b and (Q_a R_a)^T only the small
/// R_b R_a^T = U S V^T has to be decomposed. Then B = Q_b U S and A = (Q_a V)^T, first ranks largest: rows of A have length
/// one, so that a rank in which the mean is zero can still be trained.
fn refactored(pairs: &[(Pair, f64)], rank: usize) -> Pair {
    let b: Vec<DMatrix<f64>> = pairs.iter().map(|(p, w)| &p.b * *w).collect();
    let a: Vec<DMatrix<f64>> = pairs.iter().map(|(p, _)| p.a.transpose()).collect();
    let (outputs, inputs) = (b[0].nrows(), a[0].nrows());
    let (b, a) = (beside(&b).qr(), beside(&a).qr());
    let svd = (b.r() * a.r().transpose()).svd(true, true);
    let mut pair = Pair { b: DMatrix::zeros(outputs, rank), a: DMatrix::zeros(rank, inputs) };
    let (Some(u), Some(v_t)) = (svd.u, svd.v_t) else { return pair };
    let (left, right) = (b.q() * u, v_t * a.q().transpose());
    // The largest first; equal ones in the order in which they come.
    let mut order: Vec<usize> = (0..svd.singular_values.len()).collect();
    order.sort_by(|i, j| svd.singular_values[*j].total_cmp(&svd.singular_values[*i]));
    for (to, from) in order.into_iter().take(rank).enumerate() {
        pair.b.set_column(to, &(left.column(from) * svd.singular_values[from]));
        pair.a.set_row(to, &right.row(from));
    }
    pair
}

/// Matrices of equal height in one.
fn beside(matrices: &[DMatrix<f64>]) -> DMatrix<f64> {
    let columns: Vec<_> = matrices.iter().flat_map(|m| m.column_iter()).collect();
    DMatrix::from_columns(&columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    const OUTPUTS: usize = 9;
    const INPUTS: usize = 7;

    /// `K` pairs of `rank` ranks with normal entries.
    fn pairs<const K: usize>(rank: usize) -> [(Pair, f64); K] {
        let draw = Streams::new(5, 0).counter("test", "pairs");
        let mut n = 0;
        let mut matrix = |rows, columns| {
            DMatrix::from_fn(rows, columns, |_, _| {
                n += 1;
                draw.normal(n)
            })
        };
        let total = (K * (K + 1) / 2) as f64;
        std::array::from_fn(|k| (Pair { b: matrix(OUTPUTS, rank), a: matrix(rank, INPUTS) }, (k + 1) as f64 / total))
    }

    /// The mean product, entry by entry.
    fn exact(pairs: &[(Pair, f64)]) -> DMatrix<f64> {
        DMatrix::from_fn(OUTPUTS, INPUTS, |i, j| {
            let entry = |p: &Pair| (0..p.a.nrows()).map(|r| p.b[(i, r)] * p.a[(r, j)]).sum::<f64>();
            pairs.iter().map(|(p, w)| w * entry(p)).sum()
        })
    }

    fn distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
        (a - b).norm()
    }

    #[test]
    fn enough_ranks_hold_the_mean_of_the_products_exactly() {
        for (rank, held) in [(2, 6), (1, 3), (3, 7)] {
            let pairs = pairs::<3>(rank);
            let pair = refactored(&pairs, held);
            let error = distance(&(&pair.b * &pair.a), &exact(&pairs));
            assert!(error < 1e-10, "3 pairs of rank {rank} in {held}: {error}");
            for row in pair.a.row_iter() {
                assert!((row.norm() - 1.0).abs() < 1e-10, "rows of A keep gradients alive");
            }
        }
    }

    /// No pair of that rank is nearer: the error is what the remaining singular values of the exact mean say.
    #[test]
    fn fewer_ranks_hold_the_nearest() {
        let pairs = pairs::<4>(2);
        let exact = exact(&pairs);
        let mut singular: Vec<f64> = exact.singular_values().iter().copied().collect();
        singular.sort_by(|a, b| b.total_cmp(a));
        for held in 1..7 {
            let pair = refactored(&pairs, held);
            let rest = singular[held..].iter().map(|s| s * s).sum::<f64>().sqrt();
            let error = distance(&(&pair.b * &pair.a), &exact);
            assert!((error - rest).abs() < 1e-9, "{held}: {error}, expected {rest}");
            for (r, column) in pair.b.column_iter().enumerate() {
                assert!((column.norm() - singular[r]).abs() < 1e-9, "largest first");
            }
        }
    }

    #[test]
    fn the_mean_of_factors_is_exact_where_one_factor_is_common_and_not_otherwise() {
        let factorwise = |pairs: &[(Pair, f64)]| {
            let mean = |of: fn(&Pair) -> &DMatrix<f64>| {
                pairs.iter().map(|(p, w)| of(p) * *w).reduce(|a, b| a + b).expect("some")
            };
            mean(|p| &p.b) * mean(|p| &p.a)
        };
        let mut pairs = pairs::<3>(2);
        assert!(distance(&factorwise(&pairs), &exact(&pairs)) > 0.1, "cross terms");
        let common = pairs[0].0.a.clone();
        pairs.iter_mut().for_each(|(p, _)| p.a.clone_from(&common));
        assert!(distance(&factorwise(&pairs), &exact(&pairs)) < 1e-10);
        let pair = refactored(&pairs, 2);
        assert!(distance(&(&pair.b * &pair.a), &exact(&pairs)) < 1e-10);
    }

    #[test]
    fn a_state_keeps_its_first_ranks() {
        use crate::data::Objective;
        use crate::fomo::{Projection, preset};
        use crate::nn::{LoraConfig, LoraScaling, LoraVariant, PeftMethod};
        let architecture = preset("minilm-l6").expect("a preset");
        let lora = LoraConfig {
            rank_per_block: vec![3; 6],
            alpha: 8.0,
            targets: vec![Projection::Query],
            scaling: LoraScaling::Rank,
            dropout: 0.0,
            variant: LoraVariant::Plain,
        };
        let objective = Objective::Classification { classes: 2 };
        let layout = ParameterLayout::new(&architecture, &[PeftMethod::Lora(lora)], objective).expect("a layout");
        let state = State { parameters: vec![1.0; layout.len()], moments: None, loss: None };
        let cut = first_ranks(&layout, &state, 2);
        for slot in layout.lora_slots() {
            let pair = Pair::of(slot, &cut.parameters);
            let whole = Pair::of(slot, &state.parameters);
            assert_eq!((pair.a.rows(0, 2), pair.b.columns(0, 2)), (whole.a.rows(0, 2), whole.b.columns(0, 2)));
            assert!(pair.a.row(2).iter().chain(pair.b.column(2).iter()).all(|x| *x == 0.0));
        }
        assert_eq!(first_ranks(&layout, &state, 3).parameters, state.parameters);
        let zeros = cut.parameters.iter().filter(|x| **x == 0.0).count();
        assert_eq!(zeros, 6 * 2 * 384);
    }
}
