//! Processes: `async` functions on a single thread, driven by the event queue.
//!
//! A process runs until it awaits something that has not happened. The executor polls woken processes in the order in
//! which they were woken and, when none is left, fires the next event. Nothing polls without cause.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::clock::Clock;
use super::error::SimError;
use super::queue::{EventId, Queue};
use super::tasks::{Ready, Task, TaskKey, TaskWaker, Tasks};
use super::time::SimTime;
use super::trace::Trace;

/// A simulation of processes: a cheap handle, to be cloned into every process that needs the time.
#[derive(Clone)]
pub struct Sim {
    core: Rc<Core>,
}

struct Core {
    clock: Cell<Clock>,
    queue: RefCell<Queue<Timer>>,
    tasks: RefCell<Tasks>,
    ready: Arc<Ready>,
    /// Woken processes on their way from `ready` to being polled.
    line: RefCell<VecDeque<TaskKey>>,
    polled: Cell<Polled>,
    failure: RefCell<Option<SimError>>,
    running: Cell<bool>,
    trace: Trace,
}

/// The process being polled, with the address of its waker's data: what a future compares its own waker with.
#[derive(Clone, Copy)]
struct Polled {
    key: TaskKey,
    waker_data: *const (),
}

/// What an event of the queue does when it fires.
pub(super) enum Timer {
    /// Polls a process straight away: no waker is cloned, nobody queues.
    Task(TaskKey),
    /// Wakes a future inside a combinator, which has a waker of its own.
    Waker(Waker),
    /// Calls back a solver. Weak, as the callee holds the simulation that holds this.
    Call(Weak<dyn Callback>),
}

/// A solver that keeps one timer of its own in the queue.
pub(super) trait Callback {
    fn call(self: Rc<Self>);
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

impl Sim {
    pub fn new() -> Self {
        Self::build(Trace::disabled())
    }

    /// A simulation whose [`trace`](Self::trace) keeps what is reported to it.
    pub fn with_trace() -> Self {
        Self::build(Trace::enabled())
    }

    fn build(trace: Trace) -> Self {
        let core = Core {
            clock: Cell::default(),
            queue: RefCell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
            line: RefCell::default(),
            polled: Cell::new(Polled { key: TaskKey::ROOT, waker_data: std::ptr::null() }),
            failure: RefCell::default(),
            running: Cell::new(false),
            trace,
        };
        Self { core: Rc::new(core) }
    }

    pub fn now(&self) -> SimTime {
        self.core.clock.get().now()
    }

    /// Events executed so far; cancelled ones do not count.
    pub fn events(&self) -> u64 {
        self.core.clock.get().events()
    }

    /// Fingerprint of every executed (time, insertion number): equal runs have equal digests.
    pub fn digest(&self) -> u64 {
        self.core.clock.get().digest()
    }

    /// The timeline, empty unless built [`with_trace`](Self::with_trace).
    pub fn trace(&self) -> &Trace {
        &self.core.trace
    }

    /// Starts a process, which first runs when the current one waits. Dropping the handle lets it run on.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        let outcome = Rc::new(RefCell::new(Outcome { value: None, waiter: None }));
        let report = Rc::clone(&outcome);
        let future = Box::pin(async move {
            let value = future.await;
            let waiter = {
                let mut outcome = report.borrow_mut();
                outcome.value = Some(value);
                outcome.waiter.take()
            };
            if let Some(waiter) = waiter {
                waiter.wake();
            }
        });
        let core = &self.core;
        let mut tasks = core.tasks.borrow_mut();
        let key = tasks.reserve();
        tasks.put(key, Task { future, waker: TaskWaker::waker(key, &core.ready) });
        core.ready.push(key);
        JoinHandle { sim: self.clone(), key, outcome }
    }

