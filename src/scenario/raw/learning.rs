//! Keys of `model`, `workload` and `training`.

use super::PlainOrMap;
use crate::compute::Precision;
use crate::scenario::schema::{AttentionMemory, EmulatedOptimizer, LearningTask};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub architecture: Option<String>,
    pub checkpoint: Option<PlainOrMap<CheckpointWord, CheckpointPlace>>,
    pub precision: Option<Precision>,
    pub classes: Option<u64>,
    pub attention: Option<AttentionMemory>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckpointWord {
    Vendored,
    Random,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointPlace {
    pub file: Option<String>,
    pub folder: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub batch_size: Option<u64>,
    pub sequence_tokens: Option<u64>,
    pub optimizer: Option<EmulatedOptimizer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrainingWord {
    None,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Training {
    pub task: Option<LearningTask>,
    pub dataset: Option<PlainOrMap<String, Dataset>>,
    pub partition: Option<Partition>,
    pub samples_per_device: Option<u64>,
    pub optimizer: Option<Optimizer>,
    pub learning_rate: Option<f64>,
    pub head_learning_rate: Option<f64>,
    pub weight_decay: Option<f64>,
    pub evaluate_every_rounds: Option<u64>,
    pub evaluation_samples: Option<CountOrAll>,
    pub final_evaluation_samples: Option<CountOrAll>,
    pub stop_at_accuracy: Option<f64>,
    pub start_from: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dataset {
    pub domains: Option<Vec<String>>,
    pub file: Option<String>,
    pub image: Option<Image>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    pub side_px: Option<u64>,
    pub channels: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Optimizer {
    pub kind: Option<OptimizerKind>,
    pub momentum: Option<f64>,
    pub perturbation: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptimizerKind {
    #[serde(rename = "adamw")]
    AdamW,
    Sgd,
    ZerothOrder,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partition {
    pub kind: Option<PartitionKind>,
    pub alpha: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartitionKind {
    Iid,
    Dirichlet,
    Domain,
}

/// A whole number, or the word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountOrAll {
    Count(u64),
    All,
}

impl<'de> Deserialize<'de> for CountOrAll {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrAllVisitor;

        impl Visitor<'_> for CountOrAllVisitor {
            type Value = CountOrAll;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a whole number, or `all`")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<CountOrAll, E> {
                Ok(CountOrAll::Count(count))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<CountOrAll, E> {
                match word {
                    "all" => Ok(CountOrAll::All),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_any(CountOrAllVisitor)
    }
}
