//! Automated search: many trials of one scenario with different values of some keys.
//!
//! A trial is a pure function of (scenario, overrides, replication). Its result is stored under its identity in one file
//! that is written by atomic rename, so killing anything at any time loses at most the trials in flight. Trials share
//! the learning plane's store: equal chains of operations train once, whatever their number of trials.
//!
//! Start with [`search`]; `space.rs` says which candidates there are, `engine.rs` runs them, `report.rs` sums them up.

mod engine;
mod report;
mod space;
mod trade_off;
mod trial;

pub use engine::{Settings, search};
pub use report::{Finding, Report};
pub use space::{Candidate, Combination, candidates};
pub use trial::{Numbers, TrialResult, TrialStatus};

/// What can stop a search. A failing trial does not: it is recorded as failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    #[error("{scenario} has no `search` section; add one with a `space`, or use `deft run`")]
    NothingToSearch { scenario: String },
    #[error(transparent)]
    Scenario(#[from] crate::scenario::ScenarioError),
    #[error(transparent)]
    Results(#[from] crate::results::ResultsError),
}
