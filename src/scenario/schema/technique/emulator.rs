//! What devices tune against under `offsite_tuning`, and how the edge makes it.

use super::super::learning::DatasetChoice;
use crate::fomo::EmulatorSpec;
use serde::Serialize;

/// What is left of the model, and whether that is fitted to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmulatorPlan {
    #[serde(flatten)]
    pub spec: EmulatorSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<DistillationSpec>,
}

/// Fits what is left to the model's hidden states, on data that no device holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistillationSpec {
    /// Read for the task that is trained; only its training half is used, and no labels.
    pub dataset: DatasetChoice,
    pub steps: usize,
    pub learning_rate: f64,
    pub batch_size: usize,
}
