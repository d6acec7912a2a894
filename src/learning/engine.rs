//! How operations are computed: the bridge from operations to the arithmetic of `nn`.

use super::LearningError;
use super::backbone::Backbone;
use super::evaluation_options::EvaluationOptions;
use super::federated::LearningRates;
use super::library::{BackboneKey, DatasetKey, Prefixes};
use super::low_rank;
use super::operation::{Client, Combination};
use super::step_options::StepOptions;
use super::store::Store;
use super::task::Task;
use super::value::{Evaluation, State};
use crate::data::{Objective, PackedBatch};
use crate::nn::{Cached, Moments, Optimizer, ParameterLayout, StackItem, TensorSpec, ZerothOrder};
use crate::random::Streams;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// How a step follows from a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// Along the gradient of a backward pass.
    Gradient(Optimizer),
    /// Along a random direction, as far as two forward passes say.
    ZerothOrder(ZerothOrder),
}

/// Computes local steps and evaluations; loads the backbone when first asked.
pub(super) struct Engine {
    store: Arc<Store>,
    backbone_key: BackboneKey,
    dataset_key: DatasetKey,
    rule: Rule,
    streams: Streams,
    backbone: OnceLock<Arc<Backbone>>,
    prefixes: OnceLock<Arc<Option<Prefixes>>>,
}

/// One local step to be part of a stack.
pub(super) struct StepRequest {
    pub state: Arc<State>,
    /// Other states that the options speak of.
    pub companions: Vec<Arc<State>>,
    pub client: Client,
    pub step: u64,
    pub fresh_optimizer: bool,
    pub options: StepOptions,
}

/// A step's samples.
struct Batch {
    samples: Vec<usize>,
    packed: PackedBatch,
}

impl Engine {
    pub fn new(
        store: Arc<Store>,
        backbone_key: BackboneKey,
        dataset_key: DatasetKey,
        rule: Rule,
        streams: Streams,
    ) -> Self {
        let (backbone, prefixes) = (OnceLock::new(), OnceLock::new());
        Self { store, backbone_key, dataset_key, rule, streams, backbone, prefixes }
    }

    pub fn backbone_key(&self) -> &BackboneKey {
        &self.backbone_key
    }

    /// Learning rates of local steps.
    pub fn learning_rates(&self) -> LearningRates {
        let (peft, head) = match self.rule {
            Rule::Gradient(Optimizer::AdamW(rule)) => (rule.learning_rate, rule.head_learning_rate),
            Rule::Gradient(Optimizer::Sgd(rule)) => (rule.learning_rate, rule.head_learning_rate),
            Rule::ZerothOrder(rule) => (rule.learning_rate, rule.head_learning_rate),
        };
        LearningRates { peft, head }
    }

    fn backbone(&self) -> Result<&Backbone, LearningError> {
        if let Some(backbone) = self.backbone.get() {
            return Ok(backbone);
        }
        let loaded = self.store.library.backbone(&self.backbone_key)?;
        Ok(self.backbone.get_or_init(|| loaded))
    }

    fn prefixes(&self, layout: &ParameterLayout) -> Result<Option<&Prefixes>, LearningError> {
        if let Some(prefixes) = self.prefixes.get() {
            return Ok(prefixes.as_ref().as_ref());
        }
        let shared = self.store.library.prefixes(&self.backbone_key, &self.dataset_key, layout)?;
        Ok(self.prefixes.get_or_init(|| shared).as_ref().as_ref())
    }

    /// All `steps` as one stacked pass over the shared frozen weights; each outcome is that of the step alone.
    pub fn local_steps(&self, task: &Task, steps: &[StepRequest]) -> Result<Vec<State>, LearningError> {
        let batches: Vec<Batch> = steps
            .iter()
            .map(|s| {
                let samples = task.samples_of(s.client, s.step);
                Batch { packed: task.train_batch(&samples), samples }
            })
            .collect();
        let backbone = self.backbone()?;
        for batch in &batches {
            backbone.check_batch(task.layout(), &batch.packed)?;
        }
        match self.rule {
            Rule::Gradient(optimizer) => self.gradient_steps(task, steps, &batches, &optimizer),
            Rule::ZerothOrder(rule) => self.zeroth_order_steps(task, steps, &batches, rule),
        }
    }

    fn gradient_steps(
        &self,
        task: &Task,
        steps: &[StepRequest],
        batches: &[Batch],
        optimizer: &Optimizer,
    ) -> Result<Vec<State>, LearningError> {
        let (backbone, layout) = (self.backbone()?, task.layout());
        let prefixes = self.prefixes(layout)?;
        let mut all_moments: Vec<Moments> = steps.iter().map(StepRequest::moments).collect();
        let stack: Vec<StackItem> = steps
            .iter()
            .zip(batches)
            .zip(&all_moments)
            .map(|((s, batch), moments)| StackItem {
                parameters: &s.state.parameters,
                batch: &batch.packed,
                dropout: Some(self.streams.counter(&s.client.name(), "dropout").child(s.step)),
                loss_scale: if backbone.is_half() { moments.loss_scale.scale } else { 1.0 },
                prefix: prefixes.map(|p| Cached { cache: &p.train, samples: &batch.samples }),
            })
            .collect();
        let outcomes = backbone.loss_and_gradients(layout, &stack);
        let mut states = Vec::with_capacity(steps.len());
        for ((s, mut outcome), moments) in steps.iter().zip(outcomes).zip(&mut all_moments) {
            let mut parameters = s.state.parameters.clone();
            // Half precision skips a step whose gradient left the range of fp16, and lowers the scale.
            if !backbone.is_half() || moments.loss_scale.unscale(&mut outcome.gradient) {
                s.options.gradient.add(&s.state.parameters, &s.companions, &mut outcome.gradient);
                optimizer.update(layout, &mut parameters, &outcome.gradient, moments);
                s.options.restore_untrained(&s.state.parameters, &mut parameters);
            }
            states.push(s.after(parameters, Some(std::mem::take(moments)), outcome.loss)?);
        }
        Ok(states)
    }

