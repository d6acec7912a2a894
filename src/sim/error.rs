//! What can go wrong in a run of processes.

use super::time::SimTime;

/// Why [`Sim::run`](super::Sim::run) ended before its root process did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    #[error(
        "deadlock at {at}: {waiting} processes wait and nothing is scheduled that could wake them; \
         look for a guard that is never released, a signal never set or a flow whose rate stays zero"
    )]
    Deadlock {
        at: SimTime,
        /// Processes alive, the root among them.
        waiting: usize,
    },
    #[error(
        "{model} stands still at {at}: it announced an event for {announced}, was advanced beyond it, \
         and announces no later one; let `advance` complete or drop what `next_event` names"
    )]
    Stalled { model: &'static str, at: SimTime, announced: SimTime },
    #[error("`Sim::run` was called inside a process that it already runs; await or spawn the inner process instead")]
    Nested,
}

/// The deadline passed before the awaited future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline {deadline} passed")]
pub struct Elapsed {
    pub deadline: SimTime,
}
