//! Progressive filling that a change sets back only as far as it reaches: the rates of `fair_share`, bit for bit, for less
//! work.
//!
//! Filling raises all rates together and stops flows link by link, at rising levels. Let flows come and go, and let the floor
//! be the lowest of
//!
//! - the rates of those that left: a link fills no earlier without them, and all links that such a flow crossed filled at
//!   its rate or above;
//! - for each link of those that came, the level at which that link would fill if its other flows kept their rates.
//!
//! Below the floor the filling goes as before, step by step: flows that stopped there keep their rates. The others can change
//! only if they share a link with one that came or left, directly or through others that did not stop below the floor. Only
//! these rise again, over what the kept ones leave free; `crossings` sets the links back.
//!
//! Knows nothing of bytes or time. Start with [`Filling::fill`].

use super::crossings::Crossings;
use super::level_queue::{Level, LevelQueue};

/// What stopped this close below the floor rises again: it may be at the floor but for rounding.
const FLOOR_MARGIN: f64 = 1e-9;
/// Where finding the links that are reached takes more looks at flows than there are links, all are set back, for so many
/// fillings. Those that were not reached come to what they were.
const LOOK_AGAIN: u32 = 127;
/// The rate of a flow that has not stopped yet, and the level of a link that is not full.
const RISING: f64 = f64::INFINITY;
/// The level of a link that nobody uses, below any floor.
const UNUSED: f64 = 0.0;

/// Flows over links, each known by a slot that another takes over once it has left.
#[derive(Clone, Debug)]
pub(super) struct Filling {
    crossings: Crossings,
    /// By slot: the flow's rate, and the link that stops it.
    rates: Vec<f64>,
    stopped_by: Vec<u32>,
    vacant: Vec<u32>,
    /// By link: the level at which it filled.
    filled: Vec<f64>,
    /// Links of flows that came or left since the last filling, those of flows that came, and the lowest rate of those that
    /// left.
    changed: Vec<u32>,
    came: Vec<u32>,
    lowest_left: f64,
    /// So many fillings are to go on without asking what a change reaches.
    wide: u32,
    // What a filling needs, kept for its memory.
    reach: Reach,
    filling: Vec<Level>,
    queue: LevelQueue,
}

/// Links that a change can reach.
#[derive(Clone, Debug)]
struct Reach {
    links: Vec<u32>,
    met: usize,
    /// Number of the present filling, and of the last one that met each link.
    number: u64,
    met_in: Vec<u64>,
}

impl Reach {
    /// Adds a link if it is not here: without a branch, which nobody could foretell.
    #[inline]
    fn meet(&mut self, link: u32) {
        let last = std::mem::replace(&mut self.met_in[link as usize], self.number);
        self.links[self.met] = link;
        self.met += usize::from(last != self.number);
    }
}

impl Filling {
    pub fn new(capacities: &[f64]) -> Self {
        let links = capacities.len();
        // One more, where hops lead that are not used.
        let reach = Reach { links: vec![0; links + 2], met: 0, number: 0, met_in: vec![0; links + 1] };
        Self {
            crossings: Crossings::new(capacities),
            rates: vec![],
            stopped_by: vec![],
            vacant: vec![],
            filled: vec![UNUSED; links],
            changed: vec![],
            came: vec![],
            lowest_left: RISING,
            wide: 0,
            reach,
            filling: vec![],
            queue: LevelQueue::new(links),
        }
    }

    /// Adds a flow over `links`, at least one, and returns its slot.
    pub fn admit(&mut self, links: &[usize]) -> u32 {
        let slot = self.vacant.pop().unwrap_or(self.rates.len() as u32);
        if slot as usize == self.rates.len() {
            self.rates.push(RISING);
            self.stopped_by.push(0);
        }
        self.rates[slot as usize] = RISING;
        self.crossings.add(slot, links);
        for &link in links {
            if self.filled[link] == UNUSED {
                self.filled[link] = RISING;
            }
        }
        self.changed.extend(self.crossings.links_of(slot));
        self.came.extend(self.crossings.links_of(slot));
        slot
    }

    pub fn remove(&mut self, slot: u32) {
        let rate = self.rates[slot as usize];
        self.lowest_left = self.lowest_left.min(rate);
        for link in self.crossings.links_of(slot) {
            self.changed.push(link);
            if rate == RISING {
                // It came and left between two fillings, which tells nothing of those that stopped here.
                self.lowest_left = self.lowest_left.min(self.filled[link as usize]);
            }
        }
        self.crossings.remove(slot);
        self.vacant.push(slot);
    }

    /// Shares out the rates again where they can have changed; tells `stop` of each flow of which the rate or the link that
    /// stops it has changed: its slot, that link, the rate.
    pub fn fill(&mut self, mut stop: impl FnMut(u32, u32, f64)) {
        let floor = self.floor() * (1.0 - FLOOR_MARGIN);
        self.set_back(floor);
        self.queue.start(&self.filling);
        while let Some(Level { rate, link, note }) = self.queue.pop() {
            let mut level = rate;
            let border = self.crossings.border(link);
            if border != note {
                let Some(now) = self.crossings.level(link) else { continue };
                if now > rate {
                    self.queue.add(Level { rate: now, link, note: border });
                    continue;
                }
                level = now;
            }
            self.filled[link as usize] = level;
            self.crossings.stop_rising(link, level, |slot| {
                let rate = std::mem::replace(&mut self.rates[slot as usize], level);
                let stopped_by = std::mem::replace(&mut self.stopped_by[slot as usize], link);
                if rate != level || stopped_by != link {
                    stop(slot, link, level);
                }
            });
        }
    }

