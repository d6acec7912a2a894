//! Trained parameters as files: deft's own, and those of Hugging Face's `peft`.
//!
//! [`AdapterFile`] is everything that one state trains, with what it takes to read it again: the model's shape, the methods
//! and the objective. [`peft`] turns it into the folder that `peft` 0.21 loads and reads such folders; [`probe`] computes what
//! a model answers with it, so that another program's answer can be compared. Nothing here writes to disk, knows how a state
//! came about, or reads a clock. `docs/adapters.md` has both formats.

mod description;
mod error;
mod model;
mod modules;
mod native;
pub mod peft;
mod probe;
mod settings;
mod summary;
mod tensors;

pub use error::AdapterError;
pub use model::{NamedModel, architecture};
pub use native::AdapterFile;
pub use probe::{Answer, Query, probe};
pub use summary::{TensorSummary, method_names, summarise};
