//! Which flows cross which links, and in what order they stopped: what makes a filling go back to any level.
//!
//! Each link has a row of its flows: first those that others stopped, in the order in which they did, each with what was free
//! before it; then the rest in any order, which are those that the link stopped itself, or those that still rise. Setting a
//! link back is moving the border between the two.

use super::fair_share::level;

#[derive(Clone, Debug)]
pub(super) struct Crossings {
    links: Vec<Link>,
    /// A flow of slot s has places for as many hops as any has, a power of two, from `s << width` on.
    hops: Vec<Hop>,
    width: u32,
    /// All rows. One that outgrows its room moves to the end.
    rows: Vec<Crossing>,
}

/// A link and its row: `first..border` have been stopped by others, `border..end` have not.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// What others have left of the capacity, and the rate of the last that they stopped.
    free: f64,
    stopped_last: f64,
    first: u32,
    border: u32,
    end: u32,
    room: u32,
}

/// That a flow crosses a link, and where it is in the rows.
#[derive(Clone, Copy, Debug)]
struct Hop {
    link: u32,
    place: u32,
}

/// A flow's hop in the row of a link; before the border also its rate, and what was free before it.
#[derive(Clone, Copy, Debug, Default)]
struct Crossing {
    free: f64,
    rate: f64,
    hop: u32,
}

impl Crossings {
    pub fn new(capacities: &[f64]) -> Self {
        let link = |&free: &f64| Link { free, stopped_last: 0.0, first: 0, border: 0, end: 0, room: 0 };
        Self { links: capacities.iter().map(link).collect(), hops: vec![], width: 0, rows: vec![] }
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
            if self.links[link].end - self.links[link].first == self.links[link].room {
                self.make_room(link);
            }
            let at = &mut self.links[link];
            self.rows[at.end as usize].hop = hop as u32;
            self.hops[hop] = Hop { link: link as u32, place: at.end };
            at.end += 1;
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
            if place < at.border {
                at.move_border(&self.rows, place);
            }
            at.end -= 1;
            let moved = self.rows[at.end as usize].hop;
            self.rows[place as usize].hop = moved;
            self.hops[moved as usize].place = place;
        }
    }

    pub fn links_of(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.hops[self.hops_of(slot)].iter().map(|hop| hop.link).filter(|link| *link != self.nowhere())
    }

    #[inline]
    pub fn is_used(&self, link: u32) -> bool {
        self.links[link as usize].end > self.links[link as usize].first
    }

    /// The level at which a link fills if no more of its flows are stopped by others; `None` if they have stopped all.
    #[inline]
    pub fn level(&self, link: u32) -> Option<f64> {
        let at = &self.links[link as usize];
        let rising = at.end - at.border;
        (rising > 0).then(|| level(at.free, rising, at.stopped_last))
    }

    /// Changes with every flow of the link that others stop: as long as it does not, the link's level does not.
    #[inline]
    pub fn border(&self, link: u32) -> u32 {
        self.links[link as usize].border
    }

    /// Tells `meet` of all links of the flows of `link` that others have not stopped, and returns their number.
    #[inline]
    pub fn beside_rising(&self, link: u32, mut meet: impl FnMut(u32)) -> usize {
        let at = &self.links[link as usize];
        let hops = 1 << self.width;
        let rising = &self.rows[at.border as usize..at.end as usize];
        for crossing in rising {
            let first = crossing.hop as usize & !(hops - 1);
            self.hops[first..first + hops].iter().for_each(|hop| meet(hop.link));
        }
        rising.len()
    }

    /// Stops the flows of a link that others have not stopped at `rate`, and tells of each.
    #[inline]
    pub fn stop_rising(&mut self, link: u32, rate: f64, mut tell: impl FnMut(u32)) {
        let (links, hops, rows) = (&mut self.links[..], &mut self.hops[..], &mut self.rows[..]);
        let (first, end) = (links[link as usize].border as usize, links[link as usize].end as usize);
        for i in first..end {
            let stopped = rows[i].hop;
            let mut turn = 1;
            while turn < 1 << self.width {
                let hop = (stopped ^ turn) as usize;
                turn += 1;
                let Hop { link, place } = hops[hop];
                // A hop that the flow does not have leads beyond the end.
                let Some(at) = links.get_mut(link as usize) else { continue };
                let border = at.border as usize;
                let moved = rows[border].hop;
                rows[place as usize].hop = moved;
                rows[border] = Crossing { free: at.free, rate, hop: hop as u32 };
                hops[moved as usize].place = place;
                hops[hop].place = at.border;
                at.border += 1;
                at.free -= rate;
                at.stopped_last = rate;
            }
            tell(stopped >> self.width);
        }
    }

    /// Lets all of a link's flows rise again that others stopped at `floor` or above.
    #[inline]
    pub fn set_back(&mut self, link: u32, floor: f64) {
        let at = &mut self.links[link as usize];
        let stopped = &self.rows[at.first as usize..at.border as usize];
        let border = at.first + stopped.partition_point(|crossing| crossing.rate < floor) as u32;
        if border < at.border {
            at.move_border(&self.rows, border);
        }
    }

    /// The level at which a link fills if its flows that others stopped rise to where they stopped and no further.
    pub fn level_with_new(&self, link: u32) -> f64 {
        let at = &self.links[link as usize];
        let mut rising = f64::from(at.end - at.first);
        // Those who stop lower leave more to the others, so the level rises until nobody more stops below it.
        for crossing in &self.rows[at.first as usize..at.border as usize] {
            let level = crossing.free / rising;
            if crossing.rate >= level {
                return level;
            }
            rising -= 1.0;
        }
        at.free / rising
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
        self.rows.iter_mut().for_each(|crossing| crossing.hop = wider(crossing.hop));
        (self.hops, self.width) = (hops, width);
    }

    /// Makes room for more flows on a link.
    #[cold]
    fn make_room(&mut self, link: usize) {
        let at = &mut self.links[link];
        let to = self.rows.len() as u32;
        self.rows.extend_from_within(at.first as usize..at.end as usize);
        (at.border, at.end) = (at.border - at.first + to, at.end - at.first + to);
        (at.first, at.room) = (to, (2 * at.room).max(4));
        for place in at.first..at.end {
            self.hops[self.rows[place as usize].hop as usize].place = place;
        }
        self.rows.resize((at.first + at.room) as usize, Crossing::default());
    }
}

impl Link {
    /// Takes back what has happened since all before `border` were stopped.
    #[inline]
    fn move_border(&mut self, rows: &[Crossing], border: u32) {
        self.free = rows[border as usize].free;
        self.stopped_last = if border > self.first { rows[border as usize - 1].rate } else { 0.0 };
        self.border = border;
    }
}
