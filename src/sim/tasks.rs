//! Where processes live while they wait, and the line in which woken ones stand.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Names a process; stays harmless after the process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskKey {
    index: u32,
    generation: u32,
}

impl TaskKey {
    /// The root process, which [`Sim::run`](super::Sim::run) holds on its own stack.
    pub const ROOT: Self = Self { index: u32::MAX, generation: 0 };
}

pub(super) struct Task {
    pub future: Pin<Box<dyn Future<Output = ()>>>,
    pub waker: Waker,
}

/// A slab of processes. A process is taken out while it is polled, so that it may spawn and cancel others.
#[derive(Default)]
pub(super) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    task: Option<Task>,
}

impl Tasks {
    pub fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Reserves a key, to be filled with [`put`](Self::put).
    pub fn reserve(&mut self) -> TaskKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, task: None });
            self.slots.len() as u32 - 1
        });
        TaskKey { index, generation: self.slots[index as usize].generation }
    }

    /// Stores a process under its key; gives it back if the key was released meanwhile.
    #[inline]
    pub fn put(&mut self, key: TaskKey, task: Task) -> Option<Task> {
        match self.slots.get_mut(key.index as usize) {
            Some(slot) if slot.generation == key.generation => slot.task.replace(task),
            _ => Some(task),
        }
    }

    /// Takes a waiting process out; `None` if it has ended or is being polled.
    #[inline]
    pub fn take(&mut self, key: TaskKey) -> Option<Task> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.task.take() } else { None }
    }

    /// Ends the life of a key, and hands out the process for the caller to drop once nothing is borrowed.
    pub fn release(&mut self, key: TaskKey) -> Option<Task> {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        slot.task.take()
    }

    /// Releases every waiting process, lowest slot first.
    pub fn release_all(&mut self) -> Vec<Task> {
        let keys: Vec<TaskKey> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.task.is_some())
            .map(|(index, slot)| TaskKey { index, generation: slot.generation })
            .collect();
        keys.into_iter().filter_map(|key| self.release(key)).collect()
    }
}

/// Processes that have been woken, first come first served.
///
/// A `Waker` may be sent to other threads, so the line must stand that; on one thread it costs an uncontended lock a
/// wake-up, and nothing while nobody is woken. Timers of plain processes do not come through here.
#[derive(Default)]
pub(super) struct Ready {
    any: AtomicBool,
    woken: Mutex<Vec<TaskKey>>,
}

impl Ready {
    pub fn push(&self, key: TaskKey) {
        // A panic cannot leave a vector of plain keys half-written: poison is of no interest.
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.any.store(true, Ordering::Release);
    }

    /// Moves everybody to the end of `line`.
    #[inline]
    pub fn drain_into(&self, line: &mut VecDeque<TaskKey>) {
        if self.any.load(Ordering::Acquire) {
            let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            self.any.store(false, Ordering::Release);
            line.extend(woken.drain(..));
        }
    }
}

/// What a process' `Waker` points to.
pub(super) struct TaskWaker {
    key: TaskKey,
    ready: Arc<Ready>,
}

impl TaskWaker {
    pub fn waker(key: TaskKey, ready: &Arc<Ready>) -> Waker {
        Waker::from(Arc::new(Self { key, ready: Arc::clone(ready) }))
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.key);
    }
}
