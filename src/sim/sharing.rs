//! Processor sharing: everybody is served at once, at an equal share of the capacity.

use std::collections::{BTreeMap, BTreeSet};

use super::executor::Sim;
use super::fluid::{Fluid, FluidModel};
use super::resource::Served;
use super::time::{SimDuration, SimTime};

/// A capacity that all live flows share equally, each up to a limit. An arrival or a departure costs O(log n).
///
/// It keeps one *virtual work* clock that advances at the rate of a single flow. A flow of volume v that starts at
/// virtual work w finishes at w + v, whoever comes and goes: no flow is touched until it ends (Parekh, Gallager 1993).
#[derive(Clone, Debug)]
pub struct EqualShare {
    /// Units of volume per second.
    capacity: f64,
    flow_limit: f64,
    virtual_work: f64,
    updated: SimTime,
    flows: BTreeMap<u64, ActiveFlow>,
    /// (virtual work at the finish, key). Non-negative floats order like their bits.
    finishes: BTreeSet<(u64, u64)>,
    next_key: u64,
}

#[derive(Clone, Copy, Debug)]
struct ActiveFlow {
    volume: f64,
    started: SimTime,
    finish: f64,
}

/// A flow that has been served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareReport {
    pub volume: f64,
    pub started: SimTime,
    /// The first nanosecond by which the whole volume had passed.
    pub finished: SimTime,
}

impl EqualShare {
    /// `capacity` in units of volume per second.
    pub fn new(capacity: f64) -> Self {
        Self {
            capacity,
            flow_limit: f64::INFINITY,
            virtual_work: 0.0,
            updated: SimTime::ZERO,
            flows: BTreeMap::new(),
            finishes: BTreeSet::new(),
            next_key: 0,
        }
    }

    /// Bounds what one flow gets, in units of volume per second, even when it is alone.
    pub fn with_flow_limit(self, flow_limit: f64) -> Self {
        Self { flow_limit, ..self }
    }

    /// Changes the capacity from the last [`advance`](FluidModel::advance) on.
    pub fn set_capacity(&mut self, capacity: f64) {
        self.capacity = capacity;
    }

    pub fn live_flows(&self) -> usize {
        self.flows.len()
    }

    /// Units of volume per second that each live flow gets.
    pub fn flow_rate(&self) -> f64 {
        (self.capacity / self.flows.len() as f64).min(self.flow_limit)
    }

    /// Moves on by a span in which nobody finishes before its end.
    fn step(&mut self, to: SimTime, finished: &mut Vec<(u64, ShareReport)>) {
        if self.flows.is_empty() {
            self.updated = to;
            return;
        }
        self.virtual_work += self.flow_rate() * (to - self.updated).as_seconds();
        self.updated = to;
        // Volumes add up with rounding errors; what is missing by less than those has passed.
        let reached = self.virtual_work * (1.0 + 4.0 * f64::EPSILON);
        let from = finished.len();
        while let Some(&(finish, key)) = self.finishes.first()
            && f64::from_bits(finish) <= reached
        {
            self.finishes.pop_first();
            if let Some(flow) = self.flows.remove(&key) {
                finished.push((key, ShareReport { volume: flow.volume, started: flow.started, finished: to }));
            }
        }
        finished[from..].sort_unstable_by_key(|(key, _)| *key);
        if self.flows.is_empty() {
            self.virtual_work = 0.0;
        }
    }
}

impl FluidModel for EqualShare {
    /// The volume to serve: finite, not negative.
    type Request = f64;
    type Report = ShareReport;

    fn start(&mut self, now: SimTime, volume: f64) -> u64 {
        debug_assert!(volume >= 0.0 && volume.is_finite(), "a flow's volume must be a length of work, not {volume}");
        let key = self.next_key;
        self.next_key += 1;
        let finish = self.virtual_work + volume;
        self.flows.insert(key, ActiveFlow { volume, started: now, finish });
        self.finishes.insert((finish.to_bits(), key));
        key
    }

