//! The algorithms against brute force, and against each other.

use super::*;
use crate::random::CounterStream;

const PARTS: usize = 7;

/// Shannon's rate on n of N parts of `band_hz` at `snr_hz`, the signal-to-noise ratio in 1 Hz: b log2(1 + snr_hz / b).
fn shannon(snr_hz: f64, band_hz: f64, parts: usize) -> Vec<f64> {
    let rate = |n: usize| {
        let hz = band_hz * n as f64 / parts as f64;
        hz * (1.0 + snr_hz / hz).log2()
    };
    (1..=parts).map(rate).collect()
}

/// Devices of random speed and channel; blocks of equal size unless `uneven`. Deeper blocks take longer.
fn drawn(devices: usize, depths: usize, case: u64, uneven: bool) -> Problem {
    let draw = CounterStream::new(99, case);
    let uniform = |n: usize| draw.uniform(n as u64);
    let per_block = |k: usize| 0.2 + 3.0 * uniform(k);
    Problem {
        compute_seconds: (0..devices).map(|k| (0..depths).map(|l| per_block(k) * (3 + l) as f64).collect()).collect(),
        update_bits: (0..depths).map(|l| if uneven { 2e6 * (1.0 + 9.0 * uniform(200 + l)) } else { 1e7 }).collect(),
        rates: (0..devices).map(|k| shannon(1e6 * 300f64.powf(uniform(100 + k)), 2e6, PARTS)).collect(),
    }
}

fn plan(problem: &Problem, allocation: BlockAllocation, bandwidth: BlockBandwidth) -> Plan {
    let mut draw = crate::random::Streams::new(1, 0).stream("test", "draws");
    let plan = allocate(problem, allocation, bandwidth, 0, &mut draw);
    let depths = plan.depths.iter().enumerate();
    let each = depths.filter_map(|(k, l)| l.map(|l| problem.seconds(k, l, plan.parts[k])));
    assert!(each.fold(0.0, f64::max) <= plan.seconds * (1.0 + 1e-12), "{allocation:?}: done later than promised");
    assert!(plan.parts.iter().sum::<usize>() <= problem.parts(), "{allocation:?}: more than the band");
    plan
}

/// All orders of `items`.
fn orders(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let with_first = |i: usize| {
        let mut rest = items.to_vec();
        let first = rest.remove(i);
        orders(&rest).into_iter().map(move |mut order| {
            order.insert(0, first);
            order
        })
    };
    (0..items.len()).flat_map(with_first).collect()
}

/// All ways to give `devices` at least one part each, `parts` together at most.
fn cuts(devices: usize, parts: usize) -> Vec<Vec<usize>> {
    if devices == 0 {
        return vec![vec![]];
    }
    let with_last = |n: usize| {
        cuts(devices - 1, parts - n).into_iter().map(move |mut cut| {
            cut.push(n);
            cut
        })
    };
    (1..=parts + 1 - devices).flat_map(with_last).collect()
}

/// The least time over all matchings of devices and places and all of `cuts`.
fn brute_force(problem: &Problem, cuts: &[Vec<usize>]) -> f64 {
    let devices = problem.compute_seconds.len();
    let slowest =
        |order: &[usize], cut: &[usize]| (0..devices).map(|k| problem.seconds(k, order[k], cut[k])).fold(0.0, f64::max);
    let orders = orders(&balanced(devices, problem.depths()));
    orders.iter().flat_map(|order| cuts.iter().map(|cut| slowest(order, cut))).fold(f64::INFINITY, f64::min)
}

#[test]
fn the_oracle_is_as_good_as_trying_everything() {
    for case in 0..40 {
        for (devices, depths) in [(1, 3), (3, 3), (4, 4), (4, 2), (3, 5), (5, 3)] {
            let problem = drawn(devices, depths, case, case % 2 == 1);
            let equal = vec![vec![PARTS / devices; devices]];
            let fixed = plan(&problem, BlockAllocation::Exact, BlockBandwidth::Equal);
            assert_eq!(fixed.seconds, brute_force(&problem, &equal), "case {case}, {devices} x {depths}, equal");
            let joint = plan(&problem, BlockAllocation::Exact, BlockBandwidth::Optimal);
            let best = brute_force(&problem, &cuts(devices, PARTS));
            assert_eq!(joint.seconds, best, "case {case}, {devices} x {depths}, optimal");
        }
    }
}

#[test]
fn sorting_is_exact_where_deeper_is_slower() {
    for case in 0..200 {
        let problem = drawn(1 + case as usize % 7, 1 + case as usize % 5, case, false);
        let [exact, crunch] = [BlockAllocation::Exact, BlockAllocation::Crunch]
            .map(|allocation| plan(&problem, allocation, BlockBandwidth::Equal).seconds);
        assert_eq!(exact, crunch, "case {case}");
    }
}

