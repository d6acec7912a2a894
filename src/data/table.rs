//! Reads a data set from a table of text, label and split.

use super::error::list;
use super::{DataError, Dataset, Example};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

/// Which columns of a table mean what.
#[derive(Clone, Debug)]
pub struct TableOptions {
    pub text_column: String,
    pub label_column: String,
    /// Its values are `train` and `test`.
    pub split_column: String,
    /// The labels allowed, in the order of their class indices. `None`: those of the training rows, in numerical order
    /// if all are integers, alphabetical otherwise.
    pub classes: Option<Vec<String>>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { text_column: "text".into(), label_column: "label".into(), split_column: "split".into(), classes: None }
    }
}

/// How fields are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Tabs between fields; a quotation mark is an ordinary character.
    Tsv,
    /// RFC 4180.
    Csv,
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

pub(super) fn gunzip(bytes: &[u8], file: &str) -> Result<Vec<u8>, DataError> {
    let mut plain = Vec::new();
    match flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain) {
        Ok(_) => Ok(plain),
        Err(e) => Err(DataError::Unreadable { file: file.to_owned(), cause: format!("not a whole gzip file: {e}") }),
    }
}

/// One checked row whose label has no index yet.
struct Row {
    line: u64,
    text: String,
    label: String,
    test: bool,
}

/// `file` is for messages, `name` becomes the data set's name.
pub(super) fn parse(
    file: &str,
    name: &str,
    bytes: &[u8],
    format: Format,
    options: &TableOptions,
) -> Result<Dataset, DataError> {
    let rows = rows(file, bytes, format, options)?;
    for (split, test) in [("train", false), ("test", true)] {
        if !rows.iter().any(|r| r.test == test) {
            return Err(DataError::NoRows { file: file.into(), split });
        }
    }
    let classes = options.classes.clone().unwrap_or_else(|| classes_of(&rows));
    if let [label] = classes.as_slice() {
        return Err(DataError::OneClass { file: file.into(), label: label.clone() });
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for row in rows {
        let Some(label) = classes.iter().position(|c| *c == row.label) else {
            let known = list(&classes);
            return Err(DataError::UnknownLabel { file: file.into(), row: row.line, found: row.label, known });
        };
        let half = if row.test { &mut test } else { &mut train };
        half.push(Example { text: row.text, label: label as u32 });
    }
    Ok(Dataset::single(name.into(), classes, train, test))
}

fn rows(file: &str, bytes: &[u8], format: Format, options: &TableOptions) -> Result<Vec<Row>, DataError> {
    let wanted = [&options.text_column, &options.label_column, &options.split_column];
    let bad_row = |row: u64, cause: String| DataError::Row { file: file.into(), row, cause };
    let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).quoting(format == Format::Csv).from_reader(bytes);

    let header = reader.byte_headers().map_err(|e| bad_row(1, e.to_string()))?.clone();
    if header.is_empty() {
        return Err(DataError::Empty { file: file.into(), expected: list(&wanted) });
    }
    let mut columns = [0; 3];
    for (column, name) in columns.iter_mut().zip(wanted) {
        *column = header.iter().position(|h| h == name.as_bytes()).ok_or_else(|| {
            let found: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
            DataError::MissingColumn { file: file.into(), column: name.clone(), found: list(&found) }
        })?;
    }

    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    // The csv crate counts blank lines before a record, and the second half of a CRLF, as part of it.
    let line_of = |p: &csv::Position| {
        let skipped = bytes[p.byte() as usize..].iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        p.line() + skipped.filter(|b| **b == b'\n').count() as u64
    };
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(rows),
            Err(e) => {
                let cause = match e.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("{len} fields, the header has {expected_len}")
                    }
                    _ => e.to_string(),
                };
                return Err(bad_row(e.position().map_or(1, line_of), cause));
            }
        }
        let line = record.position().map_or(1, line_of);
        let field = |i: usize| std::str::from_utf8(&record[columns[i]]).map(str::trim);
        let (Ok(text), Ok(label), Ok(split)) = (field(0), field(1), field(2)) else {
            return Err(DataError::NotUtf8 { file: file.into(), row: line });
        };
        if text.is_empty() {
            return Err(DataError::EmptyText { file: file.into(), row: line });
        }
        let test = match split {
            "train" => false,
            "test" => true,
            _ => return Err(DataError::UnknownSplit { file: file.into(), row: line, found: split.into() }),
        };
        rows.push(Row { line, text: text.into(), label: label.into(), test });
    }
}

