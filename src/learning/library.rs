//! What is loaded once per process and shared by all trials: backbones, tokenised data sets, frozen hidden states.

use super::LearningError;
use super::backbone::Backbone;
use super::distillation::Distilled;
use super::emulated::Emulated;
use super::processor::Processor;
use crate::backend::QuantisedMatrix;
use crate::backend::cuda::LargeProducts;
use crate::data::{Dataset, TableOptions, TokenizedDataset};
use crate::fomo::{Architecture, CheckpointError, ModelFiles, RandomWeights, SafetensorsCheckpoint, TensorSource};
use crate::fomo::{Tokenizer, vendored};
use crate::nn::{FrozenPrefix, Overlaid, ParameterLayout, PrefixBudget, PrefixDepth};
use crate::random::Streams;
use crate::scenario::{Checkpoint, DatasetChoice, LearningTask};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory for what is kept below the lowest trainable tensor, all data sets and models of the process together.
const PREFIX_BYTES: usize = 1 << 30;

pub(super) struct Library {
    processor: Processor,
    backbones: Shelf<BackboneKey, Backbone>,
    emulators: Shelf<(BackboneKey, Emulated), Backbone>,
    datasets: Shelf<DatasetKey, LoadedDataset>,
    prefixes: Shelf<PrefixKey, Option<Prefixes>>,
    prefix_budget: Arc<PrefixBudget>,
}

impl Library {
    pub fn new(processor: Processor) -> Self {
        let prefix_budget = Arc::new(PrefixBudget::new(PREFIX_BYTES));
        Self {
            processor,
            backbones: Shelf::default(),
            emulators: Shelf::default(),
            datasets: Shelf::default(),
            prefixes: Shelf::default(),
            prefix_budget,
        }
    }
}

/// What decides the frozen weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BackboneKey {
    pub checkpoint: Checkpoint,
    /// Of random weights: the run that draws them.
    pub streams: Option<Streams>,
    pub architecture: Architecture,
    pub predicts_tokens: bool,
    pub half_precision: bool,
}

/// What decides the samples and their tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DatasetKey {
    pub choice: DatasetChoice,
    pub task: LearningTask,
    pub checkpoint: Checkpoint,
    pub architecture: Architecture,
    pub max_tokens: usize,
}

type PrefixKey = (BackboneKey, Option<Emulated>, DatasetKey, PrefixDepth);

/// Frozen hidden states of both halves of a data set.
pub(super) struct Prefixes {
    pub train: FrozenPrefix,
    pub test: FrozenPrefix,
}

