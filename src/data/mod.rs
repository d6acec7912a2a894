//! Data sets, their tokens, and how both are dealt to devices and cut into mini-batches.
//!
//! An example's way: [`Dataset`] (text and label, vendored or from the user's file) to [`TokenizedDataset`] (token
//! ids, by whatever implements [`Tokenize`]) to [`Partition`] (which device holds which examples) to [`BatchStream`]
//! (which of them step n uses) to [`PackedBatch`] (what a model reads). Start with `dataset.rs`.
//!
//! This module knows nothing of models, tensors or time. All randomness comes from named streams of `crate::random`.

mod batch;
mod batches;
mod dataset;
mod error;
mod partition;
mod shuffle;
mod table;
mod tokenized;
mod vendored;

pub use batch::{Objective, PackedBatch, TargetText};
pub use batches::BatchStream;
pub use dataset::{Dataset, Domain, Example};
pub use error::DataError;
pub use partition::{Partition, label_counts, label_skew};
pub use table::TableOptions;
pub use tokenized::{LengthStatistics, Tokenize, TokenizedDataset};
pub use vendored::{VENDORED, VendoredSet};
