//! The event queue: a heap of (time, insertion number) over a slab of payloads.
//!
//! The order is total: events of one instant leave first in, first out. A cancelled event gives its payload back at
//! once and leaves its key behind, dropped when it surfaces or when such keys become the majority.

use super::heap::QuadHeap;
use super::time::SimTime;

/// Low bits of a key hold the slot, which only rides along: insertion numbers above it are unique.
const SLOT_BITS: u32 = 24;
const MAX_PENDING: usize = 1 << SLOT_BITS;
const SEQUENCE_LIMIT: u64 = 1 << (64 - SLOT_BITS);
/// Fewer cancelled keys than this are not worth a sweep.
const SWEEP_FROM: usize = 64;

/// Names one scheduled event; stays harmless after the event has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    slot: u32,
    generation: u32,
}

/// An event that has left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired<T> {
    pub time: SimTime,
    /// The insertion number that ordered it among events of its instant.
    pub sequence: u64,
    pub payload: T,
}

/// Pending events in the order in which they will fire. At most 16,777,216 at a time.
#[derive(Debug)]
pub struct Queue<T> {
    heap: QuadHeap,
    /// The heap's root has fired and waits to be overwritten: most handlers schedule one event, which then costs one
    /// descent instead of a removal and an insertion.
    root_is_vacant: bool,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    cancelled: usize,
    next_sequence: u64,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// Empty when free, and when cancelled but still named by a key.
    payload: Option<T>,
}

fn key(time: SimTime, sequence: u64, slot: u32) -> u128 {
    u128::from(time.as_nanos()) << 64 | u128::from(sequence << SLOT_BITS | u64::from(slot))
}

fn slot_of(key: u128) -> usize {
    key as usize & (MAX_PENDING - 1)
}

