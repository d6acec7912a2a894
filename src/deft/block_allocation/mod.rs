//! Which device trains which block on which part of the uplink: pure arithmetic on seconds, bits and rates.
//!
//! Wu, Chen, Huang 2024 (arXiv 2407.09873): the round is as long as its slowest device, and a device is the slower the
//! deeper its block lies below the output, because the gradient has to travel down to it. [`Problem`] holds what the
//! choice depends on; `exact` is the oracle, `crunch` the low-complexity algorithm, `baselines` what both are compared
//! with. Depths count from the output down: 0 is the block next to the head.

mod assignment;
mod baselines;
mod crunch;
mod exact;
#[cfg(test)]
mod tests;

use crate::scenario::{BlockAllocation, BlockBandwidth};
use rand::Rng;

/// What a round's devices and blocks are like.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Seconds that device k computes in a round to train the block at depth l: `compute_seconds[k][l]`; infinite where
    /// its memory does not hold the backward pass down to there.
    pub compute_seconds: Vec<Vec<f64>>,
    /// Bits that go up for the block at each depth.
    pub update_bits: Vec<f64>,
    /// Bits per second of device k on n of N equal parts of the band: `rates[k][n - 1]`. Must not fall with n.
    pub rates: Vec<Vec<f64>>,
}

/// Who trains what, and what each gets of the band.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Depth of each device's block; `None` for who cannot train or send any.
    pub depths: Vec<Option<usize>>,
    /// Parts of the band that each device gets, of [`Problem::parts`].
    pub parts: Vec<usize>,
    /// When the last device would be done.
    pub seconds: f64,
}

impl Problem {
    /// Parts into which the band is cut.
    pub fn parts(&self) -> usize {
        self.rates.first().map_or(0, Vec::len)
    }

    fn depths(&self) -> usize {
        self.update_bits.len()
    }

    /// Seconds until device `k` has trained and sent the block at `depth` on `parts` of the band.
    fn seconds(&self, k: usize, depth: usize, parts: usize) -> f64 {
        self.compute_seconds[k][depth] + self.update_bits[depth] / self.rates[k][parts - 1]
    }

    /// How deep device `k` can go at all: it can train every block above this depth.
    fn reach(&self, k: usize) -> usize {
        let possible = |l: &usize| self.seconds(k, *l, self.parts()).is_finite();
        (0..self.depths()).take_while(possible).count()
    }

    /// The smallest number of parts on which device `k` is done by `deadline_s`.
    fn parts_needed(&self, k: usize, depth: usize, deadline_s: f64) -> Option<usize> {
        // Rates do not fall with parts, so seconds do not rise with them.
        let (mut enough, mut too_few) = (self.parts() + 1, 0);
        while enough - too_few > 1 {
            let middle = usize::midpoint(too_few, enough);
            match self.seconds(k, depth, middle) <= deadline_s {
                true => enough = middle,
                false => too_few = middle,
            }
        }
        (enough <= self.parts()).then_some(enough)
    }

    /// The depths that the devices `who` share out: every block gets as many devices as any other, or one more where it lies
    /// higher; of more blocks than devices, the highest. A device that cannot go so deep takes the deepest it can.
    fn slots(&self, who: &[usize]) -> Vec<usize> {
        let mut reaches: Vec<usize> = who.iter().map(|&k| self.reach(k)).collect();
        reaches.sort_unstable();
        balanced(who.len(), self.depths()).into_iter().zip(reaches).map(|(depth, reach)| depth.min(reach - 1)).collect()
    }

    /// The least time in which the devices `who` are done with the blocks `depths`, and everybody's parts for it.
    fn best_parts(&self, who: &[usize], depths: &[usize]) -> (f64, Vec<usize>) {
        let needed = |deadline_s: f64| -> Option<Vec<usize>> {
            who.iter().zip(depths).map(|(&k, &l)| self.parts_needed(k, l, deadline_s)).collect()
        };
        let fits =
            |deadline_s: f64| needed(deadline_s).is_some_and(|parts| parts.iter().sum::<usize>() <= self.parts());
        let pairs = who.iter().zip(depths).map(|(&k, &l)| (k, l));
        let seconds = least(self.deadlines(pairs), fits);
        let mut parts = needed(seconds).unwrap_or_else(|| vec![1; who.len()]);
        self.hand_out_rest(who, depths, &mut parts);
        (seconds, parts)
    }

