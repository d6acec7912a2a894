//! Named tensors in the safetensors format, small enough to hold: reading with shapes and notes, and writing.
//!
//! A checkpoint's reader (`fomo::checkpoint`) maps gigabytes and is told every shape; here shapes are what one wants to
//! know. Written files are the same bytes for the same content, which the library's own writer does not promise.

use crate::fomo::{CheckpointError, safetensors_header};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The length of the header, before the header; also what the data is aligned to.
const LENGTH_BYTES: usize = 8;
const NOTES: &str = "__metadata__";

/// One tensor to be written, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A file that was read whole: it takes as much memory as it has bytes.
pub struct TensorFile {
    file: String,
    bytes: Vec<u8>,
    data_start: usize,
    metadata: Metadata,
}

impl TensorFile {
    /// # Errors
    /// If the file cannot be read, or its header does not fit its bytes.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let file = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::new(file, bytes),
            Err(e) => Err(CheckpointError::Unreadable { file, cause: e.to_string() }),
        }
    }

    /// `file` stands for it in messages.
    pub fn new(file: String, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        match safetensors_header::read(&bytes) {
            Ok((data_start, metadata)) => Ok(Self { file, bytes, data_start, metadata }),
            Err(cause) => Err(CheckpointError::Malformed { file, cause }),
        }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text under `key` in the file's notes (`__metadata__`).
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Names of all tensors in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.metadata.offset_keys();
        names.sort();
        names
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.metadata.info(name).map(|info| info.shape.as_slice())
    }

    /// All bytes behind the header.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.data_start..]
    }

    /// The finite values of tensor `name`, checked to have exactly `shape`.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (file, tensor) = (self.file.clone(), name.to_owned());
        let Some(info) = self.metadata.info(name) else {
            return Err(CheckpointError::Missing { file, tensor });
        };
        if info.shape != shape {
            return Err(CheckpointError::Shape { file, tensor, found: info.shape.clone(), expected: shape.to_vec() });
        }
        let bytes = &self.data()[info.data_offsets.0..info.data_offsets.1];
        let values = match info.dtype {
            Dtype::F32 => decode(bytes, f32::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            other => {
                let (found, expected) = (format!("{other:?}"), "F32, F16 or BF16");
                return Err(CheckpointError::Type { file, tensor, found, expected });
            }
        };
        if values.iter().any(|v| !v.is_finite()) {
            let cause = format!("tensor `{tensor}` holds a value that is not a finite number");
            return Err(CheckpointError::Malformed { file, cause });
        }
        Ok(values)
    }
}

/// Little-endian values of `N` bytes each.
fn decode<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
}

/// The data of a file with these tensors, in their order.
pub fn data_of<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<u8> {
    tensors.into_iter().flat_map(|t| &t.values).flat_map(|v| v.to_le_bytes()).collect()
}

/// A file in F32 with these notes and tensors; a name may occur once.
pub fn to_bytes(notes: &[(&str, String)], tensors: &[Tensor]) -> Vec<u8> {
    let mut header = Map::new();
    let notes: Map<String, Value> = notes.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    header.insert(NOTES.to_owned(), Value::Object(notes));
    let mut offset = 0;
    for Tensor { name, shape, values } in tensors {
        let end = offset + size_of_val(values.as_slice());
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes.extend(data_of(tensors));
    bytes
}
