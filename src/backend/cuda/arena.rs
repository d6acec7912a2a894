//! All memory of a backend in one allocation, handed out first fit.
//!
//! The driver is asked once, so no pass waits for it, and what runs out says what took it. Launches are done in order, so
//! memory may be handed out again while a launch that reads it is still queued.

use super::device::Size;
use super::{Address, Device, DeviceError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    FrozenMatrices,
    /// What came from the host: trainable parameters, vectors and tables of the model, hidden states.
    Uploads,
    /// What one operation leaves for another.
    Activations,
    ParameterGradients,
    /// What an optimiser remembers of parameters.
    Moments,
    /// Inside an operation.
    Working,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrozenMatrices => "frozen matrices",
            Self::Uploads => "parameters and tables",
            Self::Activations => "activations",
            Self::ParameterGradients => "gradients of parameters",
            Self::Moments => "optimisers' memory",
            Self::Working => "working memory",
        })
    }
}

/// What allocations are rounded up to.
const GRAIN: usize = 256;

pub struct Arena {
    device: Arc<dyn Device>,
    base: Address,
    capacity: usize,
    state: Mutex<State>,
}

struct State {
    /// Length of every gap, by its start; neighbouring gaps are one.
    gaps: BTreeMap<usize, usize>,
    held: BTreeMap<Purpose, usize>,
    in_use: usize,
    most: usize,
}

impl Arena {
    /// # Errors
    /// If the device does not have so much memory in one piece.
    pub fn new(device: Arc<dyn Device>, capacity: usize) -> Result<Arc<Self>, DeviceError> {
        let capacity = capacity / GRAIN * GRAIN;
        let base = device.allocate(capacity)?;
        let gaps = BTreeMap::from([(0, capacity)]);
        let state = Mutex::new(State { gaps, held: BTreeMap::new(), in_use: 0, most: 0 });
        Ok(Arc::new(Self { device, base, capacity, state }))
    }

    /// The most bytes that were in use at once.
    pub fn most_bytes(&self) -> usize {
        self.state().most
    }

    /// Bytes that are held for `purpose`.
    pub fn held(&self, purpose: Purpose) -> usize {
        self.state().held.get(&purpose).copied().unwrap_or_default()
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory of at least `bytes`; what it holds is unspecified.
    ///
    /// # Errors
    /// If no gap is long enough: with what holds the rest.
    pub fn take(self: &Arc<Self>, bytes: usize, purpose: Purpose) -> Result<Block, DeviceError> {
        let len = bytes.max(1).next_multiple_of(GRAIN);
        let mut state = self.state();
        let Some((start, gap)) = state.gaps.iter().find(|(_, gap)| **gap >= len).map(|(s, g)| (*s, *g)) else {
            let free = state.gaps.values().sum();
            let mut held: Vec<(Purpose, usize)> = state.held.iter().map(|(p, b)| (*p, *b)).collect();
            held.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
            let held: Vec<String> =
                held.iter().filter(|(_, b)| *b > 0).map(|(p, b)| format!("{p} {}", Size(*b))).collect();
            let held = format!("held: {}", if held.is_empty() { "nothing".to_owned() } else { held.join(", ") });
            return Err(DeviceError::OutOfMemory { wanted: bytes, purpose, free, held });
        };
        state.gaps.remove(&start);
        if gap > len {
            state.gaps.insert(start + len, gap - len);
        }
        *state.held.entry(purpose).or_default() += len;
        state.in_use += len;
        state.most = state.most.max(state.in_use);
        drop(state);
        let block = Block { arena: self.clone(), start, len, purpose };
        self.device.reused(block.address(), len);
        Ok(block)
    }

    fn give_back(&self, start: usize, len: usize, purpose: Purpose) {
        let mut state = self.state();
        *state.held.entry(purpose).or_default() -= len;
        state.in_use -= len;
        let (mut start, mut len) = (start, len);
        if let Some(after) = state.gaps.remove(&(start + len)) {
            len += after;
        }
        if let Some((&before, &gap)) = state.gaps.range(..start).next_back()
            && before + gap == start
        {
            (start, len) = (before, len + gap);
        }
        state.gaps.insert(start, len);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.device.free(self.base);
    }
}

/// A part of an arena, given back when it is dropped.
pub struct Block {
    arena: Arc<Arena>,
    start: usize,
    len: usize,
    purpose: Purpose,
}

impl Block {
    pub fn address(&self) -> Address {
        self.arena.base.offset(self.start)
    }