    /// Gives what is left of the band to whoever is slowest, part by part.
    fn hand_out_rest(&self, who: &[usize], depths: &[usize], parts: &mut [usize]) {
        for _ in parts.iter().sum::<usize>()..self.parts() {
            let seconds = |i: usize| self.seconds(who[i], depths[i], parts[i]);
            let slowest = (0..who.len()).max_by(|a, b| seconds(*a).total_cmp(&seconds(*b)));
            if let Some(i) = slowest {
                parts[i] += 1;
            }
        }
    }

    /// Every moment at which some device of `pairs` can be done with its block, ascending: the least time for all is one of them.
    fn deadlines(&self, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<f64> {
        let each = pairs.flat_map(|(k, l)| (1..=self.parts()).map(move |n| self.seconds(k, l, n)));
        let mut deadlines: Vec<f64> = each.filter(|s| s.is_finite()).collect();
        deadlines.sort_by(f64::total_cmp);
        deadlines.dedup();
        deadlines
    }
}

/// The smallest of `deadlines` (ascending) that `fits`, where whatever is later fits too; the last if none does.
fn least(deadlines: Vec<f64>, fits: impl Fn(f64) -> bool) -> f64 {
    let first = deadlines.partition_point(|d| !fits(*d));
    deadlines.get(first).or(deadlines.last()).copied().unwrap_or(0.0)
}

/// Depths for `devices` devices, ascending: as evenly as possible, the rest to the highest blocks.
fn balanced(devices: usize, depths: usize) -> Vec<usize> {
    let mut slots: Vec<usize> = (0..devices).map(|i| i % depths).collect();
    slots.sort_unstable();
    slots
}

/// Matches blocks with devices and cuts the band. `round` and `draw` are for the baselines that take turns and draw.
///
/// The band must have a part for every device.
pub fn allocate(
    problem: &Problem,
    allocation: BlockAllocation,
    bandwidth: BlockBandwidth,
    round: usize,
    draw: &mut impl Rng,
) -> Plan {
    let who: Vec<usize> = (0..problem.compute_seconds.len()).filter(|&k| problem.reach(k) > 0).collect();
    if who.is_empty() {
        let devices = problem.compute_seconds.len();
        return Plan { depths: vec![None; devices], parts: vec![0; devices], seconds: 0.0 };
    }
    let equal = vec![problem.parts() / who.len(); who.len()];
    let depths = match (allocation, bandwidth) {
        (BlockAllocation::Exact, BlockBandwidth::Equal) => exact::with_fixed_parts(problem, &who, equal[0]),
        (BlockAllocation::Exact, BlockBandwidth::Optimal) => exact::with_best_parts(problem, &who),
        (BlockAllocation::Crunch, BlockBandwidth::Equal) => crunch::with_fixed_parts(problem, &who, &equal),
        (BlockAllocation::Crunch, BlockBandwidth::Optimal) => crunch::with_best_parts(problem, &who, &equal),
        (BlockAllocation::Uniform, _) => baselines::uniform(problem, &who, round),
        (BlockAllocation::Random, _) => baselines::random(problem, &who, draw),
    };
    let (seconds, parts) = match bandwidth {
        BlockBandwidth::Optimal => problem.best_parts(&who, &depths),
        BlockBandwidth::Equal => {
            let each = who.iter().zip(&depths).map(|(&k, &l)| problem.seconds(k, l, equal[0]));
            (each.fold(0.0, f64::max), equal)
        }
    };
    let mut plan = Plan {
        depths: vec![None; problem.compute_seconds.len()],
        parts: vec![0; problem.compute_seconds.len()],
        seconds,
    };
    for ((&k, depth), parts) in who.iter().zip(depths).zip(parts) {
        (plan.depths[k], plan.parts[k]) = (Some(depth), parts);
    }
    plan
}
