//! Reads a data set from a user's table: a row an example, for any task.

use super::error::list;
use super::rows::{Format, Row, Rows};
use super::{DataError, Dataset, Example, ImageSize, Input, Target, TaskKind, excerpt};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

/// What a table is read for, and which of its columns mean what. Columns that the task does not need are ignored.
///
/// | task | columns |
/// |---|---|
/// | classification | text, label, split |
/// | regression | text, label (a number from -1e15 to 1e15), split |
/// | language model | text, split |
/// | sequence to sequence | text, target, split |
/// | images | label, split, and `p0`, `p1`, ...: whole numbers from 0 to 255, `[channel, y, x]` |
#[derive(Clone, Debug)]
pub struct TableOptions {
    pub task: TaskKind,
    pub text_column: String,
    pub label_column: String,
    /// The text to write for a text.
    pub target_column: String,
    /// Its values are `train` and `test`.
    pub split_column: String,
    /// The labels allowed, in the order of their class indices. `None`: those of the training rows, in numerical order
    /// if all are integers, alphabetical otherwise.
    pub classes: Option<Vec<String>>,
    /// Size of the images. `None`: what their number of pixels says, n^2 being grey and 3 n^2 RGB.
    pub image: Option<ImageSize>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self::for_task(TaskKind::default())
    }
}

impl TableOptions {
    /// The columns `text`, `label`, `target` and `split`.
    pub fn for_task(task: TaskKind) -> Self {
        Self {
            task,
            text_column: "text".into(),
            label_column: "label".into(),
            target_column: "target".into(),
            split_column: "split".into(),
            classes: None,
            image: None,
        }
    }

    /// The column that holds what to answer, and how messages call it.
    fn answer(&self) -> Option<(&str, &'static str)> {
        match self.task {
            TaskKind::LanguageModel => None,
            TaskKind::SequenceToSequence => Some((&self.target_column, "target")),
            TaskKind::Classification | TaskKind::Regression | TaskKind::Images => Some((&self.label_column, "label")),
        }
    }

    /// The columns that the task needs; the first stands for all of an image's.
    fn wanted(&self) -> Vec<&str> {
        let input = if self.task == TaskKind::Images { "p0" } else { self.text_column.as_str() };
        match self.answer() {
            Some((answer, _)) => vec![input, answer, &self.split_column],
            None => vec![input, &self.split_column],
        }
    }
}

pub(super) fn read(path: &Path, options: &TableOptions) -> Result<Dataset, DataError> {
    let file = path.display().to_string();
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (inner, compressed) = match file_name.strip_suffix(".gz") {
        Some(inner) => (inner, true),
        None => (file_name.as_str(), false),
    };
    let (stem, format) = match inner.rsplit_once('.') {
        Some((stem, "tsv")) => (stem, Format::Tsv),
        Some((stem, "csv")) => (stem, Format::Csv),
        _ => return Err(DataError::UnknownFormat { file }),
    };
    let mut bytes =
        std::fs::read(path).map_err(|e| DataError::Unreadable { file: file.clone(), cause: e.to_string() })?;
    if compressed {
        bytes = gunzip(&bytes, &file)?;
    }
    parse(&file, stem, &bytes, format, options)
}

/// Decompresses a gzip file of one or several members. Tables shrink to a tenth or so; a file that would grow far beyond
/// what that explains is refused, for a few kilobytes of gzip can ask for gigabytes of memory.
pub(super) fn gunzip(bytes: &[u8], file: &str) -> Result<Vec<u8>, DataError> {
    const ALWAYS_ALLOWED: u64 = 64 << 20;
    const LARGEST_RATIO: u64 = 100;
    let limit = ALWAYS_ALLOWED + LARGEST_RATIO * bytes.len() as u64;
    let unreadable = |cause: String| DataError::Unreadable { file: file.to_owned(), cause };
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(limit + 1)
        .read_to_end(&mut plain)
        .map_err(|e| unreadable(format!("not a whole gzip file: {e}")))?;
    if plain.len() as u64 > limit {
        return Err(unreadable(format!(
            "{} bytes of gzip expand to more than {limit}; if that is meant, decompress the file first",
            bytes.len()
        )));
    }
    Ok(plain)
}

/// One checked row whose answer is still as it was written.
struct Draft {
    line: u64,
    test: bool,
    input: Input,
    answer: String,
}

