//! Scenarios: what a user writes, and what it means.
//!
//! YAML text ([`ScenarioSource`]) is indexed (`positions`: where does each key stand?), read as typed (`raw`: only
//! known keys, right kinds of values) and checked against the world (`validate`: defaults, names, limits,
//! contradictions). The result is a [`Scenario`] that nothing below checks again. All that is wrong comes back in one
//! [`ScenarioError`] with line and column. Overrides (`--set`, trials of a search) are set between the first two steps.
//!
//! Start with `schema/`, the types of a [`Scenario`]; `docs/scenario.md` explains every key to users. This module and
//! only this one knows YAML; it knows nothing of how a scenario is played. Names of hardware, models, radios and data
//! sets are asked for in `names.rs`.

mod error;
mod key_path;
mod names;
mod overrides;
mod positions;
mod raw;
pub mod schema;
mod source;
mod suggest;
mod validate;
mod write;

pub use error::{Complaint, Place, Problem, ScenarioError};
pub use schema::*;
pub use source::{ScenarioSource, parse_override};
