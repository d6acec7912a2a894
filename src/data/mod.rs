//! Data sets, their tokens, and how both are dealt to devices and cut into mini-batches.
//!
//! An example's way: [`Dataset`] (text or image and what to answer to it, vendored or from the user's file) to
//! [`TokenizedDataset`] (token ids by whatever implements [`Tokenize`], or patches) to [`Partition`] (which device holds
//! which examples) to [`BatchStream`] (which of them step n uses) to [`PackedBatch`] (what a model reads). Start with
//! `task.rs` and `dataset.rs`.
//!
//! This module knows nothing of models, tensors or time. All randomness comes from named streams of `crate::random`.

mod batch;
mod batches;
mod dataset;
mod error;
mod excerpt;
mod image;
mod partition;
mod rows;
mod shuffle;
mod table;
mod task;
mod tokenized;
mod vendored;

pub use batch::{Objective, PackedBatch, TargetText};
pub use batches::BatchStream;
pub use dataset::{Dataset, Domain, Example, Input, Target};
pub use error::DataError;
pub(crate) use excerpt::{beginning, excerpt};
pub use image::ImageSize;
pub use partition::{Partition, label_counts, label_skew};
pub use table::TableOptions;
pub use task::TaskKind;
pub use tokenized::{LengthStatistics, Tokenize, TokenizedDataset};
pub use vendored::{VENDORED, VendoredSet};
