//! The files of one published model, as a user points at them.
//!
//! A folder as model hubs lay it out (weights in safetensors, `config.json`, `tokenizer.json`), one `.safetensors` file with
//! the other two beside it, or a `.gguf` file, which holds all three. Start with [`ModelFiles::open`].

use super::architecture::{Architecture, Family};
use super::checkpoint::{INDEX_FILE, SafetensorsCheckpoint, files_at};
use super::config::{ConfigError, architecture_from_config, check_preprocessor};
use super::gguf::GgufCheckpoint;
use super::names::words;
use super::tensor_source::{CheckpointError, TensorSource};
use super::tokenizer::{Tokenizer, TokenizerError};
use crate::backend::QuantisedMatrix;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const CONFIG_FILE: &str = "config.json";
/// What is done to the pixels of images, where the folder says so.
const PREPROCESSOR_FILE: &str = "preprocessor_config.json";
const TOKENIZER_FILE: &str = "tokenizer.json";

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileStamp {
    /// Without the folder: a model that was moved is the same model.
    pub name: String,
    pub bytes: u64,
    /// Time of the last change in nanoseconds since 1970; 0 where the file system does not tell.
    pub modified_ns: u64,
}

/// The weights of one model, in either format.
#[derive(Debug)]
pub enum Weights {
    Safetensors(SafetensorsCheckpoint),
    Gguf(GgufCheckpoint),
}

impl TensorSource for Weights {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        match self {
            Self::Safetensors(checkpoint) => checkpoint.tensor(name, shape),
            Self::Gguf(checkpoint) => checkpoint.tensor(name, shape),
        }
    }

    fn few_bits(&self, name: &str, shape: [usize; 2]) -> Option<(u32, usize)> {
        match self {
            Self::Safetensors(_) => None,
            Self::Gguf(checkpoint) => checkpoint.few_bits(name, shape),
        }
    }

    fn quantised(&self, name: &str, shape: [usize; 2]) -> Option<QuantisedMatrix> {
        match self {
            Self::Safetensors(_) => None,
            Self::Gguf(checkpoint) => checkpoint.quantised(name, shape),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Safetensors(checkpoint) => checkpoint.has(name),
            Self::Gguf(checkpoint) => checkpoint.has(name),
        }
    }

    fn own_output(&self, words: &str) -> Option<String> {
        match self {
            Self::Safetensors(checkpoint) => checkpoint.own_output(words),
            Self::Gguf(checkpoint) => checkpoint.own_output(words),
        }
    }
}

/// Weights, and what lies beside them.
///
/// The weights are mapped into memory and must not be shortened while they are open: the operating system would end the
/// process.
#[derive(Debug)]
pub struct ModelFiles {
    /// Of the folder or of the file, without an ending.
    name: String,
    folder: PathBuf,
    weights: Weights,
    stamps: Vec<FileStamp>,
}

