//! What a run leaves behind: files, plots, tables, comparisons.
//!
//! This layer sees records and nothing of how they came about: no model, no radio, no clock but the wall-clock
//! time it is told. Everything except `manifest.json` is the same, byte for byte, for equal records.
//! Start with [`write_run`] and [`RunFolder`]; `docs/metrics.md` defines every number.

mod checkpoint;
mod compare;
mod csv_tables;
mod error;
mod explain;
mod files;
mod folder;
mod html;
mod latency;
mod manifest;
pub mod plots;
pub mod stats;
mod summary;
mod table;
pub mod units;

pub use checkpoint::CheckpointFolder;
pub use compare::{Comparison, compare};
pub use csv_tables::columns;
pub use error::ResultsError;
pub use explain::{NothingToExplain, Wanted, explain};
pub use files::{write_json, write_whole};
pub use folder::{RunDescription, RunFolder, TraceWriter, identity, write_run};
pub use latency::{LatencyParts, PART_NAMES};
pub use manifest::{FORMAT_VERSION, Host, Manifest, ReplicationManifest};
pub use summary::{Metric, Summary, accuracy_curve, time_to_accuracy};
pub use table::print_table;
