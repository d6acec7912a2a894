//! What is loaded once per process and shared by all trials: backbones and tokenised data sets.

use super::LearningError;
use crate::backend::Cpu;
use crate::data::{Dataset, TableOptions, TokenizedDataset};
use crate::fomo::tokenizer::Tokenizer;
use crate::fomo::{Architecture, checkpoint::SafetensorsCheckpoint, vendored};
use crate::nn::Model;
use crate::scenario::{Checkpoint, DatasetChoice};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The backbone on the backend that computes. The CPU in single precision is the reference.
pub(super) type Backbone = Model<Cpu<f32>>;

#[derive(Default)]
pub(super) struct Library {
    backbones: Shelf<(Checkpoint, String), Backbone>,
    datasets: Shelf<(DatasetChoice, Checkpoint, usize), LoadedDataset>,
}

/// A data set as models read it, and how large it is as people wrote it.
pub(super) struct LoadedDataset {
    pub tokens: TokenizedDataset,
    /// Bytes of each training example: its text in UTF-8 and one for the label.
    pub train_bytes: Vec<u64>,
}

/// Few entries, looked up rarely: a list keeps the order of loading and needs no hash.
struct Shelf<K, V>(Mutex<Vec<(K, Arc<V>)>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V> Shelf<K, V> {
    /// The entry of `key`, loaded by the first who asks while the others wait.
    fn get(&self, key: K, load: impl FnOnce() -> Result<V, LearningError>) -> Result<Arc<V>, LearningError> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = shelf.iter().find(|(k, _)| *k == key) {
            return Ok(value.clone());
        }
        let value = Arc::new(load()?);
        shelf.push((key, value.clone()));
        Ok(value)
    }
}

impl Library {
    pub fn backbone(
        &self,
        checkpoint: &Checkpoint,
        architecture: &Architecture,
    ) -> Result<Arc<Backbone>, LearningError> {
        self.backbones.get((checkpoint.clone(), architecture.name.clone()), || {
            let tensors = match checkpoint {
                Checkpoint::Vendored => vendored::minilm().checkpoint()?,
                Checkpoint::File(path) => SafetensorsCheckpoint::open(path)?,
            };
            Ok(Model::load(Cpu::default(), architecture, &tensors)?)
        })
    }

    pub fn dataset(
        &self,
        choice: &DatasetChoice,
        checkpoint: &Checkpoint,
        architecture: &Architecture,
        max_tokens: usize,
    ) -> Result<Arc<LoadedDataset>, LearningError> {
        self.datasets.get((choice.clone(), checkpoint.clone(), max_tokens), || {
            let dataset = match choice {
                DatasetChoice::Vendored(name) => Dataset::vendored(name)?,
                DatasetChoice::Domains { domains } => {
                    let parts = domains.iter().map(|d| Dataset::vendored(d)).collect::<Result<_, _>>()?;
                    Dataset::join(&domains.join("+"), parts)?
                }
                DatasetChoice::File { file } => Dataset::from_file(file, &TableOptions::default())?,
            };
            let tokenizer = tokenizer(checkpoint)?;
            tokenizer.check_vocabulary(architecture)?;
            let train_bytes = dataset.train.iter().map(|e| e.text.len() as u64 + 1).collect();
            Ok(LoadedDataset { tokens: TokenizedDataset::new(&dataset, &tokenizer, max_tokens)?, train_bytes })
        })
    }
}

/// The tokenizer that belongs to a checkpoint: `tokenizer.json` beside its file.
fn tokenizer(checkpoint: &Checkpoint) -> Result<Tokenizer, LearningError> {
    Ok(match checkpoint {
        Checkpoint::Vendored => vendored::minilm().tokenizer()?,
        Checkpoint::File(path) => {
            Tokenizer::from_path(&path.parent().unwrap_or(Path::new(".")).join("tokenizer.json"))?
        }
    })
}
