//! The event interface: a model handles typed events and schedules others. No allocation, no dynamic dispatch.

use super::clock::Clock;
use super::queue::{EventId, Fired, Queue};
use super::time::{SimDuration, SimTime};

/// What is simulated: state, and what each event does to it.
pub trait Model: Sized {
    /// Usually a small enum; it lies in the queue by value.
    type Event;

    fn handle(&mut self, event: Self::Event, cx: &mut Context<Self::Event>);
}

/// What a handler sees of the simulation: the clock and the queue.
#[derive(Debug)]
pub struct Context<E> {
    queue: Queue<E>,
    clock: Clock,
    stopped: bool,
}

impl<E> Context<E> {
    #[inline]
    pub fn now(&self) -> SimTime {
        self.clock.now()
    }

    /// Schedules `event` for the instant `at`; one that has passed means now, behind what is already due.
    #[inline]
    pub fn schedule(&mut self, at: SimTime, event: E) -> EventId {
        self.queue.push(at.max(self.clock.now()), event)
    }

    /// Schedules `event` to fire after `delay`.
    #[inline]
    pub fn schedule_in(&mut self, delay: SimDuration, event: E) -> EventId {
        self.queue.push(self.clock.now() + delay, event)
    }

    /// Withdraws an event and returns it; `None` if it has fired or was cancelled before.
    pub fn cancel(&mut self, id: EventId) -> Option<E> {
        self.queue.cancel(id)
    }

    /// Events that will still fire.
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Ends the current run after this event; a further run goes on with the next one.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

/// A model, its clock and its queue.
#[derive(Debug)]
pub struct Simulation<M: Model> {
    pub model: M,
    context: Context<M::Event>,
}

impl<M: Model> Simulation<M> {
    pub fn new(model: M) -> Self {
        Self { model, context: Context { queue: Queue::new(), clock: Clock::default(), stopped: false } }
    }

    pub fn now(&self) -> SimTime {
        self.context.now()
    }

    /// Events executed so far; cancelled ones do not count.
    pub fn events(&self) -> u64 {
        self.context.clock.events()
    }

    /// Fingerprint of every executed (time, insertion number): equal runs have equal digests.
    pub fn digest(&self) -> u64 {
        self.context.clock.digest()
    }

    pub fn pending(&self) -> usize {
        self.context.pending()
    }

    /// See [`Context::schedule`].
    pub fn schedule(&mut self, at: SimTime, event: M::Event) -> EventId {
        self.context.schedule(at, event)
    }

    /// See [`Context::schedule_in`].
    pub fn schedule_in(&mut self, delay: SimDuration, event: M::Event) -> EventId {
        self.context.schedule_in(delay, event)
    }

    /// See [`Context::cancel`].
    pub fn cancel(&mut self, id: EventId) -> Option<M::Event> {
        self.context.cancel(id)
    }

    /// Executes the next event; false if none is left.
    pub fn step(&mut self) -> bool {
        let fired = self.context.queue.pop();
        fired.map(|fired| self.execute(fired)).is_some()
    }

    /// Executes events until none is left or a handler [stops](Context::stop) the run.
    pub fn run(&mut self) {
        self.execute_until(SimTime::MAX);
    }

    /// Executes every event due at `end` or before, then moves the clock to `end` unless a handler stopped the run.
    pub fn run_until(&mut self, end: SimTime) {
        self.execute_until(end);
        if !self.context.stopped {
            self.context.clock.idle_until(end);
        }
    }

    fn execute_until(&mut self, end: SimTime) {
        self.context.stopped = false;
        while let Some(fired) = self.context.queue.pop_until(end) {
            self.execute(fired);
            if self.context.stopped {
                break;
            }
        }
    }

    #[inline]
    fn execute(&mut self, fired: Fired<M::Event>) {
        self.context.clock.execute(fired.time, fired.sequence);
        self.model.handle(fired.payload, &mut self.context);
    }
}
