//! What has begun and not ended: where rounds wait for nobody, one may end in the midst of it.

use super::DeviceId;
use super::overlap::Doing;
use crate::sim::SimTime;

/// Whose time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Occupied {
    Device(DeviceId, Doing),
    /// One of a server's accelerators, at so many watts beyond its profile's active power.
    Accelerator {
        server: usize,
        extra_watts: f64,
    },
    /// All accelerators of a server, shared with others.
    Share {
        server: usize,
        accelerators: usize,
        extra_watts: f64,
    },
}

/// A part of somebody's time that no book has yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub occupied: Occupied,
    /// Its start, or that of the round if this is later.
    pub since: SimTime,
}

/// Names something under way, which whoever began it ends once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(usize);

/// All that is under way.
#[derive(Default)]
pub(super) struct Underway {
    /// By token; places of what has ended are taken again.
    stretches: Vec<Option<Stretch>>,
    free: Vec<usize>,
}

impl Underway {
    pub fn begin(&mut self, occupied: Occupied, now: SimTime) -> Token {
        let place = self.free.pop().unwrap_or_else(|| {
            self.stretches.push(None);
            self.stretches.len() - 1
        });
        self.stretches[place] = Some(Stretch { occupied, since: now });
        Token(place)
    }

    /// Takes out what is over.
    pub fn end(&mut self, token: Token) -> Option<Stretch> {
        let stretch = self.stretches[token.0].take();
        self.free.extend(stretch.map(|_| token.0));
        stretch
    }

    /// What is under way up to `now`; the rest of each begins now.
    pub fn cut(&mut self, now: SimTime) -> Vec<Stretch> {
        let whole = self.stretches.iter_mut().flatten();
        whole.map(|s| std::mem::replace(s, Stretch { since: now, ..*s })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_shares_a_stretch_out_and_loses_none_of_it() {
        let at = |seconds| SimTime::ZERO + crate::sim::SimDuration::from_seconds(seconds);
        let accelerator = |server| Occupied::Accelerator { server, extra_watts: 0.0 };
        let mut underway = Underway::default();
        let first = underway.begin(accelerator(0), at(1.0));
        let second = underway.begin(accelerator(1), at(2.0));
        let part = |server, since| Stretch { occupied: accelerator(server), since: at(since) };
        assert_eq!(underway.cut(at(5.0)), [part(0, 1.0), part(1, 2.0)]);
        assert_eq!(underway.end(first), Some(part(0, 5.0)));
        let third = underway.begin(accelerator(2), at(6.0));
        assert_eq!(underway.cut(at(7.0)), [part(2, 6.0), part(1, 5.0)]);
        assert_eq!([underway.end(second), underway.end(third)], [part(1, 7.0), part(2, 7.0)].map(Some));
        assert_eq!(underway.cut(at(8.0)), []);
    }
}
