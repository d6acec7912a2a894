//! The rows of a delimited file with a header, each with the line that an editor would show.

use super::DataError;
use super::error::list;
use csv::ByteRecord;

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
    header: ByteRecord,
}

/// One row of it.
pub(super) struct Row<'a> {
    file: &'a str,
    pub line: u64,
    record: &'a ByteRecord,
}

impl<'a> Rows<'a> {
    /// `expected` are the columns that an empty file is told it lacks.
    pub fn new(file: &'a str, bytes: &'a [u8], format: Format, expected: &[&str]) -> Result<Self, DataError> {
        let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).quoting(format == Format::Csv).from_reader(bytes);
        let header = reader
            .byte_headers()
            .map_err(|e| DataError::Row { file: file.into(), row: 1, cause: e.to_string() })?
            .clone();
        if header.is_empty() {
            return Err(DataError::Empty { file: file.into(), expected: list(expected) });
        }
        Ok(Self { file, bytes, reader, header })
    }

    /// The one column of this name.
    pub fn column(&self, name: &str) -> Result<usize, DataError> {
        let mut places = (0..self.header.len()).filter(|&i| &self.header[i] == name.as_bytes());
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(self.header_error(format!("column `{name}` appears twice"))),
            (None, _) => Err(self.missing(name.to_owned())),
        }
    }

    /// The columns `p0`, `p1` and so on, in order of their numbers.
    pub fn pixel_columns(&self) -> Result<Vec<usize>, DataError> {
        let number = |name: &[u8]| {
            let digits = std::str::from_utf8(name).ok()?.strip_prefix('p')?;
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
        let mut record = ByteRecord::new();
        loop {
            match self.reader.read_byte_record(&mut record) {
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
        /// Names listed; an image has thousands of columns.
        const SHOWN: usize = 12;
        let found: Vec<_> = self.header.iter().take(SHOWN).map(String::from_utf8_lossy).collect();
        let more = self.header.len() - found.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let found = list(&found) + &more;
        DataError::MissingColumn { file: self.file.into(), column, found }
    }
}

impl Row<'_> {
    /// The field without white space around it.
    pub fn field(&self, column: usize) -> Result<&str, DataError> {
        match std::str::from_utf8(&self.record[column]) {
            Ok(field) => Ok(field.trim()),
            Err(_) => Err(DataError::NotUtf8 { file: self.file.into(), row: self.line }),
        }
    }

    /// A field that says something; `what` names it in the message.
    pub fn filled(&self, column: usize, what: &'static str) -> Result<&str, DataError> {
        match self.field(column)? {
            "" => Err(DataError::EmptyField { file: self.file.into(), row: self.line, what }),
            field => Ok(field),
        }
    }

    /// Whether the row belongs to the test half.
    pub fn is_test(&self, column: usize) -> Result<bool, DataError> {
        match self.field(column)? {
            "train" => Ok(false),
            "test" => Ok(true),
            found => Err(DataError::UnknownSplit { file: self.file.into(), row: self.line, found: found.into() }),
        }
    }

    pub fn error(&self, cause: String) -> DataError {
        DataError::Row { file: self.file.into(), row: self.line, cause }
    }
}
