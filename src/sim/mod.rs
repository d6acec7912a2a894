//! The discrete-event core: a clock, an event queue, processes, resources and a trace, in virtual time.
//!
//! Nothing here knows what is being simulated. Two ways in:
//!
//! - [`Simulation`] drives a [`Model`] of typed events, monomorphised: the fastest way, for inner loops.
//! - [`Sim`] drives processes, `async` functions that [`sleep`](Sim::sleep), wait for a [`Resource`], a
//!   [`channel`], a [`Signal`] or a [`Fluid`] flow: the readable way, for everything with a plot.
//!
//! Both sit on one [`Queue`], ordered by (time, insertion number), so that equal inputs give equal runs, which the
//! digest attests. Start reading at `queue.rs`, then `executor.rs`; `docs/simulation.md` has the rules in prose.

pub mod channel;
mod clock;
mod combinators;
mod crowd;
mod engine;
mod error;
mod executor;
mod fluid;
mod queue;
mod resource;
mod sharing;
mod signal;
mod sleep;
mod tasks;
mod time;
mod tournament;
mod trace;

pub use combinators::{Either, JoinAll, join, join_all, select};
pub use crowd::Crowd;
pub use engine::{Context, Model, Simulation};
pub use error::{Elapsed, SimError};
pub use executor::{JoinHandle, Sim};
pub use fluid::{Fluid, FluidModel, Transfer, Withdrawn};
pub use queue::{EventId, Fired, Queue};
pub use resource::{Acquire, Discipline, Guard, Resource, ResourceStats, Served};
pub use sharing::{EqualShare, ProcessorSharing, ShareReport};
pub use signal::{Signal, SignalWait};
pub use sleep::Sleep;
pub use time::{SimDuration, SimTime};
pub use trace::Trace;
