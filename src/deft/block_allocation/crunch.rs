//! Matching by sorting: cut, recount, check.
//!
//! Named after the algorithm of Wu, Chen, Huang 2024 (Cutting-RecoUNting-CHecking), of which only the abstract was
//! readable: it exploits that a device's latency and memory grow with the depth of its block. What follows from that:
//!
//! - *Cut.* A deadline cuts each device's list of blocks at one depth: it can have every block above, none below.
//! - *Recount.* The blocks that devices can have are then nested, so all that counts is how many devices reach how deep.
//! - *Check.* Sorted by reach, the i-th device must reach the i-th highest place. If one does not, no matching exists
//!   (Hall 1935), otherwise this is one.
//!
//! A binary search over deadlines ends at the best one: O(KL log KL + K log K log KL), where `exact` takes O(K^3 log KL).
//! Where latency does not grow with depth (blocks of different ranks), a device is cut at the first block that is too
//! slow, and the result may be worse than the best.

use super::{Problem, least};

/// Rounds of taking turns between matching and bandwidth; each must improve on the last, and few do.
const MOST_TURNS: usize = 20;

/// Depths of the devices `who` with `parts` of the band each.
pub(super) fn with_fixed_parts(problem: &Problem, who: &[usize], parts: &[usize]) -> Vec<usize> {
    let slots = problem.slots(who);
    let seconds = |i: usize, l: usize| problem.seconds(who[i], l, parts[i]);
    // Devices by how deep they get until the deadline, shallow ones first.
    let sorted_by_reach = |deadline_s: f64| {
        let cut = |i: usize| (0..problem.reach(who[i])).take_while(|&l| seconds(i, l) <= deadline_s).count();
        let mut devices: Vec<(usize, usize)> = (0..who.len()).map(|i| (cut(i), i)).collect();
        devices.sort_unstable();
        devices
    };
    let check = |deadline_s: f64| sorted_by_reach(deadline_s).iter().zip(&slots).all(|((cut, _), slot)| cut > slot);
    let pairs = (0..who.len()).flat_map(|i| (0..problem.reach(who[i])).map(move |l| (i, l)));
    let mut deadlines: Vec<f64> = pairs.map(|(i, l)| seconds(i, l)).collect();
    deadlines.sort_by(f64::total_cmp);
    let mut depths = vec![0; who.len()];
    for ((_, i), slot) in sorted_by_reach(least(deadlines, check)).into_iter().zip(slots) {
        depths[i] = slot;
    }
    depths
}

/// Depths of the devices `who` where the band is cut as suits the matching: each in turn is chosen for the other as it is,
/// as long as that helps. The paper's joint allocation ascends a Lagrangian dual instead.
pub(super) fn with_best_parts(problem: &Problem, who: &[usize], equal: &[usize]) -> Vec<usize> {
    let mut depths = with_fixed_parts(problem, who, equal);
    let (mut seconds, mut parts) = problem.best_parts(who, &depths);
    for _ in 0..MOST_TURNS {
        let next = with_fixed_parts(problem, who, &parts);
        let (next_seconds, next_parts) = problem.best_parts(who, &next);
        if next_seconds >= seconds {
            break;
        }
        (depths, seconds, parts) = (next, next_seconds, next_parts);
    }
    depths
}
