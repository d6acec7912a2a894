//! What can be wrong with data; every message names the place and says what would be right.

use super::{ImageSize, excerpt};

/// Errors of data sets, their files, and their division among devices. Rows are lines of the file, the header being
/// line 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    #[error("there is no vendored data set `{name}`{}; known are {known}", suggestion(.closest))]
    UnknownDataset { name: String, closest: Option<String>, known: String },
    #[error("data set `{dataset}` cannot be read for {task}; it serves {served}")]
    TaskNotServed { dataset: String, task: &'static str, served: String },
    #[error("{file}: cannot be read: {cause}")]
    Unreadable { file: String, cause: String },
    #[error("{file}: the format of a data file follows from its name: .tsv or .csv, optionally followed by .gz")]
    UnknownFormat { file: String },
    #[error("{file}: is empty; expected a header line with the columns {expected}")]
    Empty { file: String, expected: String },
    #[error("{file}: column `{column}` is missing; the header has {found}")]
    MissingColumn { file: String, column: String, found: String },
    #[error("{file}: line {row} is not UTF-8; convert the file (for example with iconv)")]
    NotUtf8 { file: String, row: u64 },
    #[error("{file}: line {row}: {cause}")]
    Row { file: String, row: u64, cause: String },
    #[error("{file}: line {row}: the {what} is empty")]
    EmptyField { file: String, row: u64, what: &'static str },
    #[error("{file}: line {row}: split `{found}`, expected train or test")]
    UnknownSplit { file: String, row: u64, found: String },
    #[error("{file}: line {row}: unknown label `{found}`; known are {known}")]
    UnknownLabel { file: String, row: u64, found: String, known: String },
    #[error("{file}: no row has split `{split}`; a data set needs train and test rows")]
    NoRows { file: String, split: &'static str },
    #[error("{file}: all rows have label `{label}`; a classifier needs at least two classes")]
    OneClass { file: String, label: String },
    #[error("data sets cannot be joined: `{first}` has the classes {first_classes}, `{other}` has {other_classes}")]
    ClassesDiffer { first: String, first_classes: String, other: String, other_classes: String },
    #[error("data sets cannot be joined: `{first}` is for {first_kind}, `{other}` for {other_kind}")]
    KindsDiffer { first: String, first_kind: String, other: String, other_kind: String },
    #[error("a joined data set needs at least one part")]
    NothingToJoin,
    #[error("{dataset}: {split} example {index} cannot be tokenised: {cause}")]
    Tokenize { dataset: String, split: &'static str, index: usize, cause: String },
    #[error("{dataset}: holds {found}, the model reads {expected}")]
    WrongInput { dataset: String, found: String, expected: String },
    #[error(
        "{dataset}: images of {size} cannot be cut into patches of {patch_px} x {patch_px}; a side must be a multiple"
    )]
    Patch { dataset: String, size: ImageSize, patch_px: usize },
    #[error("cannot deal {examples} training examples to {devices} devices: {cause}")]
    Partition { examples: usize, devices: usize, cause: String },
    #[error("mini-batches of device `{device}`: {cause}")]
    Batches { device: String, cause: &'static str },
}

fn suggestion(closest: &Option<String>) -> String {
    closest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// Names as a message lists them: `a`, `b` and so on.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    /// An image has thousands of columns, a label meant as a number a class for each of its values.
    const SHOWN: usize = 12;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|n| format!("`{}`", excerpt(n.as_ref()))).collect();
    let more = names.len() - shown.len();
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}
