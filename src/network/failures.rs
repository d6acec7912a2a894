//! When links are out of service: at stated times, or at random ones.

use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};

/// The outages of one link, each with an end.
#[derive(Clone, Debug, PartialEq)]
pub enum Outages {
    /// From when to when, ascending and apart.
    Stated(Vec<(SimTime, SimTime)>),
    /// An alternating renewal process: up and down for exponential times with these means, up at first.
    Random { mean_up: SimDuration, mean_down: SimDuration, draws: CounterStream },
}

impl Outages {
    /// From when to when outage number `n` lasts, given where the one before it ended.
    fn number(&self, n: u64, before: SimTime) -> Option<(SimTime, SimTime)> {
        match self {
            Outages::Stated(times) => times.get(usize::try_from(n).ok()?).copied(),
            Outages::Random { mean_up, mean_down, draws } => {
                let span = |mean: &SimDuration, k| SimDuration::from_seconds(mean.as_seconds() * draws.exponential(k));
                let from = before + span(mean_up, 2 * n);
                Some((from, from + span(mean_down, 2 * n + 1)))
            }
        }
    }
}

/// A link that fails, as far as time has come.
#[derive(Clone, Debug)]
struct Failing {
    channels: Vec<usize>,
    outages: Outages,
    /// The next outage, or the one that is on, and its number.
    outage: Option<(SimTime, SimTime)>,
    number: u64,
    is_down: bool,
}

impl Failing {
    fn next_change(&self) -> Option<SimTime> {
        self.outage.map(|(from, to)| if self.is_down { to } else { from })
    }
}

/// All links that fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    links: Vec<Failing>,
}

impl Failures {
    pub fn add(&mut self, channels: Vec<usize>, outages: Outages) {
        let outage = outages.number(0, SimTime::ZERO);
        self.links.push(Failing { channels, outages, outage, number: 0, is_down: false });
    }

    pub fn are_possible(&self) -> bool {
        !self.links.is_empty()
    }

    /// When a link fails or comes back next.
    pub fn next_change(&self) -> Option<SimTime> {
        self.links.iter().filter_map(Failing::next_change).min()
    }

    /// Lets happen what happens at `now`.
    pub fn pass(&mut self, now: SimTime) {
        for link in &mut self.links {
            while link.next_change().is_some_and(|change| change <= now) {
                if link.is_down {
                    let ended = link.outage.map_or(now, |(_, to)| to);
                    link.number += 1;
                    link.outage = link.outages.number(link.number, ended);
                }
                link.is_down = !link.is_down;
            }
        }
    }

    pub fn is_down(&self, channel: usize) -> bool {
        self.links.iter().any(|link| link.is_down && link.channels.contains(&channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_link_is_down_for_its_share_of_time() {
        let (up, down) = (SimDuration::from_seconds(30.0), SimDuration::from_seconds(10.0));
        let mut failures = Failures::default();
        let draws = CounterStream::new(41, 43);
        failures.add(vec![3], Outages::Random { mean_up: up, mean_down: down, draws });
        let (mut spent, mut now, changes) = ([0.0; 2], SimTime::ZERO, 20_000);
        for _ in 0..changes {
            let next = failures.next_change().expect("it goes on for ever");
            spent[usize::from(failures.is_down(3))] += (next - now).as_seconds();
            now = next;
            failures.pass(now);
        }
        // The mean of n exponential times has a standard error of its n-th root part.
        let error = 4.0 / f64::sqrt(f64::from(changes) / 2.0);
        for (spent, mean) in spent.into_iter().zip([30.0, 10.0]) {
            let measured = spent / (f64::from(changes) / 2.0);
            assert!((measured / mean - 1.0).abs() < error, "{measured} for {mean}");
        }
        assert!(!failures.is_down(2));
    }

    #[test]
    fn stated_outages_come_and_end_as_stated() {
        let at = SimTime::from_nanos;
        let mut failures = Failures::default();
        failures.add(vec![0, 1], Outages::Stated(vec![(at(5), at(7)), (at(9), at(10))]));
        let mut seen = vec![];
        while let Some(now) = failures.next_change() {
            failures.pass(now);
            seen.push((now.as_nanos(), failures.is_down(0), failures.is_down(1)));
        }
        assert_eq!(seen, [(5, true, true), (7, false, false), (9, true, true), (10, false, false)]);
        // Outages of which nobody took note pass all the same.
        failures = Failures::default();
        failures.add(vec![0], Outages::Stated(vec![(at(5), at(7)), (at(9), at(12))]));
        failures.pass(at(11));
        assert!(failures.is_down(0) && failures.next_change() == Some(at(12)));
    }
}
