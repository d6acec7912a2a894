//! Which of many flows finishes first, where the finishes of many move at once.

use crate::sim::SimTime;

/// Children of node `i` are `4i + 1` to `4i + 4`.
const ARITY: usize = 4;
/// Marks a slot that is not in the heap.
const NOWHERE: u32 = u32::MAX;

/// A min-heap of (finish, slot) that knows where each slot is.
#[derive(Clone, Debug, Default)]
pub(super) struct FinishHeap {
    nodes: Vec<(SimTime, u32)>,
    place: Vec<u32>,
}

impl FinishHeap {
    pub fn first(&self) -> Option<(SimTime, u32)> {
        self.nodes.first().copied()
    }

    /// Sets the finishes of many slots, which may be new.
    pub fn set_all(&mut self, finishes: &[(SimTime, u32)]) {
        // Putting n keys in order at once is linear; a few of them, one by one, are cheaper.
        if finishes.len() * 8 > self.nodes.len() {
            for &(finish, slot) in finishes {
                let at = self.enter(slot);
                self.nodes[at].0 = finish;
            }
            for at in (0..self.nodes.len().div_ceil(ARITY)).rev() {
                self.sink(at);
            }
            return;
        }
        for &(finish, slot) in finishes {
            let at = self.enter(slot);
            let earlier = finish < self.nodes[at].0;
            self.nodes[at].0 = finish;
            if earlier { self.rise(at) } else { self.sink(at) }
        }
    }

    /// Takes a slot out if it is there.
    pub fn remove(&mut self, slot: u32) {
        let at = self.place.get(slot as usize).copied().unwrap_or(NOWHERE);
        if at == NOWHERE {
            return;
        }
        let at = at as usize;
        self.place[slot as usize] = NOWHERE;
        self.nodes.swap_remove(at);
        if at < self.nodes.len() {
            self.place[self.nodes[at].1 as usize] = at as u32;
            self.rise(at);
            self.sink(at);
        }
    }

    /// Where the slot is; at the end, with the latest finish, if it was nowhere.
    fn enter(&mut self, slot: u32) -> usize {
        if self.place.len() <= slot as usize {
            self.place.resize(slot as usize + 1, NOWHERE);
        }
        if self.place[slot as usize] == NOWHERE {
            self.place[slot as usize] = self.nodes.len() as u32;
            self.nodes.push((SimTime::MAX, slot));
        }
        self.place[slot as usize] as usize
    }

    fn rise(&mut self, mut at: usize) {
        let node = self.nodes[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.nodes[parent].0 <= node.0 {
                break;
            }
            self.put(at, self.nodes[parent]);
            at = parent;
        }
        self.put(at, node);
    }

    fn sink(&mut self, mut at: usize) {
        let node = self.nodes[at];
        loop {
            let first = ARITY * at + 1;
            let children = first..(first + ARITY).min(self.nodes.len());
            let Some(least) = children.min_by_key(|&c| self.nodes[c].0) else { break };
            if node.0 <= self.nodes[least].0 {
                break;
            }
            self.put(at, self.nodes[least]);
            at = least;
        }
        self.put(at, node);
    }

    fn put(&mut self, at: usize, node: (SimTime, u32)) {
        self.nodes[at] = node;
        self.place[node.1 as usize] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;
    use std::collections::BTreeMap;

    #[test]
    fn the_first_is_the_least_under_random_changes() {
        let draws = CounterStream::new(23, 29);
        let (mut heap, mut finishes) = (FinishHeap::default(), BTreeMap::new());
        for n in 0..4000 {
            let draw = draws.bits(n);
            let many = if draw.is_multiple_of(7) { 30 } else { 2 };
            let change = |i: u64| {
                let bits = draws.child(n).bits(i);
                (SimTime::from_nanos(bits % 500), (bits >> 32) as u32 % 60)
            };
            let mut changes: BTreeMap<u32, SimTime> = (0..many).map(change).map(|(t, slot)| (slot, t)).collect();
            heap.set_all(&changes.iter().map(|(slot, t)| (*t, *slot)).collect::<Vec<_>>());
            finishes.append(&mut changes);
            let gone = (draw >> 40) as u32 % 60;
            heap.remove(gone);
            finishes.remove(&gone);
            let expected = finishes.values().min();
            assert_eq!(heap.first().map(|(t, _)| t), expected.copied());
            assert!(heap.first().is_none_or(|(t, slot)| finishes[&slot] == t));
        }
    }
}