    /// The level below which the filling goes as it went before.
    fn floor(&mut self) -> f64 {
        let levels = self.came.drain(..).map(|link| self.crossings.level_with_new(link));
        let floor = levels.fold(self.lowest_left, f64::min);
        self.lowest_left = RISING;
        floor
    }

    /// Sets the links that a change can reach, through flows that did not stop below `floor`, back to it.
    fn set_back(&mut self, floor: f64) {
        let Self { crossings, reach, filled, filling, .. } = self;
        reach.number += 1;
        reach.met = 0;
        reach.meet(crossings.nowhere());
        self.changed.drain(..).for_each(|link| reach.meet(link));
        filling.clear();
        let is_wide = self.wide > 0;
        if is_wide {
            self.wide -= 1;
            reach.met = 1;
            for (link, filled) in (0..).zip(&*filled) {
                reach.links[reach.met] = link;
                reach.met += usize::from(*filled >= floor);
            }
        }
        let mut looks = 0;
        let mut next = 1;
        while next < reach.met {
            let link = reach.links[next];
            next += 1;
            filled[link as usize] = if crossings.is_used(link) { RISING } else { UNUSED };
            crossings.set_back(link, floor);
            let Some(rate) = crossings.level(link) else { continue };
            filling.push(Level { rate, link, note: crossings.border(link) });
            if !is_wide {
                looks += crossings.beside_rising(link, |other| reach.meet(other));
            }
        }
        if looks > filled.len() {
            self.wide = LOOK_AGAIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::fair_share::max_min_rates;
    use crate::random::CounterStream;
    use std::collections::BTreeMap;

    /// Flows come and go on random networks, alone and in crowds; after each change all rates and bottlenecks are those of a
    /// filling of everything, to the bit.
    #[test]
    fn rates_are_those_of_filling_everything() {
        for case in 0..400 {
            let draws = CounterStream::new(31, 37).child(case);
            let mut n = 0;
            let mut below = |limit: usize| {
                n += 1;
                (draws.bits(n) % limit as u64) as usize
            };
            let most = [12, 40][below(2)];
            let links = 2 + below(most);
            // Few different capacities, so that levels are often equal but for rounding.
            let kinds = 1 + below(6);
            let capacities: Vec<f64> = (0..links).map(|_| 1e6 * (1 + below(kinds)) as f64).collect();
            let mut filling = Filling::new(&capacities);
            let mut known: Vec<(u32, Vec<usize>)> = vec![];
            let mut shares = BTreeMap::new();
            let crowd = [1, 4][below(2)];
            for step in 0..150 {
                for _ in 0..[1, 0, 2, 7][below(4)] * crowd {
                    let mut channels: Vec<usize> = (0..1 + below(4)).map(|_| below(links)).collect();
                    channels.sort_unstable();
                    channels.dedup();
                    known.push((filling.admit(&channels), channels));
                }
                let leave = [0, 1, 1, 7 * crowd][below(4)];
                for _ in 0..leave.min(known.len()) {
                    let (slot, _) = known.remove(below(known.len()));
                    filling.remove(slot);
                    shares.remove(&slot);
                }
                if below(4) == 0 {
                    continue;
                }
                filling.fill(|slot, link, rate| {
                    shares.insert(slot, (rate, Some(link as usize)));
                });
                let slices: Vec<&[usize]> = known.iter().map(|(_, channels)| channels.as_slice()).collect();
                for (share, (slot, _)) in max_min_rates(&capacities, &slices).iter().zip(&known) {
                    assert_eq!((share.rate, share.bottleneck), shares[slot], "case {case}, step {step}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_reached_is_not_touched() {
        // Two links that share no flow, and one flow that is slower than what happens beside it on its second link; more that
        // nobody uses.
        let mut filling = Filling::new(&[&[1e6, 8e6, 5e6][..], &[1e6; 20]].concat());
        let [slow, fast, apart] = [&[0, 1][..], &[1], &[2]].map(|links| filling.admit(links));
        let fill = |filling: &mut Filling| {
            let mut stopped = vec![];
            filling.fill(|slot, link, rate| stopped.push((slot, link, rate)));
            stopped
        };
        assert_eq!(fill(&mut filling), [(slow, 0, 1e6), (apart, 2, 5e6), (fast, 1, 7e6)]);
        let new = filling.admit(&[1]);
        assert_eq!(fill(&mut filling), [(fast, 1, 3.5e6), (new, 1, 3.5e6)]);
        assert_eq!(filling.filling.len(), 1);
    }

    #[test]
    fn what_comes_and_leaves_at_once_changes_nothing() {
        let mut filling = Filling::new(&[4e6, 3e6]);
        for links in [&[0, 1][..], &[0], &[0]] {
            filling.admit(links);
        }
        filling.fill(|_, _, _| ());
        let new = filling.admit(&[0]);
        filling.remove(new);
        filling.fill(|slot, _, _| panic!("{slot} has changed"));
        assert_eq!(filling.rates[..3], [4e6 / 3.0; 3]);
    }
}
