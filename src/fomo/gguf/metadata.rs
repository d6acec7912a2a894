//! The key-value pairs at the start of a GGUF file.

use super::reader::Reader;
use crate::data::excerpt;
use crate::fomo::config::ConfigError;
use std::collections::BTreeMap;
use std::ops::Range;

/// Lists inside lists inside lists: deeper than any published file goes.
const DEEPEST_LIST: usize = 4;
/// The specification's limit on a key's length.
const LONGEST_KEY_BYTES: usize = 65_535;
/// An empty key, a kind and one byte of value.
pub const LEAST_PAIR_BYTES: usize = 8 + 4 + 1;

const TEXT: u32 = 8;
const LIST: u32 = 9;

/// One value; `gguf_metadata_value_type` of the specification, with integers widened.
#[derive(Debug)]
enum Value {
    Unsigned(u64),
    Signed(i64),
    Real(f64),
    Flag(bool),
    Text(String),
    List(List),
}

/// A list stays in the file: a vocabulary would cost several times its bytes as separate values.
#[derive(Debug)]
struct List {
    kind: u32,
    count: usize,
    /// Where its elements lie in the file.
    bytes: Range<usize>,
}

/// All pairs of one file, and the file's name for messages.
#[derive(Debug)]
pub struct Metadata {
    file: String,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// Reads `count` pairs.
    pub fn read(file: &str, reader: &mut Reader, count: usize) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text()?;
            if key.len() > LONGEST_KEY_BYTES {
                return Err(format!("a key of {} bytes is longer than {LONGEST_KEY_BYTES}", key.len()));
            }
            let kind = reader.u32()?;
            let value = value(reader, kind).map_err(|cause| format!("metadata `{}`: {cause}", excerpt(key)))?;
            if values.insert(key.to_owned(), value).is_some() {
                return Err(format!("metadata `{}` appears twice", excerpt(key)));
            }
        }
        Ok(Self { file: file.to_owned(), values })
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.values.get(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub fn whole(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub fn real(&self, key: &str) -> Option<f64> {
        match self.values.get(key)? {
            Value::Real(number) => Some(*number),
            _ => self.whole(key).map(|n| n as f64),
        }
    }

    /// The list of texts under `key`; `None` if there is none or it holds something else. `bytes` is the whole file.
    pub fn texts<'a>(&self, bytes: &'a [u8], key: &str) -> Option<Vec<&'a str>> {
        let list = self.list(key, TEXT)?;
        let mut reader = Reader::new(bytes, list.bytes.start);
        (0..list.count).map(|_| reader.text().ok()).collect()
    }

    /// The list of 32-bit integers under `key`.
    pub fn integers(&self, bytes: &[u8], key: &str) -> Option<Vec<i32>> {
        let list = self.list(key, 5).or_else(|| self.list(key, 4))?;
        let elements = bytes.get(list.bytes.clone())?.as_chunks().0;
        Some(elements.iter().map(|b| i32::from_le_bytes(*b)).collect())
    }

    fn list(&self, key: &str, kind: u32) -> Option<&List> {
        match self.values.get(key)? {
            Value::List(list) if list.kind == kind => Some(list),
            _ => None,
        }
    }

    /// A whole number from 1 to `largest` that must be there.
    pub fn size(&self, key: &str, largest: usize) -> Result<usize, ConfigError> {
        if !self.has(key) {
            return Err(ConfigError::Missing { file: self.file.clone(), field: key.to_owned() });
        }
        let size = self.whole(key).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=largest).contains(n));
        size.ok_or_else(|| self.unsupported(key, format!("a whole number from 1 to {largest}")))
    }

    /// A size, or `default` if there is no such key.
    pub fn size_or(&self, key: &str, largest: usize, default: usize) -> Result<usize, ConfigError> {
        if self.has(key) { self.size(key, largest) } else { Ok(default) }
    }

    /// The error that the value of `key` is not as expected.
    pub fn unsupported(&self, key: &str, expected: impl Into<String>) -> ConfigError {
        let found = match self.values.get(key) {
            None => "absent".into(),
            Some(Value::Unsigned(n)) => n.to_string(),
            Some(Value::Signed(n)) => n.to_string(),
            Some(Value::Real(n)) => n.to_string(),
            Some(Value::Flag(flag)) => flag.to_string(),
            Some(Value::Text(text)) => format!("`{}`", excerpt(text)),
            Some(Value::List(list)) => format!("a list of {}", list.count),
        };
        ConfigError::Unsupported { file: self.file.clone(), field: key.to_owned(), found, expected: expected.into() }
    }
}

fn value(reader: &mut Reader, kind: u32) -> Result<Value, String> {
    Ok(match kind {
        0 => Value::Unsigned(u8::from_le_bytes(reader.array()?).into()),
        1 => Value::Signed(i8::from_le_bytes(reader.array()?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(reader.array()?).into()),
        3 => Value::Signed(i16::from_le_bytes(reader.array()?).into()),
        4 => Value::Unsigned(reader.u32()?.into()),
        5 => Value::Signed(i32::from_le_bytes(reader.array()?).into()),
        6 => Value::Real(f32::from_le_bytes(reader.array()?).into()),
        7 => match reader.array()? {
            [0] => Value::Flag(false),
            [1] => Value::Flag(true),
            [other] => return Err(format!("{other} is neither true nor false")),
        },
        TEXT => Value::Text(reader.text()?.to_owned()),
        LIST => Value::List(list(reader, 1)?),
        10 => Value::Unsigned(reader.u64()?),
        11 => Value::Signed(i64::from_le_bytes(reader.array()?)),
        12 => Value::Real(f64::from_le_bytes(reader.array()?)),
        other => return Err(format!("unknown kind of value, number {other}")),
    })
}

/// Bytes of an element of fixed size.
fn fixed_bytes(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Walks over a list and its lists, and checks that they lie within the file.
fn list(reader: &mut Reader, depth: usize) -> Result<List, String> {
    let kind = reader.u32()?;
    let start;
    let count;
    if let Some(size) = fixed_bytes(kind) {
        count = reader.count("elements in a list", size)?;
        start = reader.position();
        reader.take(count * size)?;
    } else if kind == TEXT {
        count = reader.count("texts in a list", 8)?;
        start = reader.position();
        for _ in 0..count {
            reader.text()?;
        }
    } else if kind == LIST && depth < DEEPEST_LIST {
        count = reader.count("lists in a list", 4 + 8)?;
        start = reader.position();
        for _ in 0..count {
            list(reader, depth + 1)?;
        }
    } else if kind == LIST {
        return Err(format!("lists are nested more than {DEEPEST_LIST} deep"));
    } else {
        return Err(format!("unknown kind of elements, number {kind}"));
    }
    Ok(List { kind, count, bytes: start..reader.position() })
}
