//! Checkpoints in the safetensors format: float weights as published, and the int8 copies that `deft` carries.
//!
//! An int8 tensor `w` has a companion `w.scale` in F32 with one value a row: `w[r][c] = scale[r] * q[r][c]`. A file
//! is mapped, not read, and only the tensors asked for become `f32`. Nothing in a file is trusted: a header that does
//! not fit the bytes is an error, and no allocation is larger than what the file's own size can back.

use super::bytes::Bytes;
use super::names::OUTPUT;
use super::safetensors_header;
use super::spelling::spellings;
use super::tensor_source::{CheckpointError, TensorSource, values_agree};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SCALE_SUFFIX: &str = ".scale";
/// The whole of a model in one file, as model hubs call it.
pub(super) const SINGLE_FILE: &str = "model.safetensors";
/// Which tensor is in which of several files.
pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";
const TYPES: &str = "F32, F16, BF16 or I8 with a scale";

/// The tensors of one or several safetensors files.
///
/// A mapped file must not be shortened while it is open: the operating system would end the process.
#[derive(Debug)]
pub struct SafetensorsCheckpoint {
    shards: Vec<Shard>,
    /// Tensor name to the shard that holds it.
    index: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    /// For messages.
    file: String,
    bytes: Bytes,
    data_start: usize,
    metadata: Metadata,
}