    pub fn is_of(&self, arena: &Arc<Arena>) -> bool {
        Arc::ptr_eq(&self.arena, arena)
    }

    /// The numbers that it starts with.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(&self, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.arena.device.read(self.address(), bytes)
    }

    /// Bytes of it.
    pub fn capacity(&self) -> usize {
        self.len
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.arena.give_back(self.start, self.len, self.purpose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::Launch;

    /// Memory that nobody reads.
    struct Nothing;

    impl Device for Nothing {
        fn allocate(&self, _: usize) -> Result<Address, DeviceError> {
            Ok(Address(4096))
        }
        fn free(&self, _: Address) {}
        fn write(&self, _: Address, _: &[u8]) -> Result<(), DeviceError> {
            Ok(())
        }
        fn read(&self, _: Address, _: &mut [u8]) -> Result<(), DeviceError> {
            Ok(())
        }
        fn copy(&self, _: Address, _: Address, _: usize) -> Result<(), DeviceError> {
            Ok(())
        }
        fn zero(&self, _: Address, _: usize) -> Result<(), DeviceError> {
            Ok(())
        }
        fn launch(&self, _: &Launch) -> Result<(), DeviceError> {
            Ok(())
        }
        fn multiprocessors(&self) -> usize {
            1
        }
    }

    fn arena(grains: usize) -> Arc<Arena> {
        Arena::new(Arc::new(Nothing), grains * GRAIN).expect("memory that does not exist")
    }

    #[test]
    fn blocks_do_not_overlap_and_gaps_join() {
        let arena = arena(64);
        let stream = crate::random::CounterStream::new(5, 6);
        let mut blocks: Vec<Block> = Vec::new();
        for i in 0..4000 {
            if stream.uniform(2 * i) < 0.5 {
                let bytes = 1 + (stream.bits(2 * i + 1) % (8 * GRAIN as u64)) as usize;
                if let Ok(block) = arena.take(bytes, Purpose::Working) {
                    assert!(block.capacity() >= bytes && block.address().0 % GRAIN as u64 == 0);
                    blocks.push(block);
                }
            } else if !blocks.is_empty() {
                blocks.swap_remove((stream.bits(2 * i + 1) % blocks.len() as u64) as usize);
            }
            let mut spans: Vec<(usize, usize)> = blocks.iter().map(|b| (b.start, b.len)).collect();
            spans.extend(arena.state().gaps.iter().map(|(s, l)| (*s, *l)));
            spans.sort_unstable();
            let mut end = 0;
            for (start, len) in spans {
                assert_eq!(start, end, "a hole or an overlap");
                end = start + len;
            }
            assert_eq!(end, 64 * GRAIN);
            let gaps: Vec<(usize, usize)> = arena.state().gaps.iter().map(|(s, l)| (*s, *l)).collect();
            assert!(gaps.windows(2).all(|w| w[0].0 + w[0].1 < w[1].0), "neighbouring gaps are one");
        }
        blocks.clear();
        assert_eq!(arena.state().gaps, BTreeMap::from([(0, 64 * GRAIN)]));
        assert!(arena.most_bytes() > 32 * GRAIN && arena.most_bytes() <= 64 * GRAIN);
    }

    #[test]
    fn running_out_names_what_took_the_memory() {
        let arena = arena(16 << 10);
        let _weights = arena.take(3 << 20, Purpose::FrozenMatrices).expect("room");
        let _activations = arena.take(512 << 10, Purpose::Activations).expect("room");
        let error = arena.take(2 << 20, Purpose::Working).err().expect("no room").to_string();
        assert_eq!(
            error,
            "out of device memory: 2.0 MiB wanted for working memory, 0.5 MiB free; held: frozen matrices 3.0 MiB, \
             activations 0.5 MiB"
        );
    }
}
