//! Prompts of several devices that answer together.

use serde::{Deserialize, Serialize};

/// `technique.ensemble` of `prompt_ensemble`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnsembleSpec {
    #[serde(flatten)]
    pub combine: EnsembleCombine,
    /// Queries that each device sends when training is over.
    pub queries: usize,
    pub query: QueryForm,
}

/// How prompts are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "combine")]
pub enum EnsembleCombine {
    /// All alike.
    Uniform,
    /// By accuracy on samples that the prompt's device has kept from training.
    ValidationWeighted {
        /// Prompts that answer: the most accurate.
        top: usize,
        /// Divisor of the accuracies before the softmax.
        temperature: f64,
        /// Samples that each device keeps from training; at most half of what it has.
        validation_samples: usize,
    },
    /// By how near the query is to what a prompt was tuned on.
    KeySimilarity {
        /// Prompts that answer: the nearest.
        top: usize,
        /// Divisor of the similarities before the softmax.
        temperature: f64,
        key: KeyLayer,
        /// Training samples behind a prompt's key.
        key_samples: usize,
    },
}

impl EnsembleCombine {
    /// Samples that each device keeps from training.
    pub fn validation_samples(&self) -> usize {
        match *self {
            Self::ValidationWeighted { validation_samples, .. } => validation_samples,
            Self::Uniform | Self::KeySimilarity { .. } => 0,
        }
    }

    /// Prompts that answer a query when `devices` have handed one in.
    pub fn members(&self, devices: usize) -> usize {
        match *self {
            Self::Uniform => devices,
            Self::ValidationWeighted { top, .. } | Self::KeySimilarity { top, .. } => top.min(devices),
        }
    }
}

/// Where in the frozen model a sample's key is read: the mean of its rows there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLayer {
    /// Before the first block: costs no pass.
    Embeddings,
    /// Behind the last block: costs a forward pass.
    Hidden,
}

/// What a device sends up to have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryForm {
    /// Two bytes a token.
    Text,
    /// The embedded rows, to which the edge puts its prompts.
    Embeddings,
}