fn time_of(key: u128) -> SimTime {
    SimTime::from_nanos((key >> 64) as u64)
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self {
            heap: QuadHeap::default(),
            root_is_vacant: false,
            slots: Vec::new(),
            free: Vec::new(),
            cancelled: 0,
            next_sequence: 0,
        }
    }

    /// Events that will still fire.
    pub fn len(&self) -> usize {
        self.heap.len() - self.cancelled - usize::from(self.root_is_vacant)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an event behind all others of its instant.
    ///
    /// # Panics
    /// If 16,777,216 events are already pending.
    #[inline]
    pub fn push(&mut self, time: SimTime, payload: T) -> EventId {
        if self.next_sequence == SEQUENCE_LIMIT {
            self.renumber();
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.grow(),
        };
        let entry = &mut self.slots[slot as usize];
        entry.payload = Some(payload);
        let id = EventId { slot, generation: entry.generation };
        let key = key(time, self.next_sequence, slot);
        self.next_sequence += 1;
        if self.root_is_vacant {
            self.root_is_vacant = false;
            self.heap.replace_min(key);
        } else {
            self.heap.push(key);
        }
        id
    }

    /// Takes the earliest event.
    #[inline]
    pub fn pop(&mut self) -> Option<Fired<T>> {
        self.pop_until(SimTime::MAX)
    }

    /// Takes the earliest event if it is due at `end` or before.
    #[inline]
    pub fn pop_until(&mut self, end: SimTime) -> Option<Fired<T>> {
        loop {
            self.fill_root();
            let key = self.heap.min()?;
            let time = time_of(key);
            if time > end {
                return None;
            }
            self.root_is_vacant = true;
            let slot = slot_of(key);
            self.free.push(slot as u32);
            let entry = &mut self.slots[slot];
            match entry.payload.take() {
                Some(payload) => {
                    entry.generation = entry.generation.wrapping_add(1);
                    return Some(Fired { time, sequence: key as u64 >> SLOT_BITS, payload });
                }
                None => self.cancelled -= 1,
            }
        }
    }

    /// What a pending event will deliver; `None` once it has fired or was cancelled.
    #[inline]
    pub fn get_mut(&mut self, id: EventId) -> Option<&mut T> {
        let entry = &mut self.slots[id.slot as usize];
        if entry.generation == id.generation { entry.payload.as_mut() } else { None }
    }

    /// Withdraws a pending event and returns its payload; `None` if it has fired or was cancelled before.
    #[inline]
    pub fn cancel(&mut self, id: EventId) -> Option<T> {
        let entry = &mut self.slots[id.slot as usize];
        if entry.generation != id.generation {
            return None;
        }
        let payload = entry.payload.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.cancelled += 1;
        if self.cancelled >= SWEEP_FROM && 2 * self.cancelled > self.heap.len() {
            self.sweep();
        }
        Some(payload)
    }

    #[inline]
    fn fill_root(&mut self) {
        if self.root_is_vacant {
            self.root_is_vacant = false;
            self.heap.remove_min();
        }
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        assert!(self.slots.len() < MAX_PENDING, "more than {MAX_PENDING} events are pending at once");
        self.slots.push(Slot { generation: 0, payload: None });
        self.slots.len() as u32 - 1
    }

    /// Drops the keys of cancelled events. Linear, and at least half of the keys go: constant per cancellation.
    #[cold]
    fn sweep(&mut self) {
        self.fill_root();
        let (slots, free) = (&self.slots, &mut self.free);
        self.heap.retain_sorted(|key| {
            let slot = slot_of(*key);
            let live = slots[slot].payload.is_some();
            if !live {
                free.push(slot as u32);
            }
            live
        });
        self.cancelled = 0;
    }

    /// Numbers the pending events from zero, in their order: once in 10^12 events.
    #[cold]
    fn renumber(&mut self) {
        self.fill_root();
        let mut sequence = 0;
        self.heap.retain_sorted(|k| {
            *k = key(time_of(*k), sequence, slot_of(*k) as u32);
            sequence += 1;
            true
        });
        self.next_sequence = sequence;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::CounterStream;

    const T: fn(u64) -> SimTime = SimTime::from_nanos;

    fn drain(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop().map(|fired| fired.payload)).collect()
    }

    #[test]
    fn renumbering_keeps_order_and_handles() {
        let mut queue = Queue::new();
        queue.next_sequence = SEQUENCE_LIMIT - 3;
        let ids: Vec<EventId> = (0..3).map(|i| queue.push(T(5), i)).collect();
        queue.push(T(5), 3);
        queue.push(T(4), 4);
        assert!(queue.next_sequence < 10);
        assert_eq!(queue.cancel(ids[1]), Some(1));
        assert_eq!(drain(&mut queue), [4, 0, 2, 3]);
    }

    #[test]
    fn cancelled_events_do_not_pile_up() {
        let mut queue = Queue::new();
        queue.push(T(1_000_000), 7);
        for i in 0..100_000 {
            let id = queue.push(T(500_000 + u64::from(i)), i);
            assert_eq!(queue.cancel(id), Some(i));
        }
        assert_eq!(queue.len(), 1);
        assert!(queue.heap.len() <= 2 * SWEEP_FROM && queue.slots.len() <= 2 * SWEEP_FROM);
        assert_eq!(drain(&mut queue), [7]);
    }

    #[test]
    fn agrees_with_an_ordered_set_under_random_operations() {
        let random = CounterStream::new(11, 13);
        let (mut queue, mut oracle) = (Queue::new(), BTreeSet::new());
        let mut ids: Vec<(EventId, (u64, u32))> = Vec::new();
        for n in 0..30_000u32 {
            let draw = random.bits(n.into());
            // Phases of growth, of mass cancellation (which sweeps) and of decline.
            match (draw >> 8) % 10 + u64::from(n / 5_000 % 3) {
                0..5 => {
                    let time = draw % 40;
                    ids.push((queue.push(T(time), n), (time, n)));
                    oracle.insert((time, n));
                }
                5..9 if !ids.is_empty() => {
                    let (id, place) = ids.swap_remove((draw >> 16) as usize % ids.len());
                    assert_eq!(queue.cancel(id), oracle.remove(&place).then_some(place.1));
                }
                _ => {
                    let end = draw % 60;
                    let expected = oracle.first().copied().filter(|(time, _)| *time <= end);
                    expected.inspect(|place| assert!(oracle.remove(place)));
                    let fired = queue.pop_until(T(end));
                    assert_eq!(fired.map(|f| (f.time.as_nanos(), f.payload)), expected);
                }
            }
            assert_eq!(queue.len(), oracle.len());
        }
    }

    #[test]
    fn a_handle_outlives_its_event_without_harm() {
        let mut queue = Queue::new();
        let first = queue.push(T(1), 1);
        assert_eq!(queue.pop().map(|f| f.payload), Some(1));
        let second = queue.push(T(2), 2);
        assert_eq!((queue.cancel(first), queue.get_mut(first)), (None, None));
        assert_eq!(queue.get_mut(second), Some(&mut 2));
        assert_eq!(queue.pop_until(T(1)), None);
        assert_eq!((queue.cancel(second), queue.cancel(second)), (Some(2), None));
        assert!(queue.is_empty() && queue.pop().is_none());
    }
}