/// The labels of the training rows: a label that only test rows have could not be learnt.
fn classes_of(rows: &[Row]) -> Vec<String> {
    let labels: BTreeSet<&str> = rows.iter().filter(|r| !r.test).map(|r| r.label.as_str()).collect();
    let mut classes: Vec<String> = labels.into_iter().map(String::from).collect();
    if classes.iter().all(|c| c.parse::<i64>().is_ok()) {
        classes.sort_by_key(|c| c.parse::<i64>().unwrap_or_default());
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tsv(text: &str) -> Result<Dataset, DataError> {
        parse("f.tsv", "f", text.as_bytes(), Format::Tsv, &TableOptions::default())
    }

    #[test]
    fn columns_may_stand_in_any_order_and_labels_become_indices() {
        let d = tsv("split\tid\ttext\tlabel\ntrain\t7\t say \"hi \t10\ntest\t8\tyo\t9\n\ntrain\t9\tho\t9\n").unwrap();
        assert_eq!(d.classes, ["9", "10"]);
        assert_eq!(d.train[0], Example { text: "say \"hi".into(), label: 1 });
        assert_eq!((d.train.len(), d.test.len(), d.test[0].label), (2, 1, 0));
    }

    #[test]
    fn csv_fields_may_be_quoted_and_span_lines() {
        let text = "\u{feff}text,label,split\n\"one, two\nthree\",a,train\nx,b,train\ny,b,test\nz,c,test\n";
        let mut options =
            TableOptions { classes: Some(["a", "b", "c"].map(String::from).to_vec()), ..Default::default() };
        let d = parse("f.csv", "f", text.as_bytes(), Format::Csv, &options).unwrap();
        assert_eq!(d.train[0].text, "one, two\nthree");
        assert_eq!(d.test[1].label, 2);
        options.classes = None;
        let message = parse("f.csv", "f", text.as_bytes(), Format::Csv, &options).unwrap_err().to_string();
        assert_eq!(message, "f.csv: line 6: unknown label `c`; known are `a`, `b`");
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let header = "text\tlabel\tsplit\n";
        let message = |body: &str| tsv(&format!("{header}{body}")).unwrap_err().to_string();
        assert_eq!(message("a\t0\ttrain\nb\t1\n"), "f.tsv: line 3: 2 fields, the header has 3");
        assert_eq!(message("a\t0\ttrain\n\n \t1\ttest\n"), "f.tsv: line 4: the text is empty");
        assert_eq!(message("a\t0\ttrain\r\nb\t1\r\n"), "f.tsv: line 3: 2 fields, the header has 3");
        assert_eq!(message("a\t0\ttrain\r\n\r\n \t1\ttest\r\n"), "f.tsv: line 4: the text is empty");
        assert_eq!(message("a\t0\tdev\n"), "f.tsv: line 2: split `dev`, expected train or test");
        assert!(message("a\t0\ttrain\n").contains("no row has split `test`"));
        assert!(message("a\t0\ttest\n").contains("no row has split `train`"));
        assert!(message("").contains("no row has split `train`"));
        assert!(message("a\t0\ttrain\nb\t0\ttest\n").contains("all rows have label `0`"));
        assert!(tsv("").unwrap_err().to_string().contains("is empty; expected a header line"));
        let missing = tsv("text\tclass\tsplit\na\t0\ttrain\n").unwrap_err().to_string();
        assert_eq!(missing, "f.tsv: column `label` is missing; the header has `text`, `class`, `split`");
        let latin1 = b"text\tlabel\tsplit\na\t0\ttrain\ncaf\xe9\t1\ttest\n";
        let e = parse("f.tsv", "f", latin1, Format::Tsv, &TableOptions::default()).unwrap_err();
        assert!(matches!(e, DataError::NotUtf8 { row: 3, .. }), "{e}");
    }
}
