//! Which flows cross which links, and in what order they stopped: what makes a filling go back to any level.
//!
//! Each link has a row of its flows: first those that others stopped, in the order in which they did, each with what it left
//! free; then the rest in any order, which are those that the link stopped itself, or those that still rise. Setting a link
//! back is moving the border between the two.

use super::fair_share::level;

#[derive(Clone, Debug)]
pub(super) struct Crossings {
    links: Vec<Link>,
    /// A flow of slot s has places for as many hops as any has, a power of two, from `s << width` on.
    hops: Vec<Hop>,
    width: u32,
    /// All rows, by place, as hops and as stops. A row that outgrows its room moves to the end.
    rows: Vec<u32>,
    stops: Vec<Stop>,
}

/// A link and the places of its row: the first has no flow, only what is free when none has stopped; then up to `stopped`
/// there are the flows that others stopped, and up to `last` the others.
#[derive(Clone, Copy, Debug)]
struct Link {
    first: u32,
    stopped: u32,
    last: u32,
    room: u32,
}

/// That a flow crosses a link, and where it is in the link's row.
#[derive(Clone, Copy, Debug)]
struct Hop {
    link: u32,
    place: u32,
}

/// The rate at which another link stopped a flow, and what it left of the capacity with all those before it.
#[derive(Clone, Copy, Debug, Default)]
struct Stop {
    rate: f64,
    free: f64,
}

impl Crossings {
    pub fn new(capacities: &[f64]) -> Self {
        let link = |place: u32| Link { first: place, stopped: place, last: place, room: 1 };
        Self {
            links: (0..).take(capacities.len()).map(link).collect(),
            hops: vec![],
            width: 0,
            rows: vec![0; capacities.len()],
            stops: capacities.iter().map(|&free| Stop { rate: 0.0, free }).collect(),
        }
    }

    /// The number of no link, which hops that a flow does not have lead to.
    pub fn nowhere(&self) -> u32 {
        self.links.len() as u32
    }

    pub fn add(&mut self, slot: u32, links: &[usize]) {
        let width = links.len().next_power_of_two().trailing_zeros();
        if width > self.width {
            self.widen(width);
        }
        let unused = Hop { link: self.nowhere(), place: 0 };
        let hops = self.hops_of(slot);
        if self.hops.len() < hops.end {
            self.hops.resize(hops.end, unused);
        }
        self.hops[hops.clone()].fill(unused);
        for (hop, &link) in hops.zip(links) {
            if self.links[link].last + 1 == self.links[link].first + self.links[link].room {
                self.make_room(link);
            }
            let at = &mut self.links[link];
            at.last += 1;
            self.rows[at.last as usize] = hop as u32;
            self.hops[hop] = Hop { link: link as u32, place: at.last };
        }
    }

    /// Takes a flow out. Those of its links' flows that stopped later may rise again.
    pub fn remove(&mut self, slot: u32) {
        for hop in self.hops_of(slot) {
            let Hop { link, place } = self.hops[hop];
            if link == self.nowhere() {
                continue;
            }
            let at = &mut self.links[link as usize];
            at.stopped = at.stopped.min(place - 1);
            let moved = self.rows[at.last as usize];
            at.last -= 1;
            self.rows[place as usize] = moved;
            self.hops[moved as usize].place = place;
        }
    }

    pub fn links_of(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.hops[self.hops_of(slot)].iter().map(|hop| hop.link).filter(|link| *link != self.nowhere())
    }

    #[inline]
    pub fn is_used(&self, link: u32) -> bool {
        self.links[link as usize].last > self.links[link as usize].first
    }

    /// The level at which a link fills if no more of its flows are stopped by others; `None` if they have stopped all.
    #[inline]
    pub fn level(&self, link: u32) -> Option<f64> {
        let at = &self.links[link as usize];
        let rising = at.last - at.stopped;
        let stopped = self.stops[at.stopped as usize];
        (rising > 0).then(|| level(stopped.free, rising, stopped.rate))
    }

    /// Changes with every flow of the link that others stop: as long as it does not, the link's level does not.
    #[inline]
    pub fn border(&self, link: u32) -> u32 {
        self.links[link as usize].stopped
    }

