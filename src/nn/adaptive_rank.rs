//! AdaLoRA (Zhang et al. 2023): ranks that move to the products where they matter.
//!
//! Each low-rank term is `B diag(E) A`. A *triplet* is one entry of `E` with its row of `A` and its column of `B`.
//! After every step the triplets of all blocks are ranked together by importance, and the entries of `E` beyond the
//! budget become zero. Equation numbers are those of the paper.

use super::{AdaptiveRanks, Moments, ParameterLayout};
use crate::backend::LoraSlot;

/// Of the running means of sensitivity and uncertainty: 0.85 in the paper's experiments and in `peft`.
const BETA: f32 = 0.85;

/// A layout whose ranks move.
pub(super) struct RankAllocation<'a> {
    layout: &'a ParameterLayout,
    ranks: AdaptiveRanks,
    /// Each term and where its `E` starts.
    terms: Vec<(&'a LoraSlot, usize)>,
}

impl<'a> RankAllocation<'a> {
    /// `None` if the layout's ranks stay.
    pub fn of(layout: &'a ParameterLayout) -> Option<Self> {
        let ranks = layout.adaptive_ranks()?;
        let terms = layout.lora_slots().filter_map(|slot| Some((slot, slot.diagonal?))).collect();
        Some(Self { layout, ranks, terms })
    }

    /// Adds the gradient of `g mean(|A A^T - I|, |B^T B - I|)` over all factors, that is `2 g / n` times
    /// `(A A^T - I) A / |A A^T - I|` and `B (B^T B - I) / |B^T B - I|` for `n` factors.
    ///
    /// Equation 4 has the sum of the squares, the authors' code and `peft` this mean of norms, for which the paper's weights
    /// are meant: with those, the squares outweigh the data in the first steps and then in the ranking.
    pub fn add_penalty(&self, parameters: &[f32], gradient: &mut [f32]) {
        let factors = 2 * self.terms.len();
        let weight = 2.0 * self.ranks.orthogonality / factors as f64;
        if self.ranks.orthogonality == 0.0 {
            return;
        }
        for (slot, _) in &self.terms {
            let &LoraSlot { a, b, rank, inputs, outputs, .. } = *slot;
            let a = Vectors { start: a, len: inputs, next_vector: inputs, next_value: 1 };
            let b = Vectors { start: b, len: outputs, next_vector: 1, next_value: rank };
            for vectors in [a, b] {
                vectors.add_penalty(rank, weight, parameters, gradient);
            }
        }
    }

    /// Takes the step's sensitivities `|w dL/dw|` (equation 8) into their running mean and uncertainty (9 and 10).
    pub fn observe(&self, parameters: &[f32], gradient: &[f32], moments: &mut Moments) {
        let len = self.layout.len();
        let mean = Moments::ready(&mut moments.sensitivity, len);
        let uncertainty = Moments::ready(&mut moments.uncertainty, len);
        for (slot, e) in &self.terms {
            let &LoraSlot { a, b, rank, inputs, outputs, .. } = *slot;
            for i in (a..a + rank * inputs).chain(b..b + outputs * rank).chain(*e..e + rank) {
                let sensitivity = (parameters[i] * gradient[i]).abs();
                mean[i] = BETA * mean[i] + (1.0 - BETA) * sensitivity;
                uncertainty[i] = BETA * uncertainty[i] + (1.0 - BETA) * (sensitivity - mean[i]).abs();
            }
        }
    }

    /// Entries of `E` that stay zero from the final step on: those that are zero then. Ascending.
    pub fn pruned_for_good(&self, parameters: &[f32], steps_taken: u32) -> Vec<usize> {
        if steps_taken < self.ranks.final_step {
            return Vec::new();
        }
        self.triplets().map(|t| t.entry).filter(|&entry| parameters[entry] == 0.0).collect()
    }

