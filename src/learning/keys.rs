//! Keys: what a client's task looks like to the frozen model, as one vector.
//!
//! The key of a sample is the mean of its rows, before the first block or behind the last one, without prompts; that of
//! a client is the mean over some of its training samples.

use super::LearningError;
use super::engine::Engine;
use super::operation::Client;
use super::similarity::mean;
use super::task::Task;
use crate::backend::cuda::Cuda;
use crate::data::{Objective, PackedBatch};
use crate::nn::ParameterLayout;
use crate::scenario::KeyLayer;
use std::sync::{Arc, Mutex, PoisonError};

/// How keys are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySource {
    pub layer: KeyLayer,
    /// Training samples of a client, evenly spread over what it has; all if it has fewer.
    pub samples: usize,
}

impl KeySource {
    pub(super) fn words(self) -> [u64; 2] {
        [u64::from(self.layer == KeyLayer::Hidden), self.samples as u64]
    }
}

/// Keys of clients, each computed once.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<Vec<Kept>>);

struct Kept {
    of: (Client, KeySource),
    key: Arc<Vec<f64>>,
}

impl Engine {
    /// The key of a client's task.
    pub fn client_key(&self, task: &Task, client: Client, source: KeySource) -> Result<Arc<Vec<f64>>, LearningError> {
        let mut kept = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|k| k.of == (client, source)) {
            return Ok(known.key.clone());
        }
        let all = task.training_samples(client);
        let n = source.samples.min(all.len());
        let chosen: Vec<usize> = (0..n).map(|i| all[i * all.len() / n]).collect();
        let key = Arc::new(mean(&self.sample_keys(task, &task.train_batch(&chosen), source.layer)?));
        kept.push(Kept { of: (client, source), key: key.clone() });
        Ok(key)
    }

    /// The key of each sequence of `batch`.
    pub fn sample_keys(
        &self,
        task: &Task,
        batch: &PackedBatch,
        layer: KeyLayer,
    ) -> Result<Vec<Vec<f64>>, LearningError> {
        let (backbone, architecture) = (self.ground(task.layout(), None)?.backbone, &self.backbone_key().architecture);
        backbone.check_batch(task.layout(), batch)?;
        // The bare model: nothing but a head, which is not asked.
        let bare = ParameterLayout::new(architecture, &[], Objective::Classification { classes: 2 })?;
        let blocks = if layer == KeyLayer::Hidden { architecture.blocks() } else { 0 };
        Ok(Cuda::catching(|| backbone.mean_rows(&bare, &vec![0.0; bare.len()], batch, blocks))?)
    }
}
