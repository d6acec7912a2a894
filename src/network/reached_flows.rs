//! The flows that are being transmitted, where a change solves again only what it can reach.
//!
//! Progressive filling raises all rates together and stops flows link by link, at rising levels (see `fair_share`). Let
//! flows come and go, and let `floor` be the lowest of
//!
//! - the rates of those that left: a link fills no earlier without them, and all links that such a flow crossed filled at
//!   its rate or above;
//! - for each link of those that came, the level at which that link would fill if its other flows kept their rates.
//!
//! Below `floor` the filling goes as before, step by step: flows with lower rates keep them. The others can change only if
//! they share a link with one that came or left, directly or through others that are not below `floor`. Only these rise
//! again, over what the kept ones leave free. `live_flows` fills everything anew and is what the tests compare with.

use super::finish_heap::FinishHeap;
use super::live_flows::Flow;
use super::routing::Route;
use crate::sim::SimTime;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// Rates this close to the floor rise again: they may be equal to it but for rounding.
const FLOOR_MARGIN: f64 = 1e-9;
/// The rate of a flow that has not been given one.
const NEW: f64 = f64::INFINITY;

#[derive(Clone, Debug)]
pub(super) struct ReachedFlows {
    links: Vec<Link>,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    by_key: HashMap<u64, u32>,
    finishes: FinishHeap,
    /// Links of flows that came or left since rates were last shared out, those of flows that came, and the lowest rate of
    /// those that left.
    changed: Vec<u32>,
    came: Vec<u32>,
    lowest_left: f64,
    stale: bool,
    /// Number of the present filling: marks of another one do not count.
    filling: u64,
    // What a filling needs, kept for its memory.
    reached: Vec<u32>,
    rising: Vec<u32>,
    levels: BinaryHeap<Level>,
    moved: Vec<(SimTime, u32)>,
}

#[derive(Clone, Debug)]
struct Link {
    capacity: f64,
    /// Slot of each flow that crosses it, and which of the flow's hops it is.
    crossing: Vec<(u32, u32)>,
    reached_in: u64,
    free: f64,
    rising: u32,
}

#[derive(Clone, Debug)]
struct Slot {
    rate: f64,
    bottleneck: u32,
    reached_in: u64,
    stopped: bool,
    /// Its place among the flows of each link that it crosses.
    places: Vec<u32>,
    flow: Option<Flow>,
}

/// A link and the common rate at which it fills; the heap hands out the lowest rate, then the lowest number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    rate: f64,
    link: u32,
}

