//! The entries of a GGUF file that say where each tensor lies.

use super::block_format::BlockFormat;
use super::metadata::Metadata;
use super::reader::Reader;
use std::collections::BTreeMap;
use std::ops::Range;

/// An empty name, no dimensions, a type, an offset.
pub const LEAST_ENTRY_BYTES: usize = 8 + 4 + 4 + 8;
/// Limits of the specification.
const LONGEST_NAME_BYTES: usize = 64;
const MOST_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// Larger than any page; keeps sums far from overflow.
const LARGEST_ALIGNMENT: u64 = 1 << 30;

/// One tensor, checked to lie within the file.
#[derive(Debug)]
pub struct TensorInfo {
    /// Row-major, the last dimension the one whose values are neighbours; none is 0.
    pub shape: Vec<usize>,
    /// `ggml_type`.
    pub format_id: u32,
    /// `None` for a format that `deft` cannot decode; an error when it is asked for, since it may never be.
    pub format: Option<&'static BlockFormat>,
    /// Its place in the file; empty if the format is not known.
    pub bytes: Range<usize>,
}

impl TensorInfo {
    /// Product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// Values in a row: the last dimension.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// All tensors of a file by name.
#[derive(Debug)]
pub struct TensorTable(BTreeMap<String, TensorInfo>);

impl TensorTable {
    /// Reads `count` entries and checks that the tensors lie within the file, apart from each other.
    pub fn read(reader: &mut Reader, count: usize, metadata: &Metadata) -> Result<Self, String> {
        let alignment = alignment(metadata)?;
        let entries = (0..count).map(|_| Entry::read(reader)).collect::<Result<Vec<_>, _>>()?;
        let data_start = (reader.position() as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for entry in entries {
            let info = entry
                .locate(data_start, alignment, reader.file_bytes())
                .map_err(|cause| format!("tensor `{}` {cause}", entry.name))?;
            if tensors.insert(entry.name.clone(), info).is_some() {
                return Err(format!("tensor `{}` appears twice", entry.name));
            }
        }
        let table = Self(tensors);
        table.check_apart()?;
        Ok(table)
    }

    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn check_apart(&self) -> Result<(), String> {
        let mut placed: Vec<(&str, &Range<usize>)> = self.0.iter().map(|(n, t)| (n.as_str(), &t.bytes)).collect();
        placed.retain(|(_, bytes)| !bytes.is_empty());
        placed.sort_by_key(|(_, bytes)| bytes.start);
        match placed.windows(2).find(|pair| pair[0].1.end > pair[1].1.start) {
            Some(pair) => Err(format!("tensors `{}` and `{}` overlap", pair[0].0, pair[1].0)),
            None => Ok(()),
        }
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, String> {
    let key = "general.alignment";
    if !metadata.has(key) {
        return Ok(DEFAULT_ALIGNMENT);
    }
    let found = metadata.whole(key).filter(|n| (8..=LARGEST_ALIGNMENT).contains(n) && n.is_multiple_of(8));
    found.ok_or_else(|| format!("metadata `{key}` is not a multiple of 8 up to {LARGEST_ALIGNMENT}"))
}

/// A tensor's entry as the file has it.
struct Entry {
    name: String,
    shape: Vec<usize>,
    format_id: u32,
    /// From the start of the data.
    offset: u64,
}

impl Entry {
    fn read(reader: &mut Reader) -> Result<Self, String> {
        let name = reader.text()?;
        if name.len() > LONGEST_NAME_BYTES {
            return Err(format!("a tensor's name has {} bytes, more than {LONGEST_NAME_BYTES}", name.len()));
        }
        let name = name.to_owned();
        let dimensions = reader.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(format!("tensor `{name}` has {dimensions} dimensions, more than {MOST_DIMENSIONS}"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = reader.u64()?;
            let size = usize::try_from(size).ok().filter(|n| *n > 0);
            shape.push(size.ok_or_else(|| format!("tensor `{name}` has a dimension of no or of too many values"))?);
        }
        // The file starts with the dimension whose values are neighbours.
        shape.reverse();
        Ok(Self { name, shape, format_id: reader.u32()?, offset: reader.u64()? })
    }

    /// Where the tensor lies in a file of `file_bytes`, or what is wrong with that.
    fn locate(&self, data_start: u64, alignment: u64, file_bytes: usize) -> Result<TensorInfo, String> {
        let (shape, format_id) = (self.shape.clone(), self.format_id);
        let Some(format) = BlockFormat::numbered(format_id) else {
            return Ok(TensorInfo { shape, format_id, format: None, bytes: 0..0 });
        };
        let columns = shape.last().copied().unwrap_or(1);
        if !columns.is_multiple_of(format.values) {
            return Err(format!(
                "has rows of {columns} values, not whole blocks of {} ({})",
                format.values, format.name
            ));
        }
        if !self.offset.is_multiple_of(alignment) {
            return Err(format!("starts at byte {} of the data, not a multiple of {alignment}", self.offset));
        }
        let values = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let length = values.and_then(|n| (n / format.values).checked_mul(format.bytes));
        let start = data_start.checked_add(self.offset).and_then(|n| usize::try_from(n).ok());
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
        match (start, end) {
            (Some(start), Some(end)) if end <= file_bytes => {
                Ok(TensorInfo { shape, format_id, format: Some(format), bytes: start..end })
            }
            _ => Err(format!("of shape {shape:?} ({}) reaches beyond the end of the file", format.name)),
        }
    }
}
