//! How operations are computed: the bridge from operations to the arithmetic of `nn`.

use super::LearningError;
use super::library::Backbone;
use super::operation::{Client, Combination};
use super::store::Store;
use super::task::Task;
use super::value::{Evaluation, State};
use crate::data::PackedBatch;
use crate::fomo::Architecture;
use crate::nn::{AdamW, Moments, ParameterLayout, StackItem, TensorSpec};
use crate::scenario::Checkpoint;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Computes local steps and evaluations; loads the backbone when first asked.
pub(super) struct Engine {
    store: Arc<Store>,
    checkpoint: Checkpoint,
    architecture: Architecture,
    optimizer: AdamW,
    backbone: OnceLock<Arc<Backbone>>,
}

/// One local step to be part of a stack.
pub(super) struct StepRequest {
    pub state: Arc<State>,
    pub client: Client,
    pub step: u64,
    pub fresh_optimizer: bool,
}

impl Engine {
    pub fn new(store: Arc<Store>, checkpoint: Checkpoint, architecture: Architecture, optimizer: AdamW) -> Self {
        Self { store, checkpoint, architecture, optimizer, backbone: OnceLock::new() }
    }

    fn backbone(&self) -> Result<&Backbone, LearningError> {
        if let Some(backbone) = self.backbone.get() {
            return Ok(backbone);
        }
        let loaded = self.store.library.backbone(&self.checkpoint, &self.architecture)?;
        Ok(self.backbone.get_or_init(|| loaded))
    }

    /// All `steps` as one stacked pass over the shared frozen weights; each outcome is that of the step alone.
    pub fn local_steps(&self, task: &Task, steps: &[StepRequest]) -> Result<Vec<State>, LearningError> {
        let batches: Vec<PackedBatch> = steps.iter().map(|s| task.batch(s.client, s.step)).collect();
        let stack: Vec<StackItem> =
            steps.iter().zip(&batches).map(|(s, batch)| StackItem { parameters: &s.state.parameters, batch }).collect();
        let backbone = self.backbone()?;
        for batch in &batches {
            backbone.check_batch(batch, task.layout().classes())?;
        }
        let outcomes = backbone.loss_and_gradients(task.layout(), &stack);
        let mut states = Vec::with_capacity(steps.len());
        for (s, outcome) in steps.iter().zip(outcomes) {
            if !outcome.loss.is_finite() {
                return Err(LearningError::Diverged { client: s.client.name(), step: s.step });
            }
            let mut parameters = s.state.parameters.clone();
            let mut moments = match &s.state.moments {
                Some(moments) if !s.fresh_optimizer => moments.clone(),
                _ => Moments::new(parameters.len()),
            };
            self.optimizer.update(task.layout(), &mut parameters, &outcome.gradient, &mut moments);
            states.push(State { parameters, moments: Some(moments), loss: Some(outcome.loss) });
        }
        Ok(states)
    }

    pub fn evaluate(&self, task: &Task, state: &State, samples: usize) -> Result<Evaluation, LearningError> {
        let test = task.test_set();
        let all = test.sequences();
        // Evenly spread: neighbours in a data set often come from one text.
        let chosen = (0..samples).map(|i| i * all / samples).map(|i| (test.sequence(i), test.labels[i]));
        let chosen = PackedBatch::pack(chosen);
        let backbone = self.backbone()?;
        backbone.check_batch(&chosen, task.layout().classes())?;
        let outcome = backbone.evaluate(task.layout(), &state.parameters, &chosen);
        let n = samples as f64;
        Ok(Evaluation { loss: outcome.loss_sum / n, accuracy: outcome.correct as f64 / n, samples })
    }
}

/// One state out of several, entry by entry, as [`Combination`] says.
pub(super) fn combine(
    layout: &ParameterLayout,
    reference: &State,
    updates: &[Arc<State>],
    parts: &[(Vec<Range<usize>>, Combination)],
) -> State {
    let mut parameters = reference.parameters.clone();
    for (ranges, combination) in parts {
        // Tensors never straddle the two sides, so a range is a run of whole tensors.
        let tensors = layout.tensors().iter().map(TensorSpec::range);
        for tensor in tensors.filter(|t| ranges.iter().any(|r| r.start <= t.start && t.end <= r.end)) {
            combine_tensor(&mut parameters, reference, updates, combination, tensor);
        }
    }
    State { parameters, moments: None, loss: None }
}

fn combine_tensor(
    out: &mut [f32],
    reference: &State,
    updates: &[Arc<State>],
    combination: &Combination,
    tensor: Range<usize>,
) {
    match combination {
        Combination::Mean { weights } => {
            for i in tensor {
                let sum: f64 = updates.iter().zip(weights).map(|(u, w)| w * f64::from(u.parameters[i])).sum();
                out[i] = sum as f32;
            }
        }
        Combination::OverTheAir { weights, noise_std, noise } => {
            let difference = |u: &State, i: usize| f64::from(u.parameters[i]) - f64::from(reference.parameters[i]);
            let rms = |u: &Arc<State>| {
                (tensor.clone().map(|i| difference(u, i).powi(2)).sum::<f64>() / tensor.len() as f64).sqrt()
            };
            let transmitting = || updates.iter().zip(weights).filter(|(_, w)| **w > 0.0);
            let sigma = transmitting().map(|(u, _)| rms(u)).fold(0.0, f64::max);
            for i in tensor.clone() {
                let sum: f64 = transmitting().map(|(u, w)| w * difference(u, i)).sum();
                out[i] = (f64::from(reference.parameters[i]) + sum + sigma * noise_std * noise.normal(i as u64)) as f32;
            }
        }
    }
}
