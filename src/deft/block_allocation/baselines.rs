//! Matchings that look at nothing but memory.

use super::Problem;
use rand::Rng;
use rand::seq::SliceRandom as _;

/// Device after device the next block, one further each round, so that everybody trains everything in turn.
pub(super) fn uniform(problem: &Problem, who: &[usize], round: usize) -> Vec<usize> {
    let wished = (0..who.len()).map(|i| (i + round) % problem.depths());
    as_deep_as_possible(problem, who, wished)
}

/// Blocks in random order, all of them before one comes again.
pub(super) fn random(problem: &Problem, who: &[usize], draw: &mut impl Rng) -> Vec<usize> {
    let mut wished = vec![];
    while wished.len() < who.len() {
        let mut depths: Vec<usize> = (0..problem.depths()).collect();
        depths.shuffle(draw);
        wished.extend(depths);
    }
    as_deep_as_possible(problem, who, wished.into_iter())
}

/// What each wishes, or the deepest that it can train.
fn as_deep_as_possible(problem: &Problem, who: &[usize], wished: impl Iterator<Item = usize>) -> Vec<usize> {
    who.iter().zip(wished).map(|(&k, depth)| depth.min(problem.reach(k) - 1)).collect()
}