    /// Zeroes `pruned`, and the entries of `E` that the budget after `moments.run_step` steps leaves out. A mean of
    /// several clients' models may hold more than the budget after the final step; the first step from it restores it.
    pub fn reallocate(&self, parameters: &mut [f32], moments: &Moments, pruned: &[usize]) {
        pruned.iter().for_each(|&entry| parameters[entry] = 0.0);
        if moments.run_step <= self.ranks.warmup_steps {
            return;
        }
        let candidates = self.triplets().filter(|t| pruned.binary_search(&t.entry).is_err());
        let mut ranking: Vec<(f64, usize)> = candidates.map(|t| (self.importance(&t, moments), t.entry)).collect();
        // Of equals, the earlier in the layout stays: entries ascend, and the sort is stable.
        ranking.sort_by(|x, y| y.0.total_cmp(&x.0));
        for &(_, entry) in ranking.iter().skip(self.budget(moments.run_step)) {
            parameters[entry] = 0.0;
        }
    }

    /// Triplets that remain after `step` steps: from all to the target, along a cubic (equation 12).
    fn budget(&self, step: u32) -> usize {
        let start: usize = self.terms.iter().map(|(slot, _)| slot.rank).sum();
        let target = self.ranks.target_rank * self.terms.len();
        let AdaptiveRanks { warmup_steps, final_step, .. } = self.ranks;
        let shrinking = f64::from(step.min(final_step) - warmup_steps);
        let left = 1.0 - shrinking / f64::from(final_step - warmup_steps);
        target + (start.saturating_sub(target) as f64 * left.powi(3)) as usize
    }

    fn triplets(&self) -> impl Iterator<Item = Triplet<'a>> {
        self.terms.iter().flat_map(|&(slot, e)| (0..slot.rank).map(move |i| Triplet { slot, index: i, entry: e + i }))
    }

    /// `s(E) + mean s(row of A) + mean s(column of B)` (equation 7) with `s = sensitivity * uncertainty` (11).
    fn importance(&self, triplet: &Triplet<'_>, moments: &Moments) -> f64 {
        let &Triplet { slot: &LoraSlot { a, b, rank, inputs, outputs, .. }, index, entry } = triplet;
        let score = |i: usize| f64::from(moments.sensitivity[i]) * f64::from(moments.uncertainty[i]);
        let row = (0..inputs).map(|j| score(a + index * inputs + j)).sum::<f64>() / inputs as f64;
        let column = (0..outputs).map(|j| score(b + j * rank + index)).sum::<f64>() / outputs as f64;
        score(entry) + row + column
    }
}

/// One entry of `E`, which lies at `entry`.
struct Triplet<'a> {
    slot: &'a LoraSlot,
    index: usize,
    entry: usize,
}

/// Rows of `A` or columns of `B`: value `j` of vector `i` lies at `start + i * next_vector + j * next_value`.
struct Vectors {
    start: usize,
    len: usize,
    next_vector: usize,
    next_value: usize,
}

impl Vectors {
    fn place(&self, vector: usize, value: usize) -> usize {
        self.start + vector * self.next_vector + value * self.next_value
    }

    /// Adds `weight * sum_k e_ik v_k / |e|` to the gradient of every vector `v_i`, for `e_ik = <v_i, v_k> - [i = k]`.
    fn add_penalty(&self, count: usize, weight: f64, parameters: &[f32], gradient: &mut [f32]) {
        let value = |vector, j| f64::from(parameters[self.place(vector, j)]);
        let excess = |i: usize, k: usize| {
            let product: f64 = (0..self.len).map(|j| value(i, j) * value(k, j)).sum();
            if i == k { product - 1.0 } else { product }
        };
        let pairs = (0..count).flat_map(|i| (0..count).map(move |k| (i, k)));
        let all: Vec<f64> = pairs.clone().map(|(i, k)| excess(i, k)).collect();
        let norm = all.iter().map(|e| e * e).sum::<f64>().sqrt();
        // Vectors that are orthonormal to the last bit are at the minimum.
        if norm == 0.0 {
            return;
        }
        for ((i, k), e) in pairs.zip(&all) {
            for j in 0..self.len {
                gradient[self.place(i, j)] += (weight * e / norm * value(k, j)) as f32;
            }
        }
    }
}