/// A data set as models read it, and how large it is as people wrote it.
pub(super) struct LoadedDataset {
    pub tokens: TokenizedDataset,
    /// Bytes of each training example as raw data, its answer included.
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
    /// What computes models in that precision, if not the CPU, as far as its sums may differ.
    pub fn order_of_sums(&self, half_precision: bool) -> Option<&'static str> {
        let gpu = self.processor.for_precision(half_precision)?;
        // Tensor copies bring what `cp.async` copies, in the same order.
        Some(match gpu.cuda.large_products() {
            LargeProducts { warpgroups: true, .. } => "on a gpu, wgmma",
            LargeProducts { tensor_copies: true, .. } => "on a gpu, wgmma where there are tensor maps",
            LargeProducts { .. } => "on a gpu",
        })
    }

    pub fn backbone(&self, key: &BackboneKey) -> Result<Arc<Backbone>, LearningError> {
        self.backbones.get(key.clone(), || Backbone::load(&self.processor, key, &key.architecture, &key.source()?))
    }

    /// What stands in for the model of `key`.
    pub fn emulator(&self, key: &BackboneKey, emulated: &Emulated) -> Result<Arc<Backbone>, LearningError> {
        self.emulators.get((key.clone(), emulated.clone()), || {
            let (emulator, full) = (emulated.emulator(), key.source()?);
            let architecture = emulator.architecture();
            let Some(distillation) = &emulated.distillation else {
                return Backbone::load(&self.processor, key, architecture, &emulator.source(&full)?);
            };
            let Distilled { layout, parameters } = distillation.run(self, key, emulator)?;
            let without_factors = emulator.without_factors();
            let checkpoint = &without_factors.source(&full)?;
            let source = Overlaid { checkpoint, layout: &layout, parameters: &parameters };
            Backbone::load(&self.processor, key, architecture, &source)
        })
    }

    /// The model of `key`, or its emulator.
    pub fn model(&self, key: &BackboneKey, emulated: Option<&Emulated>) -> Result<Arc<Backbone>, LearningError> {
        match emulated {
            Some(emulated) => self.emulator(key, emulated),
            None => self.backbone(key),
        }
    }

    pub fn dataset(&self, key: &DatasetKey) -> Result<Arc<LoadedDataset>, LearningError> {
        self.datasets.get(key.clone(), || {
            let kind = key.task.data_kind(key.architecture.image.is_some());
            let dataset = match &key.choice {
                DatasetChoice::Vendored(name) => Dataset::vendored_for(name, kind)?,
                DatasetChoice::Domains { domains } => {
                    let parts = domains.iter().map(|d| Dataset::vendored_for(d, kind)).collect::<Result<_, _>>()?;
                    Dataset::join(&domains.join("+"), parts)?
                }
                DatasetChoice::File { file, image } => {
                    let size = |i: crate::scenario::ImageSize| crate::data::ImageSize {
                        side_px: i.side_px,
                        channels: i.channels,
                    };
                    Dataset::from_file(file, &TableOptions { image: image.map(size), ..TableOptions::for_task(kind) })?
                }
            };
            let train_bytes = dataset.train.iter().map(crate::data::Example::bytes).collect();
            let tokens = match key.architecture.image {
                Some(image) => {
                    let expected = crate::data::ImageSize { side_px: image.side_px, channels: image.channels };
                    TokenizedDataset::from_images(&dataset, expected, image.patch_px)?
                }
                None => {
                    let tokenizer = tokenizer(&key.checkpoint, &key.architecture)?;
                    TokenizedDataset::new(&dataset, &tokenizer, key.max_tokens)?
                }
            };
            Ok(LoadedDataset { tokens, train_bytes })
        })
    }

    /// Room for the hidden states below `layout`'s lowest trainable tensor, shared by all trials that agree on these;
    /// `None` where no block is frozen below.
    pub fn prefixes(
        &self,
        key: &BackboneKey,
        emulated: Option<&Emulated>,
        dataset_key: &DatasetKey,
        layout: &ParameterLayout,
    ) -> Result<Arc<Option<Prefixes>>, LearningError> {
        let backbone = self.model(key, emulated)?;
        let prefix_key = (key.clone(), emulated.cloned(), dataset_key.clone(), backbone.prefix_depth(layout));
        self.prefixes.get(prefix_key, || {
            let dataset = self.dataset(dataset_key)?;
            let new = |samples| backbone.frozen_prefix(layout, samples, self.prefix_budget.clone());
            let (train, test) = (new(dataset.tokens.train.sequences()), new(dataset.tokens.test.sequences()));
            Ok(train.zip(test).map(|(train, test)| Prefixes { train, test }))
        })
    }
}

/// Where a model's values come from.
pub(super) enum Source {
    Safetensors(SafetensorsCheckpoint),
    Files(ModelFiles),
    Random(RandomWeights),
}

impl BackboneKey {
    pub fn source(&self) -> Result<Source, LearningError> {
        Ok(match (&self.checkpoint, self.streams) {
            (Checkpoint::Vendored, _) => Source::Safetensors(vendored::minilm().checkpoint()?),
            (Checkpoint::File(path) | Checkpoint::Folder(path), _) => Source::Files(ModelFiles::open(path)?),
            (Checkpoint::Random, streams) => {
                Source::Random(RandomWeights::new(streams.expect("random weights belong to a run")))
            }
        })
    }
}

impl TensorSource for Source {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        match self {
            Self::Safetensors(source) => source.tensor(name, shape),
            Self::Files(files) => files.weights().tensor(name, shape),
            Self::Random(source) => source.tensor(name, shape),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Safetensors(source) => source.has(name),
            Self::Files(files) => files.weights().has(name),
            Self::Random(source) => source.has(name),
        }
    }

    fn few_bits(&self, name: &str, shape: [usize; 2]) -> Option<(u32, usize)> {
        match self {
            Self::Files(files) => files.weights().few_bits(name, shape),
            Self::Safetensors(_) | Self::Random(_) => None,
        }
    }

    fn quantised(&self, name: &str, shape: [usize; 2]) -> Option<QuantisedMatrix> {
        match self {
            Self::Files(files) => files.weights().quantised(name, shape),
            Self::Safetensors(_) | Self::Random(_) => None,
        }
    }
}

/// The tokenizer that belongs to a checkpoint, whose tokens the model knows. Untrained models read through the vendored one.
pub fn tokenizer(checkpoint: &Checkpoint, architecture: &Architecture) -> Result<Tokenizer, LearningError> {
    let tokenizer = match checkpoint {
        Checkpoint::Vendored | Checkpoint::Random => vendored::minilm().tokenizer()?,
        Checkpoint::File(path) | Checkpoint::Folder(path) => ModelFiles::open(path)?.tokenizer()?,
    };
    tokenizer.check_vocabulary(architecture)?;
    Ok(tokenizer)
}
