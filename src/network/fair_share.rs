//! Max-min fair sharing by progressive filling (Bertsekas and Gallager, Data Networks, 2nd ed. 1992, section 6.5.2).
//!
//! All rates rise together; where a link is full, the flows that cross it stop rising. A flow's rate can then grow
//! only at the expense of one that has no more than itself.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What one flow gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// In the unit of the capacities; infinite for a flow that crosses no link.
    pub rate: f64,
    /// The link that stopped the flow's rate from rising.
    pub bottleneck: Option<usize>,
}

/// Max-min fair rates of `flows`, each given by the links that it crosses, over links of `capacities`.
///
/// Where several links fill at once, the lowest numbered counts as the bottleneck; a link that fills at the rate of the flow
/// that others stopped last, but for rounding, fills at that rate to the bit. Links wait in a heap by the rate at which
/// they would fill; stopping flows elsewhere can only raise that rate, so an entry is checked when it comes up and, if
/// outdated, put back. Flows that share no link, directly or through others, do not change each other's rates in any bit.
pub fn max_min_rates(capacities: &[f64], flows: &[&[usize]]) -> Vec<Share> {
    let (first, crossing) = flows_by_link(capacities.len(), flows);
    let mut free = capacities.to_vec();
    let mut rising: Vec<u32> = first.windows(2).map(|w| (w[1] - w[0]) as u32).collect();
    let mut stopped_last = vec![0.0; capacities.len()];
    let mut shares = vec![Share { rate: f64::INFINITY, bottleneck: None }; flows.len()];
    let used = (0..capacities.len()).filter(|link| rising[*link] > 0);
    let mut filling: BinaryHeap<Filling> =
        used.map(|link| Filling { rate: free[link] / f64::from(rising[link]), link }).collect();

    while let Some(Filling { rate, link }) = filling.pop() {
        if rising[link] == 0 {
            continue;
        }
        let current = level(free[link], rising[link], stopped_last[link]);
        if current > rate {
            filling.push(Filling { rate: current, link });
            continue;
        }
        for &flow in &crossing[first[link]..first[link + 1]] {
            if shares[flow].bottleneck.is_none() {
                shares[flow] = Share { rate: current, bottleneck: Some(link) };
                for &crossed in flows[flow] {
                    free[crossed] -= current;
                    rising[crossed] -= 1;
                    stopped_last[crossed] = current;
                }
            }
        }
    }
    shares
}

/// Levels this close to each other are the same, but for rounding.
const SAME_LEVEL: f64 = 1e-12;

/// The rate to which the `rising` flows on a link can rise that has so much free, where others stopped the last one at
/// `stopped_last`.
#[inline]
pub(super) fn level(free: f64, rising: u32, stopped_last: f64) -> f64 {
    let level = free / f64::from(rising);
    if (level - stopped_last).abs() <= SAME_LEVEL * level { stopped_last } else { level }
}

/// The flows that cross each link: those of link l are `flows[first[l]..first[l + 1]]`.
fn flows_by_link(links: usize, flows: &[&[usize]]) -> (Vec<usize>, Vec<usize>) {
    let mut first = vec![0; links + 1];
    for &link in flows.iter().copied().flatten() {
        first[link + 1] += 1;
    }
    for link in 0..links {
        first[link + 1] += first[link];
    }
    let mut next = first.clone();
    let mut crossing = vec![0; first[links]];
    for (flow, links) in flows.iter().enumerate() {
        for &link in *links {
            crossing[next[link]] = flow;
            next[link] += 1;
        }
    }
    (first, crossing)
}

/// A link and the common rate at which it fills; the heap hands out the lowest rate, then the lowest number.
struct Filling {
    rate: f64,
    link: usize,
}

impl Ord for Filling {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rate.total_cmp(&self.rate).then(other.link.cmp(&self.link))
    }
}

impl PartialOrd for Filling {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Filling {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Filling {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    /// The definition, done slowly: look at every link for the one that fills first, stop its flows, look again.
    fn by_definition(capacities: &[f64], flows: &[Vec<usize>]) -> Vec<f64> {
        let mut rates: Vec<Option<f64>> = vec![None; flows.len()];
        loop {
            let level = |link: usize| {
                let on = || flows.iter().zip(&rates).filter(|(f, _)| f.contains(&link)).map(|(_, rate)| *rate);
                let rising = on().filter(Option::is_none).count();
                (rising > 0).then(|| (capacities[link] - on().flatten().sum::<f64>()) / rising as f64)
            };
            let levels = (0..capacities.len()).filter_map(|link| Some((level(link)?, link)));
            let Some((rate, link)) = levels.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
            for (flow, stopped) in flows.iter().zip(&mut rates) {
                if flow.contains(&link) {
                    stopped.get_or_insert(rate);
                }
            }
        }
        rates.into_iter().map(|rate| rate.unwrap_or(f64::INFINITY)).collect()
    }

    /// Capacities of a few links and flows that cross up to four of them.
    fn random_network(draws: &CounterStream) -> (Vec<f64>, Vec<Vec<usize>>) {
        let mut n = 0;
        let mut below = |limit: usize| {
            n += 1;
            (draws.bits(n) % limit as u64) as usize
        };
        let capacities: Vec<f64> = (0..2 + below(8)).map(|_| 1.0 + below(50) as f64).collect();
        let flows = (0..1 + below(20)).map(|_| {
            let mut links: Vec<usize> = (0..1 + below(4)).map(|_| below(capacities.len())).collect();
            links.sort_unstable();
            links.dedup();
            links
        });
        let flows = flows.collect();
        (capacities, flows)
    }

    #[test]
    fn every_flow_has_a_full_link_on_which_no_flow_has_more() {
        for case in 0..300 {
            let (capacities, flows) = random_network(&CounterStream::new(3, 5).child(case));
            let slices: Vec<&[usize]> = flows.iter().map(Vec::as_slice).collect();
            let shares = max_min_rates(&capacities, &slices);
            let on =
                |link: usize| flows.iter().zip(&shares).filter(move |(f, _)| f.contains(&link)).map(|(_, s)| s.rate);
            for (link, capacity) in capacities.iter().enumerate() {
                assert!(on(link).sum::<f64>() <= capacity * (1.0 + 1e-12));
            }
            for (share, expected) in shares.iter().zip(by_definition(&capacities, &flows)) {
                let link = share.bottleneck.unwrap();
                assert!((on(link).sum::<f64>() - capacities[link]).abs() < 1e-9);
                assert!(on(link).all(|other| other <= share.rate * (1.0 + 1e-12)));
                assert!((share.rate - expected).abs() < 1e-12 * expected, "{} for {expected}", share.rate);
            }
        }
    }

    #[test]
    fn a_flow_without_links_is_unlimited() {
        assert_eq!(max_min_rates(&[1.0], &[&[]]), [Share { rate: f64::INFINITY, bottleneck: None }]);
    }

    #[test]
    fn strangers_do_not_touch_each_other() {
        let alone = max_min_rates(&[0.3, 0.7], &[&[0], &[0]]);
        let beside = max_min_rates(&[0.3, 0.7], &[&[0], &[1], &[0], &[1], &[1]]);
        assert_eq!([beside[0], beside[2]], [alone[0], alone[1]]);
    }
}
