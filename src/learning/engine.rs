//! How operations are computed: the bridge from operations to the arithmetic of `nn`.

use super::LearningError;
use super::connections;
use super::distillation;
use super::emulated::Emulated;
use super::evaluation_options::EvaluationOptions;
use super::federated::LearningRates;
use super::ground::Ground;
use super::keys::KeyCache;
use super::library::{BackboneKey, DatasetKey};
use super::low_rank;
use super::operation::{Client, Combination};
use super::slopes::{self, SharedDirection, SlopeMean};
use super::step_options::StepOptions;
use super::store::Store;
use super::task::Task;
use super::value::{Evaluation, State};
use crate::data::{Objective, PackedBatch};
use crate::nn::{
    AtCut, Cached, Moments, Optimizer, ParameterLayout, StackItem, Stepped, SumChannel, TensorSpec, ZerothOrder,
};
use crate::random::{CounterStream, Streams};
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
    /// The full model, once it was asked for.
    full: OnceLock<Ground>,
    pub(super) keys: KeyCache,
}

/// One local step to be part of a stack.
pub(super) struct StepRequest {
    pub state: Arc<State>,
    /// Other states of which terms of the gradient speak.
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
        let keys = KeyCache::default();
        Self { store, backbone_key, dataset_key, rule, streams, full: OnceLock::new(), keys }
    }

    pub fn backbone_key(&self) -> &BackboneKey {
        &self.backbone_key
    }

    pub fn dataset_key(&self) -> &DatasetKey {
        &self.dataset_key
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

    /// The model that a step or a test runs on.
    pub(super) fn ground(
        &self,
        layout: &ParameterLayout,
        emulated: Option<&Emulated>,
    ) -> Result<Ground, LearningError> {
        if let (None, Some(full)) = (emulated, self.full.get()) {
            return Ok(full.clone());
        }
        let Store { library, .. } = &*self.store;
        let ground = Ground::load(library, &self.backbone_key, &self.dataset_key, layout, emulated)?;
        Ok(if emulated.is_none() { self.full.get_or_init(|| ground).clone() } else { ground })
    }

    /// All `steps`, which run on one model, as one stacked pass over the shared frozen weights; each outcome is that of the
    /// step alone.
    pub fn local_steps(&self, task: &Task, steps: &[StepRequest]) -> Result<Vec<State>, LearningError> {
        let batches: Vec<Batch> = steps
            .iter()
            .map(|s| {
                let samples = task.samples_of(s.client, s.step);
                Batch { packed: task.train_batch(&samples), samples }
            })
            .collect();
        let emulator = steps.first().and_then(|s| s.options.emulator.as_deref());
        let ground = self.ground(task.layout(), emulator)?;
        for batch in &batches {
            ground.backbone.check_batch(&ground.layout, &batch.packed)?;
        }
        match self.rule {
            Rule::Gradient(optimizer) => self.gradient_steps(&ground, steps, &batches, &optimizer),
            Rule::ZerothOrder(rule) => self.zeroth_order_steps(&ground, steps, &batches, rule),
        }
    }

    fn gradient_steps(
        &self,
        ground: &Ground,
        steps: &[StepRequest],
        batches: &[Batch],
        optimizer: &Optimizer,
    ) -> Result<Vec<State>, LearningError> {
        let (backbone, layout, prefixes) = (&ground.backbone, &*ground.layout, ground.prefixes());
        let mut all_moments: Vec<Moments> = steps.iter().map(StepRequest::moments).collect();
        let channels: Vec<Option<SumChannel>> = steps.iter().map(StepRequest::connections).collect();
        let stack: Vec<StackItem> = steps
            .iter()
            .zip(batches)
            .zip(&all_moments)
            .zip(&channels)
            .map(|(((s, batch), moments), channel)| StackItem {
                parameters: &s.state.parameters,
                batch: &batch.packed,
                dropout: Some(self.streams.counter(&s.client.name(), "dropout").child(s.step)),
                loss_scale: if backbone.is_half() { moments.loss_scale.scale } else { 1.0 },
                prefix: prefixes.map(|p| Cached { cache: &p.train, samples: &batch.samples }),
                cut: s.options.cut.as_ref().map(|cut| {
                    let stream = self.streams.counter(&s.client.name(), "cut").child(s.step);
                    AtCut { cut, stream }
                }),
                channel: channel.as_ref(),
            })
            .collect();
        // What changes gradients on their way to the optimiser, or parameters after it, does so on the host.
        let plain = layout.adaptive_ranks().is_none() && steps.iter().all(|s| s.options.leaves_gradients());
        if let (true, Optimizer::AdamW(rule)) = (plain, optimizer)
            && let Some(stepped) = backbone.adamw_steps(layout, &stack, rule, &mut all_moments)
        {
            let state = |((s, mut stepped), moments): ((&StepRequest, Stepped), Moments)| {
                s.options.restore_untrained(&s.state.parameters, &mut stepped.parameters);
                s.after(stepped.parameters, Some(moments), stepped.loss)
            };
            return steps.iter().zip(stepped).zip(all_moments).map(state).collect();
        }
        let outcomes = backbone.loss_and_gradients(layout, &stack);
        let mut states = Vec::with_capacity(steps.len());
        for ((s, mut outcome), moments) in steps.iter().zip(outcomes).zip(&mut all_moments) {
            let mut parameters = s.state.parameters.clone();
            // Half precision skips a step whose gradient left the range of fp16, and lowers the scale.
            if !backbone.is_half() || moments.loss_scale.unscale(&mut outcome.gradient) {
                if let Some(dimension) = s.options.projection_dimension {
                    let stream = self.streams.counter(&s.client.name(), "projection").child(s.step);
                    crate::nn::project(&mut outcome.gradient, dimension, stream);
                }
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
        ground: &Ground,
        steps: &[StepRequest],
        batches: &[Batch],
        rule: ZerothOrder,
    ) -> Result<Vec<State>, LearningError> {
        let (backbone, layout, prefixes) = (&ground.backbone, &*ground.layout, ground.prefixes());
        let channels: Vec<Option<SumChannel>> = steps.iter().map(StepRequest::connections).collect();
        let direction = |s: &StepRequest| match s.options.shared_direction {
            None => self.streams.counter(&s.client.name(), "perturbation").child(s.step),
            Some(_) => self.shared_direction(s.step),
        };
        let points: Vec<[Vec<f32>; 2]> =
            steps.iter().map(|s| rule.perturbed(&s.state.parameters, direction(s))).collect();
        let stack: Vec<StackItem> = points
            .iter()
            .zip(batches)
            .zip(&channels)
            .flat_map(|((points, batch), channel)| {
                let prefix = prefixes.map(|p| Cached { cache: &p.train, samples: &batch.samples });
                let channel = channel.as_ref();
                points.iter().map(move |point| StackItem { prefix, channel, ..StackItem::new(point, &batch.packed) })
            })
            .collect();
        let losses = backbone.losses(layout, &stack);
        let pairs = losses.as_chunks::<2>().0;
        let step = |(s, &pair): (&StepRequest, &[f64; 2])| {
            // A slope is sent in single precision, so that is what a step along it goes by.
            let (slope, loss) = (rule.slope(pair) as f32, (pair[0] + pair[1]) / 2.0);
            if s.options.shared_direction == Some(SharedDirection::Slope) {
                return s.after(vec![slope], None, loss);
            }
            let mut parameters = s.state.parameters.clone();
            rule.apply(layout, &mut parameters, f64::from(slope), direction(s));
            s.options.restore_untrained(&s.state.parameters, &mut parameters);
            s.after(parameters, None, loss)
        };
        steps.iter().zip(pairs).map(step).collect()
    }

    fn shared_direction(&self, step: u64) -> CounterStream {
        self.streams.counter("all devices", "perturbation").child(step)
    }

    /// The first of `states` after the step along the shared direction that the others, slopes, say.
    pub fn follow_slopes(&self, task: &Task, states: &[Arc<State>], step: u64, mean: &SlopeMean) -> State {
        let Rule::ZerothOrder(rule) = self.rule else {
            unreachable!("the reader of scenarios admits slopes with a zeroth-order optimizer only")
        };
        slopes::follow(task.layout(), &rule, &states[0], &states[1..], (mean, step), self.shared_direction(step))
    }

    /// Tests the first of `states`; the others are those that `options` speak of.
    pub fn evaluate(
        &self,
        task: &Task,
        states: &[Arc<State>],
        samples: usize,
        options: &EvaluationOptions,
    ) -> Result<Evaluation, LearningError> {
        let among = task.test_range(options.domain);
        // Evenly spread: neighbours in a data set often come from one text.
        let chosen: Vec<usize> = (0..samples).map(|i| among.start + i * among.len() / samples).collect();
        match &options.ensemble {
            None => {
                let ground = self.ground(task.layout(), options.emulator.as_deref())?;
                self.evaluate_alone(task, &ground, &states[0], &chosen, options.connections.as_ref())
            }
            Some(ensemble) => self.evaluate_ensemble(task, states, ensemble, &chosen),
        }
    }

    /// How far the hidden states of an emulator are from the model's: the mean squared distance that distilling lowers, over
    /// `samples` test samples, evenly spread.
    pub fn emulator_distance(&self, task: &Task, samples: usize, emulated: &Emulated) -> Result<f64, LearningError> {
        let emulator = emulated.emulator();
        let all = task.test_samples();
        let chosen: Vec<usize> = (0..samples).map(|i| i * all / samples).collect();
        let batch = task.test_set().subset(&chosen);
        let bare = |architecture| -> Result<ParameterLayout, LearningError> {
            let method = distillation::only_norms(architecture);
            Ok(ParameterLayout::new(architecture, &[method], task.layout().objective())?)
        };
        let (own, full) = (bare(emulator.architecture())?, bare(emulator.full())?);
        let Store { library, .. } = &*self.store;
        let backbone = library.emulator(&self.backbone_key, emulated)?;
        let source = self.backbone_key.source()?;
        let parameters = own.initial(&self.streams, &emulator.source(&source)?)?;
        let of_full = full.initial(&self.streams, &source)?;
        let model = self.ground(task.layout(), None)?.backbone;
        model.check_batch(&full, &batch)?;
        Ok(backbone.hidden_distance((&own, &parameters), &model, (&full, &of_full), &batch, &emulator.boundaries()))
    }

    /// Tests one state on the test samples `chosen`.
    pub(super) fn evaluate_alone(
        &self,
        task: &Task,
        ground: &Ground,
        state: &State,
        chosen: &[usize],
        channel: Option<&SumChannel>,
    ) -> Result<Evaluation, LearningError> {
        let (backbone, layout) = (&ground.backbone, &*ground.layout);
        let batch = task.test_set().subset(chosen);
        backbone.check_batch(layout, &batch)?;
        let prefix = ground.prefixes().map(|p| Cached { cache: &p.test, samples: chosen });
        let item = StackItem { prefix, channel, ..StackItem::new(&state.parameters, &batch) };
        let outcome = backbone.evaluate(layout, &item);
        let loss = outcome.loss_sum / outcome.targets as f64;
        let accuracy = match layout.objective() {
            Objective::Regression => explained_variance(loss, &batch.values),
            _ => outcome.correct as f64 / outcome.targets as f64,
        };
        Ok(Evaluation { loss, accuracy, samples: chosen.len() })
    }
}

impl StepRequest {
    /// What forms sums over slices in this step.
    fn connections(&self) -> Option<SumChannel> {
        self.options.connections.as_ref().map(|channel| connections::of_step(channel, self.client, self.step))
    }

    /// The optimiser's memory that the step starts with.
    fn moments(&self) -> Moments {
        match &self.state.moments {
            Some(moments) if !self.fresh_optimizer && moments.step > 0 => moments.clone(),
            // Steps are numbered over the whole run, as AdaLoRA's schedule is, and the loss scale belongs to the run.
            before => Moments {
                loss_scale: before.as_ref().map_or_else(Default::default, |moments| moments.loss_scale),
                ..Moments::anew(u32::try_from(self.step).unwrap_or(u32::MAX))
            },
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

/// `state` with the entries in `ranges`, and the optimiser's memory of them, from `other`.
pub(super) fn splice(state: &State, other: &State, ranges: &[Range<usize>]) -> State {
    let mut parameters = state.parameters.clone();
    for range in ranges {
        parameters[range.clone()].copy_from_slice(&other.parameters[range.clone()]);
    }
    let moments = match (&state.moments, &other.moments) {
        (None, None) => None,
        (own, others) => {
            let (own, others) = (own.clone().unwrap_or_default(), others.clone().unwrap_or_default());
            Some(own.with_ranges_of(&others, ranges, parameters.len()))
        }
    };
    State { parameters, moments, loss: state.loss }
}