#[test]
fn nobody_beats_the_oracle_and_bandwidth_helps() {
    use BlockAllocation::{Crunch, Exact, Random, Uniform};
    let mut means = [0.0; 4];
    for case in 0..200 {
        let problem = drawn(6, 6, case, case % 2 == 1);
        let seconds = |allocation, bandwidth| plan(&problem, allocation, bandwidth).seconds;
        let rules = [Exact, Crunch, Uniform, Random];
        for (mean, rule) in means.iter_mut().zip(rules) {
            let (equal, optimal) = (seconds(rule, BlockBandwidth::Equal), seconds(rule, BlockBandwidth::Optimal));
            assert!(optimal <= equal, "case {case}, {rule:?}: {optimal} with the best cut, {equal} with equal parts");
            assert!(seconds(Exact, BlockBandwidth::Equal) <= equal, "case {case}, {rule:?}");
            assert!(seconds(Exact, BlockBandwidth::Optimal) <= optimal, "case {case}, {rule:?}");
            *mean += optimal / 200.0;
        }
        let crunch = seconds(Crunch, BlockBandwidth::Equal);
        if case % 2 == 0 {
            assert!(
                crunch <= seconds(Random, BlockBandwidth::Equal) && crunch <= seconds(Uniform, BlockBandwidth::Equal)
            );
        }
    }
    let [exact, crunch, uniform, random] = means;
    assert!(exact <= crunch && crunch < 0.95 * uniform && crunch < 0.95 * random, "{means:?}");
}

#[test]
fn everybody_trains_and_blocks_share_devices_evenly() {
    use BlockAllocation::{Crunch, Exact, Random, Uniform};
    for rule in [Exact, Crunch, Uniform, Random] {
        for (devices, depths) in [(6, 6), (7, 3), (5, 2)] {
            let depths_of = plan(&drawn(devices, depths, 3, false), rule, BlockBandwidth::Optimal).depths;
            let count = |l: usize| depths_of.iter().filter(|d| **d == Some(l)).count();
            let counts: Vec<usize> = (0..depths).map(count).collect();
            assert_eq!(counts.iter().sum::<usize>(), devices, "{rule:?}");
            let (most, least) = (counts.iter().max(), counts.iter().min());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{rule:?}: {counts:?}");
        }
        // Of more blocks than devices, some stay as they are; the oracle leaves the slowest.
        let few = plan(&drawn(2, 6, 3, false), rule, BlockBandwidth::Equal).depths;
        assert_ne!(few[0], few[1], "{rule:?}");
        if rule == Exact || rule == Crunch {
            assert!(few.iter().all(|l| l.is_some_and(|l| l < 2)), "{rule:?}: {few:?}");
        }
    }
}

#[test]
fn memory_limits_how_deep_a_device_goes() {
    use BlockAllocation::{Crunch, Exact, Random, Uniform};
    let mut problem = drawn(4, 4, 5, false);
    problem.compute_seconds[0] = vec![f64::INFINITY; 4];
    problem.compute_seconds[1][1..].fill(f64::INFINITY);
    problem.compute_seconds[2][2..].fill(f64::INFINITY);
    for rule in [Exact, Crunch, Uniform, Random] {
        for bandwidth in [BlockBandwidth::Equal, BlockBandwidth::Optimal] {
            let plan = plan(&problem, rule, bandwidth);
            assert_eq!((plan.depths[0], plan.parts[0], plan.depths[1]), (None, 0, Some(0)), "{rule:?}");
            assert!(plan.depths[2].is_some_and(|l| l < 2) && plan.depths[3].is_some(), "{rule:?}: {plan:?}");
            assert!(plan.seconds.is_finite());
        }
    }
    // Three that can: the places are 0, 1 and 2, and only one device reaches each.
    assert_eq!(plan(&problem, Exact, BlockBandwidth::Equal).depths[1..], [Some(0), Some(1), Some(2)]);
    problem.compute_seconds.iter_mut().for_each(|row| row.fill(f64::INFINITY));
    assert_eq!(plan(&problem, Exact, BlockBandwidth::Optimal).depths, [None; 4]);
}

#[test]
fn turns_pass_every_block_round_everybody() {
    let problem = drawn(3, 3, 8, false);
    let mut draw = crate::random::Streams::new(1, 0).stream("test", "draws");
    let mut seen = vec![std::collections::BTreeSet::new(); 3];
    for round in 0..3 {
        let plan = allocate(&problem, BlockAllocation::Uniform, BlockBandwidth::Equal, round, &mut draw);
        for (seen, depth) in seen.iter_mut().zip(plan.depths) {
            seen.extend(depth);
        }
    }
    assert!(seen.iter().all(|depths| depths.len() == 3), "{seen:?}");
}