    /// Runs processes and events until `root` completes, and returns its output. Nothing is executed after that:
    /// the other processes are dropped.
    ///
    /// # Errors
    /// [`SimError::Deadlock`] if the queue runs dry before, [`SimError::Stalled`] if a fluid model stops making
    /// progress, [`SimError::Nested`] if called inside a process of this simulation.
    pub fn run<T>(&self, root: impl Future<Output = T>) -> Result<T, SimError> {
        let core = &*self.core;
        let _running = Running::enter(core)?;
        let mut root = pin!(root);
        let waker = TaskWaker::waker(TaskKey::ROOT, &core.ready);
        core.ready.push(TaskKey::ROOT);
        loop {
            let key = match core.next_woken() {
                Some(key) => key,
                None => match core.fire_next()? {
                    Some(key) => key,
                    None => continue,
                },
            };
            if key != TaskKey::ROOT {
                core.poll(key);
                continue;
            }
            core.polled.set(Polled { key, waker_data: waker.data() });
            if let Poll::Ready(output) = root.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Ok(output);
            }
        }
    }

    /// What a timer set by the future polled with `waker` does.
    #[inline]
    pub(super) fn timer_for(&self, waker: &Waker) -> Timer {
        let polled = self.core.polled.get();
        // Both wakers are alive, so equal addresses mean the same allocation.
        if waker.data() == polled.waker_data { Timer::Task(polled.key) } else { Timer::Waker(waker.clone()) }
    }

    /// Schedules a timer; `None` for [`SimTime::MAX`], which never comes.
    #[inline]
    pub(super) fn schedule(&self, at: SimTime, timer: Timer) -> Option<EventId> {
        if at == SimTime::MAX {
            return None;
        }
        Some(self.core.queue.borrow_mut().push(at.max(self.now()), timer))
    }

    /// Makes a timer that is still pending do something else; false if it has fired.
    pub(super) fn redirect(&self, id: EventId, timer: Timer) -> bool {
        // The old waker is dropped after the queue is free again: dropping may run foreign code.
        let old = self.core.queue.borrow_mut().get_mut(id).map(|pending| std::mem::replace(pending, timer));
        old.is_some()
    }

    #[inline]
    pub(super) fn has_fired(&self, id: EventId) -> bool {
        self.core.queue.borrow_mut().get_mut(id).is_none()
    }

    pub(super) fn cancel(&self, id: EventId) {
        let cancelled = self.core.queue.borrow_mut().cancel(id);
        drop(cancelled);
    }

    /// Ends the run with an error before the next event.
    pub(super) fn fail(&self, error: SimError) {
        self.core.failure.borrow_mut().get_or_insert(error);
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("now", &self.now()).field("events", &self.events()).finish_non_exhaustive()
    }
}

impl Core {
    #[inline]
    fn next_woken(&self) -> Option<TaskKey> {
        let mut line = self.line.borrow_mut();
        if line.is_empty() {
            self.ready.drain_into(&mut line);
        }
        line.pop_front()
    }

    /// Fires the next event; returns the process to poll if the event was that process' timer.
    #[inline]
    fn fire_next(&self) -> Result<Option<TaskKey>, SimError> {
        let next = self.queue.borrow_mut().pop();
        let Some(fired) = next else {
            return Err(SimError::Deadlock { at: self.clock.get().now(), waiting: self.tasks.borrow().live() + 1 });
        };
        let mut clock = self.clock.get();
        clock.execute(fired.time, fired.sequence);
        self.clock.set(clock);
        match fired.payload {
            Timer::Task(key) => return Ok(Some(key)),
            Timer::Waker(waker) => waker.wake(),
            Timer::Call(callee) => {
                if let Some(callee) = callee.upgrade() {
                    callee.call();
                }
                if let Some(error) = self.failure.borrow_mut().take() {
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    #[inline]
    fn poll(&self, key: TaskKey) {
        let taken = self.tasks.borrow_mut().take(key);
        let Some(mut task) = taken else { return };
        self.polled.set(Polled { key, waker_data: task.waker.data() });
        let ended = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
        let rest = if ended {
            // Drop the future before its key is free, and with nothing borrowed.
            drop(task);
            self.tasks.borrow_mut().release(key)
        } else {
            self.tasks.borrow_mut().put(key, task)
        };
        drop(rest);
    }
}

/// Marks the simulation as running and, at the end of the run, drops the processes that are left: they hold the
/// simulation that holds them, and would never be freed.
struct Running<'a> {
    core: &'a Core,
}

impl<'a> Running<'a> {
    fn enter(core: &'a Core) -> Result<Self, SimError> {
        if core.running.replace(true) { Err(SimError::Nested) } else { Ok(Self { core }) }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        loop {
            // A statement of its own: processes are dropped with nothing borrowed, as their guards may wake or spawn.
            let processes = self.core.tasks.borrow_mut().release_all();
            if processes.is_empty() {
                break;
            }
        }
        self.core.line.borrow_mut().clear();
        self.core.running.set(false);
    }
}

/// A spawned process. Await it for its output; drop it to let the process run on unobserved.
#[must_use = "await the process, cancel it, or drop the handle to detach it"]
pub struct JoinHandle<T> {
    sim: Sim,
    key: TaskKey,
    outcome: Rc<RefCell<Outcome<T>>>,
}

struct Outcome<T> {
    value: Option<T>,
    waiter: Option<Waker>,
}

impl<T> JoinHandle<T> {
    /// Drops the process where it waits, and with it everything it holds. Does nothing if it has ended.
    pub fn cancel(self) {
        let task = self.sim.core.tasks.borrow_mut().release(self.key);
        drop(task);
    }

    /// Whether the process has ended by itself.
    pub fn is_finished(&self) -> bool {
        self.outcome.borrow().value.is_some()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut outcome = self.outcome.borrow_mut();
        match outcome.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                outcome.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
