//! What is fine-tuned, for which task, on which data.

use crate::compute::Precision;
use crate::data::TaskKind;
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};

/// The foundation model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSpec {
    /// A name of `deft list models`, such as `minilm-l6` or `t5-11b`; `None` where the checkpoint's own configuration
    /// says what the model looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Where the weights come from; unused by a scenario without training.
    // A map, where serde_yaml would write the tag `!file`.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub checkpoint: Checkpoint,
    /// Number format of weights, activations and whatever crosses the network. Training needs `fp32` or `fp16`.
    pub precision: Precision,
    /// Classes of the task head; with training, the data set's. `None` where the task is no classification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    #[serde(skip_serializing_if = "AttentionMemory::is_standard")]
    pub attention: AttentionMemory,
}

/// What attention leaves in memory, as the time plane counts it. The learning plane computes the same either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionMemory {
    /// Probabilities are written and kept.
    #[default]
    Standard,
    /// One operation keeps none and computes them again on the way back (Dao et al. 2022).
    Fused,
}

impl AttentionMemory {
    fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

impl ModelSpec {
    /// Whether training emulates half precision.
    pub fn trains_in_half_precision(&self) -> bool {
        self.precision == Precision::Fp16
    }
}

/// Origin of a model's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// The copy inside the program (MiniLM only).
    Vendored,
    /// Random numbers, the same for the same seed: for tests of speed, and of what pre-training is worth.
    Random,
    /// A safetensors or GGUF file; a relative path starts at the scenario's folder.
    File(PathBuf),
    /// A folder as model hubs lay it out: `config.json`, weights, `tokenizer.json`.
    Folder(PathBuf),
}

impl Checkpoint {
    /// Where it lies, if outside the program.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Vendored | Self::Random => None,
            Self::File(path) | Self::Folder(path) => Some(path),
        }
    }
}

/// How much data one local step sees.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Sequences per local step.
    pub batch_size: usize,
    /// With training: longer sequences are cut to this many tokens. Without: every sequence has this many.
    pub sequence_tokens: usize,
    /// The optimizer whose steps are emulated where nothing trains; `None` for the technique's usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<EmulatedOptimizer>,
}

/// What a step costs that nobody computes: an [`Optimizer`] less the numbers that only move parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmulatedOptimizer {
    #[serde(rename = "adamw")]
    AdamW,
    Sgd,
    SgdMomentum,
    ZerothOrder,
}

impl EmulatedOptimizer {
    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdamW => "adamw",
            Self::Sgd => "sgd",
            Self::SgdMomentum => "sgd_momentum",
            Self::ZerothOrder => "zeroth_order",
        }
    }

    /// An optimizer that costs as much.
    pub fn optimizer(self) -> Optimizer {
        match self {
            Self::AdamW => Optimizer::AdamW,
            Self::Sgd => Optimizer::Sgd { momentum: 0.0 },
            Self::SgdMomentum => Optimizer::Sgd { momentum: USUAL_MOMENTUM },
            Self::ZerothOrder => Optimizer::ZerothOrder { perturbation: USUAL_PERTURBATION },
        }
    }
}

/// Any above 0: the cost is the same.
const USUAL_MOMENTUM: f64 = 0.9;
/// Distance of the two points of a zeroth-order step, if nothing is said (Malladi et al. 2023).
pub const USUAL_PERTURBATION: f64 = 1e-3;

/// Real fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingSpec {
    pub task: LearningTask,
    pub dataset: DatasetChoice,
    pub partition: Partition,
    /// Most samples that a device holds of what it was dealt: few-shot learning. `None` leaves it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_per_device: Option<usize>,
    pub optimizer: Optimizer,
    pub learning_rate: f64,
    /// The task head starts from random numbers and wants a rate of its own.
    pub head_learning_rate: f64,
    pub weight_decay: f64,
    /// Accuracy is measured after every so many rounds, and after the last.
    pub evaluate_every_rounds: usize,
    /// Test samples used while rounds go on, spread evenly over the test set.
    pub evaluation_samples: usize,
    /// Test samples used after the last round.
    pub final_evaluation_samples: usize,
    /// End the run at the first evaluation that reaches this accuracy.
    pub stop_at_accuracy: Option<f64>,
    /// An adapter of deft's own format whose parameters the run starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum DatasetChoice {
    /// A name of `deft list datasets`.
    Vendored(String),
    /// Several vendored sets, one a domain; tested on all.
    Domains { domains: Vec<String> },
    /// The user's own table with the columns that the task needs.
    File {
        file: PathBuf,
        /// Where samples are images: the size that all have.
        #[serde(skip_serializing_if = "Option::is_none")]
        image: Option<ImageSize>,
    },
}

/// Size of the images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImageSize {
    /// Width and height.
    pub side_px: usize,
    /// 1 for grey, 3 for colour.
    pub channels: usize,
}

/// What the model learns to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearningTask {
    /// One of several classes a sample.
    Classification,
    /// One number a sample.
    Regression,
    /// The next token of the text itself.
    LanguageModel,
    /// A target text for a source text.
    SequenceToSequence,
}

impl LearningTask {
    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
            Self::LanguageModel => "language_model",
            Self::SequenceToSequence => "sequence_to_sequence",
        }
    }

    /// How a data set is read for it; `images` says whether the model reads images.
    pub fn data_kind(self, images: bool) -> TaskKind {
        match self {
            Self::Classification if images => TaskKind::Images,
            Self::Classification => TaskKind::Classification,
            Self::Regression => TaskKind::Regression,
            Self::LanguageModel => TaskKind::LanguageModel,
            Self::SequenceToSequence => TaskKind::SequenceToSequence,
        }
    }

    /// Whether the model's own output matrix answers, token by token, and no task head is added.
    pub fn predicts_tokens(self) -> bool {
        matches!(self, Self::LanguageModel | Self::SequenceToSequence)
    }
}

/// How parameters follow from losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Optimizer {
    /// Loshchilov and Hutter 2019.
    #[serde(rename = "adamw")]
    AdamW,
    Sgd {
        /// 0 for none (Polyak 1964).
        momentum: f64,
    },
    /// Two losses and no backward pass: two-point SPSA with plain SGD steps (Spall 1992; MeZO, Malladi et al. 2023).
    ZerothOrder {
        /// Distance of the two points, in either direction, along a standard normal draw.
        perturbation: f64,
    },
}

/// How training samples are dealt to devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Partition {
    /// Shuffled and cut in proportion to the devices' data weights.
    Iid,
    /// Class shares drawn from Dirichlet(alpha p), p the classes' shares in the whole set (Hsu et al. 2019).
    Dirichlet { alpha: f64 },
    /// Device k of K holds samples of domain floor(k D / K) only; needs several data sets.
    Domain,
}

pub(super) fn none_as_word<S: Serializer>(training: &Option<TrainingSpec>, s: S) -> Result<S::Ok, S::Error> {
    match training {
        None => s.serialize_str("none"),
        Some(t) => t.serialize(s),
    }
}
