//! Fluid resources: flows that share capacity and finish when their volume has passed.
//!
//! A [`FluidModel`] is plain state that a solver advances (a cell, a wired network); [`Fluid`] lets processes
//! await their flow's completion with one reschedulable timer for the whole model, however many flows live.

use super::time::SimTime;

/// What shares its capacity among flows. Implementations know rates and volumes, nothing of processes.
pub trait FluidModel {
    /// What a new flow asks for (who, which way, how many bytes).
    type Request;
    /// What a finished flow reports.
    type Report;

    /// Admits a flow at `now` and returns its key, unique for the life of the model.
    /// The caller has already called [`advance`](Self::advance) to `now`.
    fn start(&mut self, now: SimTime, request: Self::Request) -> u64;

    /// Withdraws a flow that has not finished; an unknown key is ignored.
    fn cancel(&mut self, now: SimTime, key: u64);

    /// The next instant at which a flow finishes or rates change by themselves; `None` when idle.
    fn next_event(&self) -> Option<SimTime>;

    /// Moves the state to `now` and returns the flows that have finished, in the order in which they were admitted
    /// where several finish together.
    fn advance(&mut self, now: SimTime) -> Vec<(u64, Self::Report)>;
}