impl ModelFiles {
    /// Opens the model at `path`: a folder with `model.safetensors`, with the shards of `model.safetensors.index.json`, or
    /// with one `.safetensors` or `.gguf` file; or one such file.
    ///
    /// # Errors
    /// If there are no weights, or they are not what their format asks for. Configuration and tokenizer are read when they
    /// are asked for.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let files = weight_files(path)?;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }.to_path_buf();
        let weights = match files.as_slice() {
            [file] if has_ending(file, "gguf") => Weights::Gguf(GgufCheckpoint::open(file)?),
            files => Weights::Safetensors(SafetensorsCheckpoint::open_shards(files)?),
        };
        let mut stamps = files.iter().map(|file| stamp(file)).collect::<Result<Vec<_>, _>>()?;
        let beside = [INDEX_FILE, CONFIG_FILE, TOKENIZER_FILE].map(|name| folder.join(name));
        for file in beside.iter().filter(|file| file.is_file()) {
            stamps.push(stamp(file)?);
        }
        Ok(Self { name: model_name(path), folder, weights, stamps })
    }

    /// The values, under Hugging Face's names.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The model's shape, from `config.json` or from within a GGUF file; `None` if there is no `config.json`. It is named
    /// after the folder or file.
    ///
    /// # Errors
    /// If the configuration is none, or describes something that `deft` does not compute; names the file and the field.
    pub fn architecture(&self) -> Result<Option<Architecture>, ConfigError> {
        if let Weights::Gguf(checkpoint) = &self.weights {
            return checkpoint.architecture(&self.name).map(Some);
        }
        let path = self.folder.join(CONFIG_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let file = path.display().to_string();
        let json = std::fs::read(&path).map_err(|e| unreadable(&file, &e))?;
        let mut architecture = architecture_from_config(&self.name, &file, &json)?;
        // As transformers 5 reads them. A T5 also scales what it shares, which an architecture cannot say of two matrices.
        if matches!(architecture.family, Family::Gpt2 | Family::Llama) && architecture.tied_output {
            architecture.tied_output = self.weights.own_output(words(architecture.family)).is_none();
        }
        let path = self.folder.join(PREPROCESSOR_FILE);
        if architecture.image.is_some() && path.is_file() {
            let file = path.display().to_string();
            let json = std::fs::read(&path).map_err(|e| unreadable(&file, &e))?;
            check_preprocessor(&file, &json)?;
        }
        Ok(Some(architecture))
    }

    /// The tokenizer in `tokenizer.json` beside the weights, or else the one within a GGUF file.
    ///
    /// # Errors
    /// If there is neither, or it cannot be used; names the file.
    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        let path = self.folder.join(TOKENIZER_FILE);
        match &self.weights {
            Weights::Gguf(checkpoint) if !path.is_file() => checkpoint.tokenizer(),
            _ => Tokenizer::from_path(&path),
        }
    }

    /// Names, sizes and times of all files that a model loaded from here depends on, for the identity of what is cached.
    /// They are those of the moment of opening.
    pub fn stamp(&self) -> &[FileStamp] {
        &self.stamps
    }
}

fn unreadable(file: &str, error: &std::io::Error) -> ConfigError {
    ConfigError::Unreadable { file: file.to_owned(), cause: error.to_string() }
}

/// The files with the weights at `path`.
fn weight_files(path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let file = path.display().to_string();
    let no_weights = |cause: String| CheckpointError::NoWeights { file: file.clone(), cause };
    if !path.is_dir() {
        return match has_ending(path, "safetensors") || has_ending(path, "gguf") {
            true => Ok(vec![path.to_path_buf()]),
            false => Err(no_weights("neither a folder nor a .safetensors or .gguf file".into())),
        };
    }
    let usual = files_at(path)?;
    if usual.iter().all(|f| f.is_file()) {
        return Ok(usual);
    }
    if let [_, _, ..] = usual.as_slice() {
        let absent = usual.iter().find(|f| !f.is_file()).map(|f| f.display().to_string()).unwrap_or_default();
        let cause = format!("named by {INDEX_FILE}, but absent");
        return Err(CheckpointError::Unreadable { file: absent, cause });
    }
    let unreadable = |e: std::io::Error| CheckpointError::Unreadable { file: file.clone(), cause: e.to_string() };
    let entries = std::fs::read_dir(path).map_err(unreadable)?;
    let mut entries = entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    entries.sort();
    for ending in ["safetensors", "gguf"] {
        let found: Vec<&PathBuf> = entries.iter().filter(|f| has_ending(f, ending) && f.is_file()).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(vec![one.to_path_buf()]),
            several => {
                return Err(no_weights(format!("there are {} .{ending} files and no {INDEX_FILE}", several.len())));
            }
        }
    }
    Err(no_weights("there is no .safetensors or .gguf file in this folder".into()))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// Of the folder, or of the file unless it is called `model`, as in every folder of a hub.
fn model_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    let of_folder = path.parent().and_then(Path::file_name).filter(|_| stem == "model");
    let own = if path.is_dir() { path.file_name() } else { of_folder.or(Some(stem)) };
    own.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn stamp(path: &Path) -> Result<FileStamp, CheckpointError> {
    let unreadable =
        |e: std::io::Error| CheckpointError::Unreadable { file: path.display().to_string(), cause: e.to_string() };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(FileStamp {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: metadata.len(),
        modified_ns: modified.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0),
    })
}