impl Eq for Level {}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rate.total_cmp(&self.rate).then(other.link.cmp(&self.link))
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ReachedFlows {
    pub fn new(capacities: Vec<f64>) -> Self {
        let link = |capacity| Link { capacity, crossing: vec![], reached_in: 0, free: 0.0, rising: 0 };
        Self {
            links: capacities.into_iter().map(link).collect(),
            slots: vec![],
            vacant: vec![],
            by_key: HashMap::new(),
            finishes: FinishHeap::default(),
            changed: vec![],
            came: vec![],
            lowest_left: NEW,
            stale: false,
            filling: 0,
            reached: vec![],
            rising: vec![],
            levels: BinaryHeap::new(),
            moved: vec![],
        }
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub fn admit(&mut self, flow: Flow) {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            let empty = Slot { rate: NEW, bottleneck: 0, reached_in: 0, stopped: false, places: vec![], flow: None };
            self.slots.push(empty);
            self.slots.len() as u32 - 1
        });
        self.by_key.insert(flow.key, slot);
        let entry = &mut self.slots[slot as usize];
        entry.rate = NEW;
        entry.places.clear();
        for (hop, &channel) in flow.route.channels.iter().enumerate() {
            let crossing = &mut self.links[channel].crossing;
            entry.places.push(crossing.len() as u32);
            crossing.push((slot, hop as u32));
            self.changed.push(channel as u32);
            self.came.push(channel as u32);
        }
        entry.flow = Some(flow);
        self.stale = true;
    }

    /// Takes the flow out, if it is here, as it was when its rate last changed.
    pub fn withdraw(&mut self, key: u64) -> Option<Flow> {
        let slot = *self.by_key.get(&key)?;
        self.take(slot)
    }

    /// Each flow's key and route, in the order of admission.
    pub fn routes(&self) -> Vec<(u64, Arc<Route>)> {
        let flows = self.slots.iter().filter_map(|slot| slot.flow.as_ref());
        let mut routes: Vec<_> = flows.map(|flow| (flow.key, flow.route.clone())).collect();
        routes.sort_unstable_by_key(|(key, _)| *key);
        routes
    }

    /// The earliest finish, after sharing out the rates as of `now` if they are stale.
    pub fn next_finish(&mut self, now: SimTime) -> Option<SimTime> {
        if self.stale {
            self.fill(now);
        }
        self.finishes.first().map(|(finish, _)| finish)
    }

    /// Takes out the flows that have sent everything by `now`, in the order of admission.
    pub fn retire(&mut self, now: SimTime) -> Vec<Flow> {
        let mut finished = Vec::new();
        while let Some((finish, slot)) = self.finishes.first()
            && finish <= now
        {
            finished.extend(self.take(slot));
        }
        finished.sort_unstable_by_key(|flow| flow.key);
        finished.iter_mut().for_each(|flow| flow.settle(now));
        finished
    }

    fn take(&mut self, slot: u32) -> Option<Flow> {
        self.finishes.remove(slot);
        let flow = self.slots[slot as usize].flow.take()?;
        self.by_key.remove(&flow.key);
        self.lowest_left = self.lowest_left.min(self.slots[slot as usize].rate);
        for (hop, &channel) in flow.route.channels.iter().enumerate() {
            let place = self.slots[slot as usize].places[hop];
            let crossing = &mut self.links[channel].crossing;
            crossing.swap_remove(place as usize);
            if let Some(&(moved, its_hop)) = crossing.get(place as usize) {
                self.slots[moved as usize].places[its_hop as usize] = place;
            }
            self.changed.push(channel as u32);
        }
        self.vacant.push(slot);
        self.stale = true;
        Some(flow)
    }

    /// Shares out the rates again where they can have changed.
    fn fill(&mut self, now: SimTime) {
        self.stale = false;
        self.filling += 1;
        let floor = self.floor() * (1.0 - FLOOR_MARGIN);
        self.reach(floor);
        self.levels.clear();
        for &link in &self.reached {
            let at = &self.links[link as usize];
            if at.rising > 0 {
                self.levels.push(Level { rate: at.free / f64::from(at.rising), link });
            }
        }
        self.moved.clear();
        while let Some(Level { rate, link }) = self.levels.pop() {
            let at = &self.links[link as usize];
            if at.rising == 0 {
                continue;
            }
            let current = at.free / f64::from(at.rising);
            if current > rate {
                self.levels.push(Level { rate: current, link });
                continue;
            }
            self.stop_flows_of(link, current, now);
        }
        self.finishes.set_all(&self.moved);
    }

    /// The level below which the filling goes as it went before.
    fn floor(&mut self) -> f64 {
        self.came.sort_unstable();
        self.came.dedup();
        let levels = self.came.iter().map(|&link| self.level_with_new(link));
        levels.fold(self.lowest_left, f64::min)
    }

    /// The level at which `link` fills if its flows of known rate rise to that and no further.
    fn level_with_new(&self, link: u32) -> f64 {
        let at = &self.links[link as usize];
        let mut level = at.capacity / at.crossing.len() as f64;
        loop {
            let (mut free, mut rising) = (at.capacity, 0u32);
            for &(slot, _) in &at.crossing {
                let rate = self.slots[slot as usize].rate;
                if rate < level { free -= rate } else { rising += 1 }
            }
            // Those who stop lower leave more to the others, so the level rises until nobody more stops below it.
            let next = free / f64::from(rising);
            if next > level {
                level = next;
            } else {
                return level;
            }
        }
    }

    /// Collects links and flows that a change can reach through flows at `floor` or above, and what the others leave.
    fn reach(&mut self, floor: f64) {
        let filling = self.filling;
        self.reached.clear();
        self.rising.clear();
        for link in self.changed.drain(..) {
            if std::mem::replace(&mut self.links[link as usize].reached_in, filling) != filling {
                self.reached.push(link);
            }
        }
        self.came.clear();
        self.lowest_left = NEW;
        let mut next = 0;
        while let Some(&link) = self.reached.get(next) {
            next += 1;
            let (mut free, mut rising) = (self.links[link as usize].capacity, 0);
            for i in 0..self.links[link as usize].crossing.len() {
                let (slot, _) = self.links[link as usize].crossing[i];
                let entry = &mut self.slots[slot as usize];
                if entry.rate < floor {
                    free -= entry.rate;
                    continue;
                }
                rising += 1;
                if std::mem::replace(&mut entry.reached_in, filling) == filling {
                    continue;
                }
                entry.stopped = false;
                self.rising.push(slot);
                let route = &entry.flow.as_ref().expect("a flow that crosses a link").route;
                for &channel in &route.channels {
                    if std::mem::replace(&mut self.links[channel].reached_in, filling) != filling {
                        self.reached.push(channel as u32);
                    }
                }
            }
            let at = &mut self.links[link as usize];
            (at.free, at.rising) = (free, rising);
        }
    }

    /// Gives the flows that still rise on `link` their rate. A flow whose rate stays the same keeps its finish to the bit.
    fn stop_flows_of(&mut self, link: u32, rate: f64, now: SimTime) {
        for i in 0..self.links[link as usize].crossing.len() {
            let (slot, _) = self.links[link as usize].crossing[i];
            let entry = &mut self.slots[slot as usize];
            if entry.reached_in != self.filling || entry.stopped {
                continue;
            }
            entry.stopped = true;
            let flow = entry.flow.as_mut().expect("a flow that crosses a link");
            for &channel in &flow.route.channels {
                let crossed = &mut self.links[channel];
                crossed.free -= rate;
                crossed.rising -= 1;
            }
            if rate == entry.rate && link == entry.bottleneck {
                continue;
            }
            flow.settle(now);
            flow.limit(link as usize, rate, now);
            if rate != entry.rate {
                self.moved.push((flow.finish, slot));
            }
            (entry.rate, entry.bottleneck) = (rate, link);
        }
    }

    /// Rate of each live flow by key, after sharing out.
    #[cfg(test)]
    pub fn rates(&mut self, now: SimTime) -> Vec<(u64, f64)> {
        self.next_finish(now);
        let mut rates: Vec<(u64, f64)> =
            self.by_key.iter().map(|(key, slot)| (*key, self.slots[*slot as usize].rate)).collect();
        rates.sort_unstable_by_key(|(key, _)| *key);
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::fair_share::max_min_rates;
    use crate::random::CounterStream;
    use crate::sim::SimDuration;

    /// Flows come and go on random networks, alone and in crowds; after each change all rates are those of a filling of
    /// everything.
    #[test]
    fn rates_are_those_of_filling_everything() {
        for case in 0..120 {
            let draws = CounterStream::new(31, 37).child(case);
            let mut n = 0;
            let mut below = |limit: usize| {
                n += 1;
                (draws.bits(n) % limit as u64) as usize
            };
            let links = 2 + below(12);
            // Few different capacities, so that levels are often equal.
            let capacities: Vec<f64> = (0..links).map(|_| 1e6 * (1 + below(6)) as f64).collect();
            let mut live = ReachedFlows::new(capacities.clone());
            let mut known: Vec<(u64, Vec<usize>)> = vec![];
            for step in 0..150u64 {
                for come in 0..[1, 0, 2, 7][below(4)] {
                    let mut channels: Vec<usize> = (0..1 + below(4)).map(|_| below(links)).collect();
                    channels.sort_unstable();
                    channels.dedup();
                    let key = step * 10 + come;
                    let route = Arc::new(Route { channels: channels.clone(), latency: SimDuration::ZERO });
                    live.admit(Flow::new(key, route, 1 << 40, SimTime::ZERO));
                    known.push((key, channels));
                }
                for _ in 0..[0, 1, 1, 5][below(4)].min(known.len()) {
                    let (key, _) = known.remove(below(known.len()));
                    assert!(live.withdraw(key).is_some() && live.withdraw(key).is_none());
                }
                let slices: Vec<&[usize]> = known.iter().map(|(_, channels)| channels.as_slice()).collect();
                let shares = max_min_rates(&capacities, &slices);
                let rates = live.rates(SimTime::from_nanos(step));
                assert_eq!((rates.len(), live.len()), (shares.len(), shares.len()));
                for (((key, rate), share), (expected_key, _)) in rates.iter().zip(&shares).zip(&known) {
                    assert_eq!(key, expected_key);
                    assert!(
                        (rate - share.rate).abs() <= 1e-9 * share.rate,
                        "case {case}, step {step}: {rate}, {share:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_reached_is_not_touched() {
        // Two links that share no flow, and one flow that is slower than what happens beside it on its second link.
        let mut live = ReachedFlows::new(vec![1e6, 8e6, 5e6]);
        let admit = |live: &mut ReachedFlows, key, channels: &[usize]| {
            let route = Arc::new(Route { channels: channels.to_vec(), latency: SimDuration::ZERO });
            live.admit(Flow::new(key, route, 1 << 30, SimTime::ZERO));
        };
        admit(&mut live, 0, &[0, 1]);
        admit(&mut live, 1, &[1]);
        admit(&mut live, 2, &[2]);
        assert_eq!(live.rates(SimTime::ZERO), [(0, 1e6), (1, 7e6), (2, 5e6)]);
        admit(&mut live, 3, &[1]);
        assert_eq!(live.rates(SimTime::ZERO), [(0, 1e6), (1, 3.5e6), (2, 5e6), (3, 3.5e6)]);
        assert_eq!((live.reached.as_slice(), live.rising.len()), (&[1][..], 2));
    }
}