    /// Tells `meet` of all links of the flows of `link` that others have not stopped, and returns their number.
    #[inline]
    pub fn beside_rising(&self, link: u32, mut meet: impl FnMut(u32)) -> usize {
        let hops = 1 << self.width;
        let rising = &self.rows[self.links[link as usize].rising()];
        for &hop in rising {
            let first = hop as usize & !(hops - 1);
            self.hops[first..first + hops].iter().for_each(|hop| meet(hop.link));
        }
        rising.len()
    }

    /// Stops the flows of a link that others have not stopped at `rate`, and tells of each.
    #[inline]
    pub fn stop_rising(&mut self, link: u32, rate: f64, mut tell: impl FnMut(u32)) {
        let hops_a_flow = 1_u32 << self.width;
        let (links, hops) = (&mut self.links[..], &mut self.hops[..]);
        let (rows, stops) = (&mut self.rows[..], &mut self.stops[..]);
        for i in links[link as usize].rising() {
            let stopped = rows[i];
            for turn in 1..hops_a_flow {
                let hop = (stopped ^ turn) as usize;
                let Hop { link, place } = hops[hop];
                // A hop that the flow does not have leads beyond the end.
                let Some(at) = links.get_mut(link as usize) else { continue };
                let free = stops[at.stopped as usize].free - rate;
                at.stopped += 1;
                let border = at.stopped as usize;
                let moved = std::mem::replace(&mut rows[border], hop as u32);
                rows[place as usize] = moved;
                stops[border] = Stop { rate, free };
                hops[moved as usize].place = place;
                hops[hop].place = at.stopped;
            }
            tell(stopped >> self.width);
        }
    }

    /// Lets all of a link's flows rise again that others stopped at `floor` or above.
    #[inline]
    pub fn set_back(&mut self, link: u32, floor: f64) {
        let at = &mut self.links[link as usize];
        let stops = &self.stops[at.first as usize + 1..=at.stopped as usize];
        at.stopped = at.first + stops.partition_point(|stop| stop.rate < floor) as u32;
    }

    /// The level at which a link fills if its flows that others stopped rise to where they stopped and no further.
    pub fn level_with_new(&self, link: u32) -> f64 {
        let at = &self.links[link as usize];
        let mut rising = f64::from(at.last - at.first);
        let mut free = self.stops[at.first as usize].free;
        // Those who stop lower leave more to the others, so the level rises until nobody more stops below it.
        for stop in &self.stops[at.first as usize + 1..=at.stopped as usize] {
            let level = free / rising;
            if stop.rate >= level {
                return level;
            }
            rising -= 1.0;
            free = stop.free;
        }
        free / rising
    }

    fn hops_of(&self, slot: u32) -> std::ops::Range<usize> {
        let first = (slot as usize) << self.width;
        first..first + (1 << self.width)
    }

    /// Makes room for more hops a flow.
    #[cold]
    fn widen(&mut self, width: u32) {
        let by = width - self.width;
        let wider = |hop: u32| (hop >> self.width << width) | (hop & ((1 << self.width) - 1));
        let mut hops = vec![Hop { link: self.nowhere(), place: 0 }; self.hops.len() << by];
        for (hop, known) in (0..).zip(&self.hops) {
            hops[wider(hop) as usize] = *known;
        }
        self.rows.iter_mut().for_each(|hop| *hop = wider(*hop));
        (self.hops, self.width) = (hops, width);
    }

    /// Makes room for more flows on a link.
    #[cold]
    fn make_room(&mut self, link: usize) {
        let at = &mut self.links[link];
        let row = at.first as usize..at.last as usize + 1;
        let by = self.rows.len() as u32 - at.first;
        self.rows.extend_from_within(row.clone());
        self.stops.extend_from_within(row);
        (at.first, at.stopped, at.last) = (at.first + by, at.stopped + by, at.last + by);
        at.room = (2 * at.room).max(4);
        for place in at.first + 1..=at.last {
            self.hops[self.rows[place as usize] as usize].place = place;
        }
        let end = (at.first + at.room) as usize;
        self.rows.resize(end, 0);
        self.stops.resize(end, Stop::default());
    }
}

impl Link {
    /// The places of the flows that others have not stopped.
    #[inline]
    fn rising(&self) -> std::ops::Range<usize> {
        self.stopped as usize + 1..self.last as usize + 1
    }
}
