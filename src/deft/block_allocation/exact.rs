//! The oracle: the matching whose slowest device is done first, and the same jointly with the bandwidth.
//!
//! A deadline can be met if and only if the cheapest matching, counted in parts of the band that each pair would need to
//! meet it, fits the band. The deadlines that matter are finitely many, and what a deadline allows a later one allows
//! too: a binary search over them is exact.

use super::assignment::{FORBIDDEN, cheapest};
use super::{Problem, least};

/// Depths of the devices `who`, each with `parts` of the band: a bottleneck assignment.
pub(super) fn with_fixed_parts(problem: &Problem, who: &[usize], parts: usize) -> Vec<usize> {
    let in_time = |k, l, deadline_s| (problem.seconds(k, l, parts) <= deadline_s).then_some(0);
    let mut deadlines: Vec<f64> = all_pairs(problem, who).map(|(k, l)| problem.seconds(k, l, parts)).collect();
    deadlines.retain(|s| s.is_finite());
    deadlines.sort_by(f64::total_cmp);
    search(problem, who, deadlines, in_time)
}

/// Depths of the devices `who` where the band is cut as suits the matching.
pub(super) fn with_best_parts(problem: &Problem, who: &[usize]) -> Vec<usize> {
    let deadlines = problem.deadlines(all_pairs(problem, who));
    search(problem, who, deadlines, |k, l, deadline_s| problem.parts_needed(k, l, deadline_s))
}

fn all_pairs(problem: &Problem, who: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    who.iter().flat_map(|&k| (0..problem.reach(k)).map(move |l| (k, l)))
}

/// The matching that meets the earliest deadline that any meets; `parts_needed(device, depth, deadline)` is `None` where
/// the pair misses it.
fn search(
    problem: &Problem,
    who: &[usize],
    deadlines: Vec<f64>,
    parts_needed: impl Fn(usize, usize, f64) -> Option<usize>,
) -> Vec<usize> {
    let slots = problem.slots(who);
    let cheapest_by = |deadline_s: f64| {
        let mut table = vec![vec![FORBIDDEN; problem.depths()]; who.len()];
        for (row, &k) in table.iter_mut().zip(who) {
            for (l, cost) in row.iter_mut().enumerate().take(problem.reach(k)) {
                *cost = parts_needed(k, l, deadline_s).map_or(FORBIDDEN, |parts| parts as i64);
            }
        }
        let columns = cheapest(who.len(), |row, slot| table[row][slots[slot]]);
        let parts: i64 = columns.iter().enumerate().map(|(row, slot)| table[row][slots[*slot]]).sum();
        (parts, columns)
    };
    let deadline_s = least(deadlines, |deadline_s| cheapest_by(deadline_s).0 <= problem.parts() as i64);
    cheapest_by(deadline_s).1.into_iter().map(|slot| slots[slot]).collect()
}
