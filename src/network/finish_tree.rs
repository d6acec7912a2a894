//! Which of many flows finishes first, where the finishes of few or of nearly all move at once.

use crate::sim::SimTime;

/// Nodes under one; their finishes are two cache lines.
const ARITY: usize = 16;
/// A place that nobody has. Who never finishes does so an instant before.
const NEVER: SimTime = SimTime::MAX;
const LAST: SimTime = SimTime::from_nanos(u64::MAX - 1);
/// Where one slot in so many moves or more, all nodes are looked at once instead of those above each slot.
const MANY: usize = 32;

/// The least finish of every 16 slots, of every 16 of those, and so on: nothing moves but values, so that many changes are
/// one pass without branches over an array.
#[derive(Clone, Debug)]
pub(super) struct FinishTree {
    /// The slots' own finishes first, a single node last; all others fill whole nodes of the level above.
    levels: Vec<Vec<SimTime>>,
}

impl Default for FinishTree {
    fn default() -> Self {
        Self { levels: vec![vec![NEVER; ARITY], vec![NEVER]] }
    }
}

impl FinishTree {
    /// The first of all to finish.
    pub fn first(&self) -> Option<(SimTime, u32)> {
        let finish = self.levels.last()?[0];
        if finish == NEVER {
            return None;
        }
        let mut at = 0;
        for level in self.levels.iter().rev().skip(1) {
            at = ARITY * at + level[ARITY * at..].iter().position(|f| *f == finish)?;
        }
        Some((finish, at as u32))
    }

    /// Sets the finishes of many slots, which may be new.
    pub fn set_all(&mut self, finishes: &[(SimTime, u32)]) {
        for &(finish, slot) in finishes {
            if self.levels[0].len() <= slot as usize {
                self.grow(slot as usize + 1);
            }
            self.levels[0][slot as usize] = finish.min(LAST);
        }
        if finishes.len() * MANY < self.levels[0].len() {
            finishes.iter().for_each(|(_, slot)| self.renew_above(*slot as usize));
            return;
        }
        for above in 1..self.levels.len() {
            let (below, level) = self.levels.split_at_mut(above);
            for (node, under) in level[0].iter_mut().zip(below[above - 1].as_chunks().0) {
                *node = least(under);
            }
        }
    }

    /// Takes a slot out if it is there.
    pub fn remove(&mut self, slot: u32) {
        if let Some(finish) = self.levels[0].get_mut(slot as usize) {
            *finish = NEVER;
            self.renew_above(slot as usize);
        }
    }

    fn renew_above(&mut self, slot: usize) {
        let mut at = slot;
        for above in 1..self.levels.len() {
            at /= ARITY;
            let (below, level) = self.levels.split_at_mut(above);
            level[0][at] = least(&below[above - 1].as_chunks().0[at]);
        }
    }

    fn grow(&mut self, slots: usize) {
        let mut len = slots;
        for above in 1.. {
            len = len.next_multiple_of(ARITY);
            self.levels[above - 1].resize(len, NEVER);
            len /= ARITY;
            if above == self.levels.len() {
                // What stood alone so far is the first under it.
                let first = self.levels[above - 1][0];
                self.levels.push(vec![first]);
            }
            if len == 1 {
                return;
            }
        }
    }
}

fn least(finishes: &[SimTime; ARITY]) -> SimTime {
    let pairs: [SimTime; ARITY / 2] = std::array::from_fn(|i| finishes[i].min(finishes[i + ARITY / 2]));
    pairs.into_iter().fold(NEVER, SimTime::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;
    use std::collections::BTreeMap;

    #[test]
    fn the_first_is_the_least_under_random_changes() {
        for slots in [1, 60, 700] {
            let draws = CounterStream::new(23, 29).child(u64::from(slots));
            let (mut tree, mut finishes) = (FinishTree::default(), BTreeMap::new());
            for n in 0..4000 {
                let draw = draws.bits(n);
                let many = if draw.is_multiple_of(7) { 30 } else { 2 };
                let change = |i: u64| {
                    let bits = draws.child(n).bits(i);
                    (SimTime::from_nanos(bits % 500), (bits >> 32) as u32 % slots)
                };
                let mut changes: BTreeMap<u32, SimTime> = (0..many).map(change).map(|(t, slot)| (slot, t)).collect();
                tree.set_all(&changes.iter().map(|(slot, t)| (*t, *slot)).collect::<Vec<_>>());
                finishes.append(&mut changes);
                for gone in [(draw >> 40) as u32 % slots, (draw >> 20) as u32 % slots] {
                    tree.remove(gone);
                    finishes.remove(&gone);
                }
                let expected = finishes.values().min();
                assert_eq!(tree.first().map(|(t, _)| t), expected.copied());
                assert!(tree.first().is_none_or(|(t, slot)| finishes[&slot] == t));
            }
        }
    }
}
