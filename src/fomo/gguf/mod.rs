//! Checkpoints in the GGUF format, versions 2 and 3: quantised weights, configuration and tokenizer in one file.
//!
//! The format: `docs/gguf.md` of ggml. A file is mapped, not read, and only the tensors asked for become `f32`. Nothing in
//! it is trusted: what does not fit the file's size is an error, and the largest allocation is a tensor's values, at most
//! eight times the bytes that it has in the file. Start with [`GgufCheckpoint`].

mod architecture;
mod block_format;
mod metadata;
mod names;
mod reader;
mod tensors;
mod tokenizer;

use super::architecture::{Architecture, Family};
use super::bytes::Bytes;
use super::config::ConfigError;
use super::names::OUTPUT;
use super::tensor_source::{CheckpointError, TensorSource, values_agree};
use super::tokenizer::{Tokenizer, TokenizerError};
use crate::backend::QuantisedMatrix;
use metadata::Metadata;
use names::{Names, Stored};
use rayon::prelude::*;
use reader::Reader;
use std::path::Path;
use tensors::{TensorInfo, TensorTable};

const MAGIC: [u8; 4] = *b"GGUF";
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;

/// The tensors, the configuration and the tokenizer of one GGUF file.
///
/// Tensors go by the names of Hugging Face's models, and have the order of rows that those have. A mapped file must not
/// be shortened while it is open: the operating system would end the process.
#[derive(Debug)]
pub struct GgufCheckpoint {
    file: String,
    bytes: Bytes,
    metadata: Metadata,
    tensors: TensorTable,
}

impl GgufCheckpoint {
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let (file, bytes) = (path.display().to_string(), Bytes::map(path)?);
        match read(&file, bytes.as_slice()) {
            Ok((metadata, tensors)) => Ok(Self { file, bytes, metadata, tensors }),
            Err(cause) => Err(CheckpointError::Malformed { file, cause }),
        }
    }

    /// Names of all tensors as the file spells them, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names()
    }

    /// What the metadata says of the model's shape; `name` becomes the architecture's name.
    ///
    /// # Errors
    /// Names the key that is missing, absurd, or would compute something else than `deft` does, or the tensor that
    /// would go unused.
    pub fn architecture(&self, name: &str) -> Result<Architecture, ConfigError> {
        architecture::architecture(self, name)
    }

    /// The tokenizer that the metadata describes.
    ///
    /// # Errors
    /// If it is none that `deft` can rebuild: byte-level BPE with a known rule for cutting text into words.
    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        tokenizer::tokenizer(&self.file, self.bytes.as_slice(), &self.metadata)
    }

    /// The family that the file says it is of.
    fn family(&self) -> Option<Family> {
        match self.metadata.text("general.architecture")? {
            "llama" => Some(Family::Llama),
            "gpt2" => Some(Family::Gpt2),
            _ => None,
        }
    }

    /// The tensor that the model calls `name`: the file's name, what its entry says, how it is stored.
    fn find(&self, name: &str) -> Result<(String, &TensorInfo, Stored), CheckpointError> {
        let missing = || CheckpointError::Missing { file: self.file.clone(), tensor: name.to_owned() };
        let names = self.family().and_then(Names::of).ok_or_else(missing)?;
        let (file_name, stored) = names.in_file(name).ok_or_else(missing)?;
        let info = self.tensors.get(&file_name).ok_or_else(missing)?;
        Ok((file_name, info, stored))
    }

    /// Number of heads that share the rows of `tensor`, each an even number of them.
    fn interleaved_heads(&self, tensor: &str, info: &TensorInfo, stored: Stored) -> Result<usize, CheckpointError> {
        let malformed = |cause: &str| {
            let cause = format!("tensor `{tensor}` has {} rows, but {cause}", info.rows());
            CheckpointError::Malformed { file: self.file.clone(), cause }
        };
        let heads = architecture::heads(&self.metadata, "llama")
            .map_err(|_| malformed("no valid `llama.attention.head_count` and `head_count_kv` share them out"))?;
        let heads = if stored == Stored::InterleavedQuery { heads.0 } else { heads.1 };
        match info.rows().is_multiple_of(2 * heads) {
            true => Ok(heads),
            false => Err(malformed(&format!("{heads} heads need an even number each"))),
        }
    }

    /// The values of a tensor. With `interleaved_heads`, rows come back in the model's order.
    fn decode(
        &self,
        tensor: &str,
        info: &TensorInfo,
        interleaved_heads: Option<usize>,
    ) -> Result<Vec<f32>, CheckpointError> {
        let file = || self.file.clone();
        let Some(format) = info.format else {
            let (tensor, found) = (tensor.to_owned(), format!("number {}", info.format_id));
            return Err(CheckpointError::Type { file: file(), tensor, found, expected: block_format::KNOWN });
        };
        let (rows, columns) = (info.rows(), info.columns());
        let bytes = &self.bytes.as_slice()[info.bytes.clone()];
        let row_bytes = bytes.len() / rows;
        let mut values = vec![0.0; rows * columns];
        values.par_chunks_mut(columns).enumerate().for_each(|(row, values)| {
            let stored_row = interleaved_heads.map_or(row, |heads| interleaved_row(row, rows / heads));
            (format.decode)(&bytes[stored_row * row_bytes..][..row_bytes], values);
        });
        if values.iter().any(|v| !v.is_finite()) {
            let cause = format!("tensor `{tensor}` holds a value that is not a finite number");
            return Err(CheckpointError::Malformed { file: file(), cause });
        }
        Ok(values)
    }
}