    fn zeroth_order_steps(
        &self,
        task: &Task,
        steps: &[StepRequest],
        batches: &[Batch],
        rule: ZerothOrder,
    ) -> Result<Vec<State>, LearningError> {
        let (backbone, layout) = (self.backbone()?, task.layout());
        let prefixes = self.prefixes(layout)?;
        let direction = |s: &StepRequest| self.streams.counter(&s.client.name(), "perturbation").child(s.step);
        let points: Vec<[Vec<f32>; 2]> =
            steps.iter().map(|s| rule.perturbed(&s.state.parameters, direction(s))).collect();
        let stack: Vec<StackItem> = points
            .iter()
            .zip(batches)
            .flat_map(|(points, batch)| {
                let prefix = prefixes.map(|p| Cached { cache: &p.train, samples: &batch.samples });
                points.iter().map(move |point| StackItem { prefix, ..StackItem::new(point, &batch.packed) })
            })
            .collect();
        let losses = backbone.losses(layout, &stack);
        let pairs = losses.as_chunks::<2>().0;
        let step = |(s, &pair): (&StepRequest, &[f64; 2])| {
            let mut parameters = s.state.parameters.clone();
            rule.apply(layout, &mut parameters, rule.slope(pair), direction(s));
            s.options.restore_untrained(&s.state.parameters, &mut parameters);
            s.after(parameters, None, (pair[0] + pair[1]) / 2.0)
        };
        steps.iter().zip(pairs).map(step).collect()
    }

    /// Tests the first of `states`; the others are those that `options` speak of.
    pub fn evaluate(
        &self,
        task: &Task,
        states: &[Arc<State>],
        samples: usize,
        EvaluationOptions {}: &EvaluationOptions,
    ) -> Result<Evaluation, LearningError> {
        let state = &states[0];
        let (backbone, layout, test) = (self.backbone()?, task.layout(), task.test_set());
        let all = test.sequences();
        // Evenly spread: neighbours in a data set often come from one text.
        let chosen: Vec<usize> = (0..samples).map(|i| i * all / samples).collect();
        let batch = test.subset(&chosen);
        backbone.check_batch(layout, &batch)?;
        let prefix = self.prefixes(layout)?.map(|p| Cached { cache: &p.test, samples: &chosen });
        let outcome = backbone.evaluate(layout, &state.parameters, &batch, prefix);
        let loss = outcome.loss_sum / outcome.targets as f64;
        let accuracy = match layout.objective() {
            Objective::Regression => explained_variance(loss, &batch.values),
            _ => outcome.correct as f64 / outcome.targets as f64,
        };
        Ok(Evaluation { loss, accuracy, samples })
    }
}

impl StepRequest {
    /// The optimiser's memory that the step starts with.
    fn moments(&self) -> Moments {
        match &self.state.moments {
            Some(moments) if !self.fresh_optimizer => moments.clone(),
            // Steps are numbered over the whole run, as AdaLoRA's schedule is.
            _ => Moments::anew(u32::try_from(self.step).unwrap_or(u32::MAX)),
        }
    }

    fn after(&self, parameters: Vec<f32>, moments: Option<Moments>, loss: f64) -> Result<State, LearningError> {
        if !loss.is_finite() {
            return Err(LearningError::Diverged { client: self.client.name(), step: self.step });
        }
        Ok(State { parameters, moments, loss: Some(loss) })
    }
}

/// R squared, the share of the values' variance that the answers explain: 1 is perfect, 0 no better than their mean.
fn explained_variance(mean_squared_error: f64, values: &[f32]) -> f64 {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64;
    if variance > 0.0 { 1.0 - mean_squared_error / variance } else { 0.0 }
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
        let tensors: Vec<Range<usize>> = layout
            .tensors()
            .iter()
            .map(TensorSpec::range)
            .filter(|t| ranges.iter().any(|r| r.start <= t.start && t.end <= r.end))
            .collect();
        match combination {
            Combination::Mean { weights } | Combination::MeanOfProducts { weights } => {
                for i in tensors.into_iter().flatten() {
                    let sum: f64 = updates.iter().zip(weights).map(|(u, w)| w * f64::from(u.parameters[i])).sum();
                    parameters[i] = sum as f32;
                }
            }
            Combination::OverTheAir { air, normalisation } => {
                air.add(*normalisation, &mut parameters, reference, updates, &tensors);
            }
            Combination::MajorityVote { air, step } => air.vote(*step, &mut parameters, reference, updates, &tensors),
        }
        if let Combination::MeanOfProducts { weights } = combination {
            low_rank::mean_of_products(layout, ranges, updates, weights, &mut parameters);
        }
    }
    State { parameters, moments: None, loss: None }
}