impl SafetensorsCheckpoint {
    /// Opens a file, or a folder as model hubs lay it out: `model.safetensors`, or the shards that
    /// `model.safetensors.index.json` names.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_shards(&files_at(path)?)
    }

    /// Opens the shards of one checkpoint; a tensor may stand in one of them only.
    pub fn open_shards(paths: &[PathBuf]) -> Result<Self, CheckpointError> {
        let open = |path: &PathBuf| Shard::new(path.display().to_string(), Bytes::map(path)?);
        Self::from_shards(paths.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// A checkpoint that is part of the program; `name` stands for the file in messages.
    pub fn from_embedded(name: &str, bytes: &'static [u8]) -> Result<Self, CheckpointError> {
        Self::from_shards(vec![Shard::new(name.to_owned(), Bytes::Embedded(bytes))?])
    }

    fn from_shards(shards: Vec<Shard>) -> Result<Self, CheckpointError> {
        let mut index = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            for name in shard.metadata.offset_keys() {
                if let Some(other) = index.insert(name.clone(), number) {
                    let cause = format!("tensor `{name}` is also in {}", shards[other].file);
                    return Err(CheckpointError::Malformed { file: shard.file.clone(), cause });
                }
            }
        }
        Ok(Self { shards, index })
    }

    /// Names of all tensors as the files spell them, scales included, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// SHA-256 over all shards, in the order they were opened: the identity of these weights.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for shard in &self.shards {
            let bytes = shard.bytes.as_slice();
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }

    /// All files, for messages about what none of them holds.
    fn files(&self) -> String {
        self.shards.iter().map(|s| s.file.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The tensor under one of the spellings of `name`: the shard, the name found, what its header says.
    fn find(&self, name: &str) -> Result<(&Shard, String, &TensorInfo), CheckpointError> {
        spellings(name)
            .find_map(|candidate| {
                let shard = &self.shards[*self.index.get(&candidate)?];
                let info = shard.metadata.info(&candidate)?;
                Some((shard, candidate, info))
            })
            .ok_or_else(|| CheckpointError::Missing { file: self.files(), tensor: name.to_owned() })
    }
}

impl TensorSource for SafetensorsCheckpoint {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (shard, found_name, info) = self.find(name)?;
        if info.shape != shape {
            return Err(CheckpointError::Shape {
                file: shard.file.clone(),
                tensor: found_name,
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let bytes = shard.data(info);
        let values = match info.dtype {
            Dtype::F32 => decode(bytes, f32::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::I8 => {
                let rows = shape.first().copied().unwrap_or(1);
                let scale = self.scale(&found_name, rows)?;
                dequantise(bytes, &scale)
            }
            other => {
                let (file, found) = (shard.file.clone(), format!("{other:?}"));
                return Err(CheckpointError::Type { file, tensor: found_name, found, expected: TYPES });
            }
        };
        if values.iter().any(|v| !v.is_finite()) {
            let cause = format!("tensor `{found_name}` holds a value that is not a finite number");
            return Err(CheckpointError::Malformed { file: shard.file.clone(), cause });
        }
        Ok(values)
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    fn own_output(&self, words: &str) -> Option<String> {
        let (shard, _, output) = self.find(OUTPUT).ok()?;
        let (of_words, _, words_info) = self.find(words).ok()?;
        // As bytes where that can be: an embedding is the largest tensor of many models.
        let same = match output.dtype {
            _ if output.shape != words_info.shape => false,
            Dtype::I8 => values_agree(self, OUTPUT, words, &output.shape),
            dtype if dtype == words_info.dtype => shard.data(output) == of_words.data(words_info),
            _ => values_agree(self, OUTPUT, words, &output.shape),
        };
        (!same).then(|| shard.file.clone())
    }
}

impl SafetensorsCheckpoint {
    fn scale(&self, name: &str, rows: usize) -> Result<Vec<f32>, CheckpointError> {
        let (shard, scale_name, info) = self.find(&format!("{name}{SCALE_SUFFIX}"))?;
        if info.dtype != Dtype::F32 {
            let (file, found) = (shard.file.clone(), format!("{:?}", info.dtype));
            return Err(CheckpointError::Type { file, tensor: scale_name, found, expected: "F32" });
        }
        self.tensor(&scale_name, &[rows])
    }
}

impl Shard {
    fn new(file: String, bytes: Bytes) -> Result<Self, CheckpointError> {
        match safetensors_header::read(bytes.as_slice()) {
            Ok((data_start, metadata)) => Ok(Self { file, bytes, data_start, metadata }),
            Err(cause) => Err(CheckpointError::Malformed { file, cause }),
        }
    }

    fn data(&self, info: &TensorInfo) -> &[u8] {
        let (begin, end) = info.data_offsets;
        &self.bytes.as_slice()[self.data_start + begin..self.data_start + end]
    }
}

/// The weight files at `path`: the file itself, or of a folder its `model.safetensors`, or else the shards that its
/// `model.safetensors.index.json` names. They may be absent.
pub(super) fn files_at(path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (single, index) = (path.join(SINGLE_FILE), path.join(INDEX_FILE));
    if single.is_file() || !index.is_file() { Ok(vec![single]) } else { shard_paths(path, &index) }
}

/// The distinct shards that the index of a folder names.
fn shard_paths(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let file = index.display().to_string();
    let text = std::fs::read_to_string(index)
        .map_err(|e| CheckpointError::Unreadable { file: file.clone(), cause: e.to_string() })?;
    let parsed: Index = serde_json::from_str(&text)
        .map_err(|e| CheckpointError::Malformed { file: file.clone(), cause: e.to_string() })?;
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if shards.is_empty() {
        let cause = "its weight_map names no tensor".to_owned();
        return Err(CheckpointError::Malformed { file, cause });
    }
    if let Some(outside) = shards.iter().find(|s| Path::new(s).components().count() != 1 || s.as_str() == "..") {
        let cause = format!("shard `{outside}` is not a file beside the index");
        return Err(CheckpointError::Malformed { file, cause });
    }
    Ok(shards.into_iter().map(|s| folder.join(s)).collect())
}

/// Little-endian values of `N` bytes each.
fn decode<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
}

/// Rows of equal length, one scale each.
fn dequantise(bytes: &[u8], scale: &[f32]) -> Vec<f32> {
    let columns = bytes.len().checked_div(scale.len()).unwrap_or(0).max(1);
    let mut values = Vec::with_capacity(bytes.len());
    for (row, s) in bytes.chunks_exact(columns).zip(scale) {
        values.extend(row.iter().map(|&q| f32::from(q as i8) * s));
    }
    values
}