/// Header, metadata and tensor entries.
fn read(file: &str, bytes: &[u8]) -> Result<(Metadata, TensorTable), String> {
    let mut reader = Reader::new(bytes, 0);
    if reader.array()? != MAGIC {
        return Err("it does not start with `GGUF`".into());
    }
    let version = reader.u32()?;
    if VERSIONS.contains(&version.swap_bytes()) {
        return Err("it is for big-endian machines".into());
    }
    if !VERSIONS.contains(&version) {
        return Err(format!("it has version {version} of the format, expected 2 or 3"));
    }
    let tensors = reader.count("tensors", tensors::LEAST_ENTRY_BYTES)?;
    let pairs = reader.count("pairs of metadata", metadata::LEAST_PAIR_BYTES)?;
    let metadata = Metadata::read(file, &mut reader, pairs)?;
    if metadata.whole("split.count").is_some_and(|parts| parts > 1) {
        return Err("it is one of several parts; join them with `llama-gguf-split --merge`".into());
    }
    let table = TensorTable::read(&mut reader, tensors, &metadata)?;
    Ok((metadata, table))
}

impl TensorSource for GgufCheckpoint {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (tensor, info, stored) = self.find(name)?;
        let file = self.file.clone();
        let mut found = info.shape.clone();
        if stored == Stored::Transposed {
            found.reverse();
        }
        if found != shape {
            return Err(CheckpointError::Shape { file, tensor, found, expected: shape.to_vec() });
        }
        let heads = match stored {
            Stored::InterleavedQuery | Stored::InterleavedKey => Some(self.interleaved_heads(&tensor, info, stored)?),
            Stored::AsIs | Stored::Transposed => None,
        };
        let values = self.decode(&tensor, info, heads)?;
        Ok(if stored == Stored::Transposed { transpose(&values, info.columns()) } else { values })
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    fn own_output(&self, words: &str) -> Option<String> {
        let (_, output, _) = self.find(OUTPUT).ok()?;
        let (_, info, _) = self.find(words).ok()?;
        let same = output.shape == info.shape && values_agree(self, OUTPUT, words, &output.shape);
        (!same).then(|| self.file.clone())
    }

    fn few_bits(&self, name: &str, shape: [usize; 2]) -> Option<(u32, usize)> {
        let (_, info, stored) = self.find(name).ok()?;
        let repack = info.format?.repack.filter(|_| info.shape == shape && stored != Stored::Transposed)?;
        Some((repack.bits, repack.group))
    }

    fn quantised(&self, name: &str, shape: [usize; 2]) -> Option<QuantisedMatrix> {
        self.few_bits(name, shape)?;
        let (tensor, info, stored) = self.find(name).ok()?;
        let repack = info.format?.repack?;
        let heads = match stored {
            Stored::AsIs => None,
            _ => Some(self.interleaved_heads(&tensor, info, stored).ok()?),
        };
        let ([rows, columns], bytes) = (shape, &self.bytes.as_slice()[info.bytes.clone()]);
        let row_bytes = bytes.len() / rows;
        let (mut scales, mut weights) = (Vec::with_capacity(rows * columns / 32), Vec::with_capacity(bytes.len()));
        for row in 0..rows {
            let stored_row = heads.map_or(row, |heads| interleaved_row(row, rows / heads));
            (repack.rows)(&bytes[stored_row * row_bytes..][..row_bytes], &mut scales, &mut weights);
        }
        let whole = scales.iter().all(|s| s.is_finite());
        whole.then_some(QuantisedMatrix { bits: repack.bits, columns, group: repack.group, scales, weights })
    }
}

/// Where the file has row `row` of the model, for heads of `head_rows` rows.
fn interleaved_row(row: usize, head_rows: usize) -> usize {
    let (head, within) = (row / head_rows, row % head_rows);
    let (half, pair) = (within / (head_rows / 2), within % (head_rows / 2));
    head * head_rows + 2 * pair + half
}

/// Rows of `columns` values to columns.
fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| values[c..].iter().step_by(columns).copied()).collect()
}
