//! The rows of a delimited file with a header, each with the line that an editor would show.

use super::error::list;
use super::{DataError, excerpt};
use csv::StringRecord;

/// The longest text, target or label. Tokenising takes some hundred times the bytes of a text before it is cut to the
/// tokens that a model reads.
const MOST_TEXT_BYTES: usize = 1 << 20;

/// How fields are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Tabs between fields; a quotation mark is an ordinary character.
    Tsv,
    /// RFC 4180.
    Csv,
}

/// A file whose header has been read.
pub(super) struct Rows<'a> {
    /// For messages.
    file: &'a str,
    bytes: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    header: StringRecord,
}

/// One row of it.
pub(super) struct Row<'a> {
    file: &'a str,
    pub line: u64,
    record: &'a StringRecord,
}

impl<'a> Rows<'a> {
    /// `expected` are the columns that an empty file is told it lacks. All of the file must be UTF-8, for a column that
    /// nobody reads says as well as any other that the file is not what it seems.
    pub fn new(file: &'a str, bytes: &'a [u8], format: Format, expected: &[&str]) -> Result<Self, DataError> {
        if let Err(e) = std::str::from_utf8(bytes) {
            let row = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() as u64;
            return Err(DataError::NotUtf8 { file: file.into(), row });
        }
        let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).quoting(format == Format::Csv).from_reader(bytes);
        let header =
            reader.headers().map_err(|e| DataError::Row { file: file.into(), row: 1, cause: e.to_string() })?.clone();
        if header.is_empty() {
            return Err(DataError::Empty { file: file.into(), expected: list(expected) });
        }
        Ok(Self { file, bytes, reader, header })
    }

    /// The one column of this name.
    pub fn column(&self, name: &str) -> Result<usize, DataError> {
        let mut places = (0..self.header.len()).filter(|&i| &self.header[i] == name);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(self.header_error(format!("column `{name}` appears twice"))),
            (None, _) => Err(self.missing(name.to_owned())),
        }
    }

    /// The columns `p0`, `p1` and so on, in order of their numbers.
    pub fn pixel_columns(&self) -> Result<Vec<usize>, DataError> {
        let number = |name: &str| {
            let digits = name.strip_prefix('p')?;
            digits.parse::<usize>().ok().filter(|n| n.to_string() == digits)
        };
        let mut columns: Vec<(usize, usize)> =
            self.header.iter().enumerate().filter_map(|(place, name)| Some((number(name)?, place))).collect();
        columns.sort_unstable();
        if let Some(twice) = columns.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(self.header_error(format!("column `p{}` appears twice", twice[0].0)));
        }
        if columns.is_empty() || columns.iter().enumerate().any(|(i, (n, _))| i != *n) {
            let first_absent = columns.iter().zip(0..).find(|((n, _), i)| n != i).map_or(0, |(_, i)| i);
            return Err(self.missing(format!("p{first_absent}")));
        }
        Ok(columns.into_iter().map(|(_, place)| place).collect())
    }

    /// Something is wrong with the header.
    pub fn header_error(&self, cause: String) -> DataError {
        DataError::Row { file: self.file.into(), row: 1, cause }
    }

    /// Calls `use_row` with one row after the other, until the end or the first error.
    pub fn for_each(mut self, mut use_row: impl FnMut(Row<'_>) -> Result<(), DataError>) -> Result<(), DataError> {
        let mut record = StringRecord::new();
        loop {
            match self.reader.read_record(&mut record) {
                Ok(true) => {
                    let line = record.position().map_or(1, |p| self.line(p));
                    use_row(Row { file: self.file, line, record: &record })?;
                }
                Ok(false) => return Ok(()),
                Err(e) => {
                    let cause = match e.kind() {
                        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                            format!("{len} fields, the header has {expected_len}")
                        }
                        _ => e.to_string(),
                    };
                    let row = e.position().map_or(1, |p| self.line(p));
                    return Err(DataError::Row { file: self.file.into(), row, cause });
                }
            }
        }
    }

    /// The csv crate counts blank lines before a record, and the second half of a CRLF, as part of it.
    fn line(&self, position: &csv::Position) -> u64 {
        let skipped = self.bytes[position.byte() as usize..].iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        position.line() + skipped.filter(|b| **b == b'\n').count() as u64
    }

    fn missing(&self, column: String) -> DataError {
        let found: Vec<&str> = self.header.iter().collect();
        DataError::MissingColumn { file: self.file.into(), column, found: list(&found) }
    }
}

impl Row<'_> {
    /// The field without white space around it.
    pub fn field(&self, column: usize) -> &str {
        self.record[column].trim()
    }

    /// A field that says something and can be tokenised in bounded memory; `what` names it in the message.
    pub fn filled(&self, column: usize, what: &'static str) -> Result<&str, DataError> {
        match self.field(column) {
            "" => Err(DataError::EmptyField { file: self.file.into(), row: self.line, what }),
            field if field.len() > MOST_TEXT_BYTES => Err(self.error(format!(
                "the {what} has {} bytes, at most {MOST_TEXT_BYTES} are read; shorten it or spread it over several rows",
                field.len()
            ))),
            field => Ok(field),
        }
    }

    /// Whether the row belongs to the test half.
    pub fn is_test(&self, column: usize) -> Result<bool, DataError> {
        match self.field(column) {
            "train" => Ok(false),
            "test" => Ok(true),
            found => Err(DataError::UnknownSplit { file: self.file.into(), row: self.line, found: excerpt(found) }),
        }
    }

    pub fn error(&self, cause: String) -> DataError {
        DataError::Row { file: self.file.into(), row: self.line, cause }
    }
}
