//! What can go wrong between a record and the files that hold it.

use std::path::{Path, PathBuf};

/// A failure of this layer. Every message names the file and what the reader can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    #[error("cannot write {}: {source}; check that the folder may be written to and that the disk is not full", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read {}: {source}; give the folder of a finished run, results/<scenario>/<id>", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write the table {}: {source}", path.display())]
    WriteTable { path: PathBuf, source: csv::Error },
    #[error("{} is not a table of this program's version ({source}); run the scenario again", path.display())]
    ReadTable { path: PathBuf, source: csv::Error },
    #[error("{} is not a manifest of this program's version ({source}); run the scenario again", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("{} has format {found}, this program reads format {expected}; run the scenario again", path.display())]
    Format { path: PathBuf, found: u32, expected: u32 },
    #[error("the files in {} come from different runs ({detail}); run the scenario again", path.display())]
    Inconsistent { path: PathBuf, detail: String },
    #[error("no adapter to take from {}: {detail}", path.display())]
    Adapter { path: PathBuf, detail: String },
    #[error("cannot draw {}: {detail}", path.display())]
    Plot { path: PathBuf, detail: String },
    #[error("a comparison needs at least two run folders, but got {found}")]
    TooFewRuns { found: usize },
}

impl ResultsError {
    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}