/// `file` is for messages, `name` becomes the data set's name.
pub(super) fn parse(
    file: &str,
    name: &str,
    bytes: &[u8],
    format: Format,
    options: &TableOptions,
) -> Result<Dataset, DataError> {
    let rows = Rows::new(file, bytes, format, &options.wanted())?;
    let columns = Columns::find(&rows, options)?;
    let mut drafts = Vec::new();
    rows.for_each(|row| {
        drafts.push(columns.draft(&row)?);
        Ok(())
    })?;
    let image = match columns.input {
        InputColumns::Pixels(_, size) => Some(size),
        InputColumns::Text(_) => None,
    };
    for (split, test) in [("train", false), ("test", true)] {
        if !drafts.iter().any(|d| d.test == test) {
            return Err(DataError::NoRows { file: file.into(), split });
        }
    }
    let classes = match (&options.classes, options.task.has_classes()) {
        (_, false) => vec![],
        (Some(classes), true) => classes.clone(),
        (None, true) => classes_of(&drafts),
    };
    if let [label] = classes.as_slice() {
        return Err(DataError::OneClass { file: file.into(), label: excerpt(label) });
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for draft in drafts {
        let target = target(file, draft.line, draft.answer, options.task, &classes)?;
        let half = if draft.test { &mut test } else { &mut train };
        half.push(Example { input: draft.input, target });
    }
    Ok(Dataset { classes, image, ..Dataset::single(name.into(), options.task, train, test) })
}

/// Where the fields that a task needs stand.
struct Columns {
    input: InputColumns,
    /// And how messages call it.
    answer: Option<(usize, &'static str)>,
    split: usize,
}

enum InputColumns {
    Text(usize),
    /// In the order of the pixels.
    Pixels(Vec<usize>, ImageSize),
}

impl Columns {
    fn find(rows: &Rows<'_>, options: &TableOptions) -> Result<Self, DataError> {
        let input = if options.task == TaskKind::Images {
            let pixels = rows.pixel_columns()?;
            let size = image_size(rows, pixels.len(), options.image)?;
            InputColumns::Pixels(pixels, size)
        } else {
            InputColumns::Text(rows.column(&options.text_column)?)
        };
        let answer = match options.answer() {
            Some((name, what)) => Some((rows.column(name)?, what)),
            None => None,
        };
        Ok(Self { input, answer, split: rows.column(&options.split_column)? })
    }

    fn draft(&self, row: &Row<'_>) -> Result<Draft, DataError> {
        let input = match &self.input {
            InputColumns::Text(column) => Input::Text(row.filled(*column, "text")?.into()),
            InputColumns::Pixels(columns, _) => {
                Input::Image(columns.iter().enumerate().map(|(n, &c)| pixel(row, c, n)).collect::<Result<_, _>>()?)
            }
        };
        let answer = match self.answer {
            Some((column, what)) => row.filled(column, what)?.into(),
            None => String::new(),
        };
        Ok(Draft { line: row.line, test: row.is_test(self.split)?, input, answer })
    }
}

fn image_size(rows: &Rows<'_>, columns: usize, wanted: Option<ImageSize>) -> Result<ImageSize, DataError> {
    match wanted {
        Some(size) if size.bytes() == columns => Ok(size),
        Some(size) => {
            Err(rows.header_error(format!("{columns} pixel columns, images of {size} have {}", size.bytes())))
        }
        None => ImageSize::of_bytes(columns).ok_or_else(|| {
            rows.header_error(format!(
                "{columns} pixel columns make no square image, neither grey (n x n) nor RGB (3 x n x n)"
            ))
        }),
    }
}

/// The number in column `column`, which is pixel `number`.
fn pixel(row: &Row<'_>, column: usize, number: usize) -> Result<u8, DataError> {
    let field = row.field(column);
    let wrong =
        || row.error(format!("pixel `p{number}` is `{}`, expected a whole number from 0 to 255", excerpt(field)));
    field.parse().map_err(|_| wrong())
}

/// The largest magnitude of a number to predict: sums of squares of such numbers are far from the end of single precision.
const LARGEST_LABEL: f32 = 1e15;

/// What `answer` means for the task.
fn target(file: &str, row: u64, answer: String, task: TaskKind, classes: &[String]) -> Result<Target, DataError> {
    let file = || file.to_owned();
    match task {
        TaskKind::Classification | TaskKind::Images => match classes.iter().position(|c| *c == answer) {
            Some(class) => Ok(Target::Class(class as u32)),
            None => Err(DataError::UnknownLabel { file: file(), row, found: excerpt(&answer), known: list(classes) }),
        },
        TaskKind::Regression => match answer.parse::<f32>() {
            Ok(value) if value.abs() <= LARGEST_LABEL => Ok(Target::Value(value)),
            other => {
                let finite = other.is_ok_and(f32::is_finite);
                let allowed = if finite { "a number from -1e15 to 1e15" } else { "a finite number" };
                let cause = format!("label `{}`, expected {allowed} (regression)", excerpt(&answer));
                Err(DataError::Row { file: file(), row, cause })
            }
        },
        TaskKind::SequenceToSequence => Ok(Target::Text(answer)),
        TaskKind::LanguageModel => Ok(Target::Itself),
    }
}

/// The labels of the training rows: a label that only test rows have could not be learnt.
fn classes_of(drafts: &[Draft]) -> Vec<String> {
    let labels: BTreeSet<&str> = drafts.iter().filter(|d| !d.test).map(|d| d.answer.as_str()).collect();
    let mut classes: Vec<String> = labels.into_iter().map(String::from).collect();
    if classes.iter().all(|c| c.parse::<i64>().is_ok()) {
        classes.sort_by_key(|c| c.parse::<i64>().unwrap_or_default());
    }
    classes
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
