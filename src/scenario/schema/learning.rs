//! What is fine-tuned, with which parameters, on which data.

use crate::compute::Precision;
pub use crate::fomo::Projection;
use serde::{Deserialize, Serialize, Serializer};
use std::path::PathBuf;

/// The foundation model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSpec {
    /// A name of `deft list models`, such as `minilm-l6` or `t5-11b`.
    pub architecture: String,
    /// Where the weights come from; unused by a scenario without training.
    // A map, where serde_yaml would write the tag `!file`.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub checkpoint: Checkpoint,
    /// Number format of weights, activations and whatever crosses the network. Training needs `fp32`.
    pub precision: Precision,
    /// Classes of the task head; with training, the data set's.
    pub classes: usize,
}

/// Origin of a model's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// The copy inside the program (MiniLM only).
    Vendored,
    /// A safetensors file; a relative path starts at the scenario's folder.
    File(PathBuf),
}

/// Parameter-efficient fine-tuning: which parameters are added and trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeftSpec {
    pub method: PeftMethod,
    /// Rank of LoRA's factors, one for all blocks or one a block (0 leaves a block alone).
    pub rank: Rank,
    /// LoRA's numerator: updates are scaled by alpha / rank.
    pub alpha: f64,
    /// Products that get a LoRA pair.
    pub targets: Vec<Projection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeftMethod {
    /// Hu et al. 2021.
    Lora,
    /// Only the task head is trained.
    HeadOnly,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Rank {
    Uniform(usize),
    PerBlock { blocks: Vec<usize> },
}

impl Rank {
    /// The rank of each of `blocks` blocks.
    pub fn per_block(&self, blocks: usize) -> Vec<usize> {
        match self {
            Rank::Uniform(rank) => vec![*rank; blocks],
            Rank::PerBlock { blocks } => blocks.clone(),
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
}

/// Real fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingSpec {
    pub dataset: DatasetChoice,
    pub partition: Partition,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DatasetChoice {
    /// A name of `deft list datasets`.
    Vendored(String),
    /// Several vendored sets, one a domain; tested on all.
    Domains { domains: Vec<String> },
    /// The user's own table with the columns text, label and split.
    File { file: PathBuf },
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