    fn cancel(&mut self, _now: SimTime, key: u64) -> Option<Self::Report> {
        if let Some(flow) = self.flows.remove(&key) {
            self.finishes.remove(&(flow.finish.to_bits(), key));
        }
        None
    }

    fn next_event(&self) -> Option<SimTime> {
        let &(finish, _) = self.finishes.first()?;
        let left = f64::from_bits(finish) - self.virtual_work;
        if left <= 0.0 {
            return Some(self.updated);
        }
        Some(self.updated + SimDuration::from_seconds(left / self.flow_rate()))
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, ShareReport)> {
        let mut finished = Vec::new();
        while let Some(next) = self.next_event()
            && next <= now
        {
            self.step(next, &mut finished);
        }
        self.step(now, &mut finished);
        finished
    }
}

/// Servers that divide themselves equally among all customers, none of whom gets more than one server's speed.
#[derive(Clone, Debug)]
pub struct ProcessorSharing {
    sim: Sim,
    fluid: Fluid<EqualShare>,
}

impl ProcessorSharing {
    pub fn new(sim: &Sim, servers: usize) -> Self {
        let model = EqualShare::new(servers as f64).with_flow_limit(1.0);
        Self { sim: sim.clone(), fluid: Fluid::new(sim, model) }
    }

    /// Gets `work` done, given as the time that it takes one server alone. `waited` is the delay due to sharing.
    pub async fn serve(&self, work: SimDuration) -> Served {
        let arrived = self.sim.now();
        self.fluid.transfer(work.as_seconds()).await;
        let sojourn = self.sim.now() - arrived;
        let waited = SimDuration::from_nanos(sojourn.as_nanos().saturating_sub(work.as_nanos()));
        Served { waited, service: work }
    }

    /// Customers being served now.
    pub fn in_service(&self) -> usize {
        self.fluid.with(|model| model.live_flows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(f64) -> SimTime = SimTime::from_seconds;

    fn finishes(reports: Vec<(u64, ShareReport)>) -> Vec<(u64, f64)> {
        reports.into_iter().map(|(key, report)| (key, report.finished.as_seconds())).collect()
    }

    #[test]
    fn agrees_with_exact_completion_times() {
        // Exact rationals: 10 units/s shared by 40 units from 0 s, 30 from 2 s and 10 from 5 s.
        let mut link = EqualShare::new(10.0);
        let a = link.start(S(0.0), 40.0);
        assert!(link.advance(S(2.0)).is_empty());
        let b = link.start(S(2.0), 30.0);
        assert!(link.advance(S(5.0)).is_empty());
        let c = link.start(S(5.0), 10.0);
        assert_eq!(finishes(link.advance(S(20.0))), [(a, 6.5), (c, 7.5), (b, 8.0)]);
        assert_eq!((link.live_flows(), link.next_event()), (0, None));
    }

    #[test]
    fn joint_finishes_come_in_order_of_admission_and_limits_bind() {
        let mut link = EqualShare::new(10.0).with_flow_limit(4.0);
        let first = link.start(S(0.0), 8.0);
        assert_eq!(link.flow_rate(), 4.0);
        link.advance(S(1.0));
        let second = link.start(S(1.0), 4.0);
        let third = link.start(S(1.0), 40.0);
        assert_eq!(link.next_event(), Some(S(1.0 + 4.0 / (10.0 / 3.0))));
        link.cancel(S(1.0), third);
        assert_eq!(finishes(link.advance(S(2.0))), [(first, 2.0), (second, 2.0)]);
    }

    #[test]
    fn no_capacity_means_never_and_no_volume_means_now() {
        let mut link = EqualShare::new(0.0);
        link.start(S(0.0), 1.0);
        assert_eq!(link.next_event(), Some(SimTime::MAX));
        let empty = link.start(S(0.0), 0.0);
        assert_eq!(finishes(link.advance(S(0.0))), [(empty, 0.0)]);
    }
}
