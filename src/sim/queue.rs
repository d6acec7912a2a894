//! The event queue: a tournament of (time, insertion number) over a slab of payloads, a seat for each slot.
//!
//! The order is total: events of one instant leave first in, first out. A cancelled event leaves at once.

use super::time::SimTime;
use super::tournament::{NOBODY, Tournament};

/// Low bits of a key hold the slot, which only rides along: insertion numbers above it are unique.
const SLOT_BITS: u32 = 24;
const MAX_PENDING: usize = 1 << SLOT_BITS;
/// No key reaches [`NOBODY`]: the last number is not given.
const SEQUENCE_LIMIT: u64 = (1 << (64 - SLOT_BITS)) - 1;

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
    order: Tournament,
    /// Slot of the last event that fired, still on its seat: most handlers schedule one event, which then takes slot and
    /// seat, one walk through the tournament instead of two.
    vacant: Option<u32>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    next_sequence: u64,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// Empty when free.
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
        Self { order: Tournament::default(), vacant: None, slots: Vec::new(), free: Vec::new(), next_sequence: 0 }
    }

    /// Events that will still fire.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len() - usize::from(self.vacant.is_some())
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
        let slot = match self.vacant.take() {
            Some(slot) => slot,
            None => self.free.pop().unwrap_or_else(|| self.grow()),
        };
        let entry = &mut self.slots[slot as usize];
        entry.payload = Some(payload);
        let id = EventId { slot, generation: entry.generation };
        self.order.seat(slot as usize, key(time, self.next_sequence, slot));
        self.next_sequence += 1;
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
        self.clear_vacant();
        let key = self.order.least();
        let time = time_of(key);
        // The lower half tells: an insertion number of all ones is never given.
        if key as u64 == NOBODY as u64 || time > end {
            return None;
        }
        let slot = slot_of(key);
        let entry = &mut self.slots[slot];
        let payload = entry.payload.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.vacant = Some(slot as u32);
        Some(Fired { time, sequence: key as u64 >> SLOT_BITS, payload })
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
        self.leave(id.slot);
        Some(payload)
    }

    /// Gives back the slot of the event that fired last, whose handler scheduled nothing in its place.
    #[inline]
    fn clear_vacant(&mut self) {
        if let Some(slot) = self.vacant.take() {
            self.leave(slot);
        }
    }

    fn leave(&mut self, slot: u32) {
        self.order.seat(slot as usize, NOBODY);
        self.free.push(slot);
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        assert!(self.slots.len() < MAX_PENDING, "more than {MAX_PENDING} events are pending at once");
        let slot = self.slots.len();
        self.slots.push(Slot { generation: 0, payload: None });
        self.order.make_room(slot);
        slot as u32
    }

    /// Numbers the pending events from zero, in their order: once in 10^12 events.
    #[cold]
    fn renumber(&mut self) {
        self.clear_vacant();
        let mut sequence = 0;
        self.order.change_in_order(|k| {
            sequence += 1;
            key(time_of(k), sequence - 1, slot_of(k) as u32)
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
        assert_eq!(queue.slots.len(), 2);
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
