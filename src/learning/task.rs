//! The learning task of one replication: model, trainable parameters, data and who holds which of it.

mod identify;

use super::LearningError;
use super::distillation::Distillation;
use super::engine::{Engine, Rule};
use super::identity::{Identity, IdentityBuilder};
use super::library::{BackboneKey, DatasetKey, LoadedDataset};
use super::operation::Client;
use super::peft::{objective, peft_methods};
use super::store::Store;
use super::value::State;
use crate::adapter::AdapterFile;
use crate::data::{BatchStream, PackedBatch, Partition};
use crate::fomo::{Architecture, BatchShape};
use crate::nn::{AdamW, Optimizer, ParameterLayout, Sgd, ZerothOrder};
use crate::random::Streams;
use crate::scenario::{self, Checkpoint, DistillationSpec, Scenario, TrainingSpec};
use identify::identify;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Everything that operations refer to. Its identity is the root of every operation's identity.
pub struct Task {
    identity: Identity,
    /// Sequences and tokens of a device's step and of the pool's, in a scenario without training.
    nominal: BatchShape,
    nominal_pool: BatchShape,
    weights: Vec<f64>,
    training: Option<Training>,
}

struct Training {
    layout: ParameterLayout,
    /// Rows of a sample beside its tokens or patches.
    class_tokens: usize,
    engine: Engine,
    dataset: Arc<LoadedDataset>,
    shares: Vec<usize>,
    raw_bytes: Vec<u64>,
    devices: Vec<BatchStream>,
    /// Samples of each device that it never trains on.
    held_out: Vec<Vec<usize>>,
    /// Whether a device's samples are of one domain.
    by_domain: bool,
    pool: BatchStream,
    /// What the run starts from, in the layout's order, and NaN wherever the usual first values hold.
    start: Option<Vec<f32>>,
    streams: Streams,
}

impl Task {
    /// Deals the data and prepares the layout. Loads data and tokenizer, but no weights: those wait until a number is
    /// asked for. Without training nothing is loaded at all.
    pub fn new(
        scenario: &Scenario,
        architecture: &Architecture,
        streams: Streams,
        store: &Arc<Store>,
    ) -> Result<Self, LearningError> {
        let Scenario { workload, training, .. } = scenario;
        let weights: Vec<f64> = scenario.devices.iter().flat_map(|g| vec![g.data_weight; g.count]).collect();
        // The pool's steps stand for those of all of a round's devices at once.
        let pooled = workload.batch_size * scenario.technique.devices_per_round;
        let nominal = BatchShape::uniform(workload.batch_size, workload.sequence_tokens);
        let nominal_pool = BatchShape::uniform(pooled, workload.sequence_tokens);
        let Some(spec) = training else {
            let identity = IdentityBuilder::new("no training").finish();
            return Ok(Self { identity, nominal, nominal_pool, weights, training: None });
        };
        let predicts_tokens = spec.task.predicts_tokens();
        let checkpoint = scenario.model.checkpoint.clone();
        let dataset_key = DatasetKey {
            choice: spec.dataset.clone(),
            task: spec.task,
            checkpoint: checkpoint.clone(),
            architecture: architecture.clone(),
            max_tokens: workload.sequence_tokens,
        };
        let backbone_key = BackboneKey {
            streams: (checkpoint == Checkpoint::Random).then_some(streams),
            checkpoint,
            architecture: architecture.clone(),
            predicts_tokens,
            half_precision: scenario.model.trains_in_half_precision(),
        };
        let dataset = store.library.dataset(&dataset_key)?;
        let methods = peft_methods(scenario, architecture);
        let objective = objective(scenario, dataset.tokens.classes.len());
        let layout = ParameterLayout::new(architecture, &methods, objective)?;
        let start = spec.start_from.as_deref().map(|path| start_from(path, &layout)).transpose()?;
        let partition = match spec.partition {
            scenario::Partition::Iid => Partition::Iid,
            scenario::Partition::Dirichlet { alpha } => Partition::Dirichlet { alpha },
            scenario::Partition::Domain => Partition::Domain,
        };
        let shares = partition.deal(
            &dataset.tokens.train.labels,
            &dataset.tokens.domains,
            &weights,
            &mut streams.stream("data", "partition"),
        )?;
        let shares: Vec<Vec<usize>> = match spec.samples_per_device {
            Some(most) => shares.into_iter().map(|share| evenly(share, most)).collect(),
            None => shares,
        };
        let pooled_samples = match spec.samples_per_device {
            Some(_) => shares.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect(),
            None => (0..dataset.tokens.train.sequences()).collect(),
        };
        let kept = scenario.technique.ensemble.as_ref().map_or(0, |e| e.combine.validation_samples());
        let (shares, held_out) = shares.into_iter().map(|share| hold_out(share, kept)).unzip::<_, _, Vec<_>, Vec<_>>();
        let rule = rule(spec);
        let identity = identify(scenario, &backbone_key, &layout, &dataset, &shares, &rule, streams)?;
        // A GPU adds in another order than a CPU.
        let Store { library, .. } = &**store;
        let identity = match library.order_of_sums(backbone_key.half_precision) {
            Some(order) => IdentityBuilder::new(order).identity(identity).finish(),
            None => identity,
        };
        let identity = start.iter().fold(identity, |identity, start| {
            let b = IdentityBuilder::new("start_from").identity(identity);
            start.iter().fold(b, |b, v| b.word(u64::from(v.to_bits()))).finish()
        });
        let batches = |examples: Vec<usize>, client: Client, size: usize| {
            BatchStream::new(examples, size, &streams, &client.name())
        };
        let pool = batches(pooled_samples, Client::Pool, pooled)?;
        let engine = Engine::new(store.clone(), backbone_key, dataset_key, rule, streams);
        Ok(Self {
            identity,
            nominal,
            nominal_pool,
            weights,
            training: Some(Training {
                layout,
                class_tokens: usize::from(architecture.image.is_some()),
                engine,
                shares: shares.iter().map(Vec::len).collect(),
                raw_bytes: shares.iter().map(|s| s.iter().map(|&i| dataset.train_bytes[i]).sum()).collect(),
                devices: (0u32..)
                    .zip(shares)
                    .map(|(n, s)| batches(s, Client::Device(n), workload.batch_size))
                    .collect::<Result<_, _>>()?,
                held_out,
                by_domain: spec.partition == scenario::Partition::Domain,
                pool,
                start,
                dataset,
                streams,
            }),
        })
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub fn trains(&self) -> bool {
        self.training.is_some()
    }

    /// Shape of mini-batch `step` of a client.
    pub fn batch_shape(&self, client: Client, step: u64) -> BatchShape {
        BatchShape::from_length_pairs(self.batch_lengths(client, step))
    }

    /// Lengths (encoder or only stack, decoder) of the sequences of mini-batch `step` of a client.
    pub fn batch_lengths(&self, client: Client, step: u64) -> Vec<(usize, usize)> {
        match &self.training {
            None => {
                let nominal = if client == Client::Pool { &self.nominal_pool } else { &self.nominal };
                let length = (nominal.tokens / nominal.sequences.max(1)) as usize;
                vec![(length, 0); nominal.sequences as usize]
            }
            Some(t) => {
                let train = &t.dataset.tokens.train;
                let length = |i: usize| {
                    let rows = train.offsets[i + 1] - train.offsets[i];
                    let target = train.decoder.as_ref().map_or(0, |d| d.offsets[i + 1] - d.offsets[i]);
                    (rows + t.class_tokens, target)
                };
                t.batches(client).batch_indices(step).into_iter().map(length).collect()
            }
        }
    }

    /// Names of the samples of mini-batch `step` of a client: equal ones are one sample. Without training a client holds
    /// one nominal batch a unit of data weight and goes through it in order.
    pub fn sample_names(&self, client: Client, step: u64) -> Vec<usize> {
        if let Some(t) = &self.training {
            return t.batches(client).batch_indices(step);
        }
        let size = self.nominal.sequences as usize;
        let held = ((self.samples(client) * size as f64).round() as usize).max(size);
        (0..size).map(|i| (step as usize).wrapping_mul(size).wrapping_add(i) % held).collect()
    }

    /// Training samples a client holds; without training its relative amount of data.
    pub fn samples(&self, client: Client) -> f64 {
        match (client, &self.training) {
            (Client::Device(n), Some(t)) => t.shares[n as usize] as f64,
            (Client::Device(n), None) => self.weights[n as usize],
            (Client::Pool, Some(t)) => t.pool.examples().len() as f64,
            (Client::Pool, None) => self.weights.iter().sum(),
        }
    }

    /// Bytes of a device's training samples as text with labels. Without training: one nominal batch a unit of data
    /// weight, two bytes a token.
    pub fn raw_bytes(&self, client: Client) -> u64 {
        match (client, &self.training) {
            (Client::Device(n), Some(t)) => t.raw_bytes[n as usize],
            (Client::Pool, Some(t)) => t.raw_bytes.iter().sum(),
            (_, None) => (self.samples(client) * 2.0 * self.nominal.tokens as f64).ceil() as u64,
        }
    }

    /// Number of trainable parameters; 0 without training.
    pub fn parameters(&self) -> usize {
        self.training.as_ref().map_or(0, |t| t.layout.len())
    }

    /// How an emulator of the trained model is fitted to it, as `spec` says.
    pub(super) fn distillation(&self, store: &Store, spec: &DistillationSpec) -> Result<Distillation, LearningError> {
        let t = self.trained();
        let data = DatasetKey { choice: spec.dataset.clone(), ..t.engine.dataset_key().clone() };
        let Store { library, .. } = store;
        let digest = library.dataset(&data)?.tokens.digest();
        Ok(Distillation {
            data,
            digest,
            steps: spec.steps as u64,
            learning_rate: spec.learning_rate,
            batch_size: spec.batch_size,
            objective: t.layout.objective(),
            streams: t.streams,
        })
    }

    /// Entries of the flat parameters that belong to blocks below `split_point`, and the rest.
    pub(super) fn sides(&self, split_point: usize) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
        let device = self.layout().device_side(split_point);
        let mut edge = vec![];
        let mut from = 0;
        for range in &device {
            if from < range.start {
                edge.push(from..range.start);
            }
            from = range.end;
        }
        if from < self.parameters() {
            edge.push(from..self.parameters());
        }
        (device, edge)
    }

    /// Test samples there are; 0 without training.
    pub fn test_samples(&self) -> usize {
        self.training.as_ref().map_or(0, |t| t.dataset.tokens.test.sequences())
    }

    /// The test samples, or those of one domain.
    pub(super) fn test_range(&self, domain: Option<usize>) -> Range<usize> {
        let of =
            |d: usize| self.training.as_ref().and_then(|t| t.dataset.tokens.domains.get(d)).map(|d| d.test.clone());
        domain.and_then(of).unwrap_or(0..self.test_samples())
    }

    /// The domain of which all of a device's samples are, where data was dealt by domain.
    pub fn domain_of(&self, client: Client) -> Option<usize> {
        let Client::Device(k) = client else { return None };
        let t = self.training.as_ref().filter(|t| t.by_domain)?;
        // As `data::Partition::Domain` deals them.
        Some(k as usize * t.dataset.tokens.domains.len() / t.devices.len())
    }

    /// Every sample that a client trains on.
    pub(super) fn training_samples(&self, client: Client) -> &[usize] {
        self.trained().batches(client).examples()
    }

    /// Samples of a client that it never trains on.
    pub(super) fn held_out(&self, client: Client) -> &[usize] {
        match client {
            Client::Device(n) => &self.trained().held_out[n as usize],
            Client::Pool => &[],
        }
    }

    pub(super) fn layout(&self) -> &ParameterLayout {
        &self.trained().layout
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.trained().engine
    }

    /// The training samples of a step.
    pub(super) fn samples_of(&self, client: Client, step: u64) -> Vec<usize> {
        self.trained().batches(client).batch_indices(step)
    }

    pub(super) fn train_batch(&self, samples: &[usize]) -> PackedBatch {
        self.trained().dataset.tokens.train_batch(samples)
    }

    pub(super) fn test_set(&self) -> &PackedBatch {
        &self.trained().dataset.tokens.test
    }

    pub(super) fn initial_state(&self) -> Result<State, LearningError> {
        let t = self.trained();
        let mut parameters = t.layout.initial(&t.streams, &t.engine.backbone_key().source()?)?;
        for (value, start) in parameters.iter_mut().zip(t.start.iter().flatten()).filter(|(_, start)| !start.is_nan()) {
            *value = *start;
        }
        Ok(State { parameters, moments: None, loss: None })
    }

    fn trained(&self) -> &Training {
        self.training.as_ref().expect("operations exist only where there is training")
    }
}

impl Training {
    fn batches(&self, client: Client) -> &BatchStream {
        match client {
            Client::Device(n) => &self.devices[n as usize],
            Client::Pool => &self.pool,
        }
    }
}

/// The values of the adapter at `path`, NaN where it has none: adapters hold finite numbers only.
fn start_from(path: &Path, layout: &ParameterLayout) -> Result<Vec<f32>, LearningError> {
    let mut start = vec![f32::NAN; layout.len()];
    AdapterFile::read(path)?.place_into(&path.display().to_string(), layout, &mut start)?;
    Ok(start)
}

/// At most `most` of a device's samples, evenly spread over what it was dealt.
fn evenly(share: Vec<usize>, most: usize) -> Vec<usize> {
    let n = most.min(share.len());
    (0..n).map(|i| share[i * share.len() / n]).collect()
}

/// A device's samples without `kept` of them, evenly spread, and those; at most half are kept.
fn hold_out(share: Vec<usize>, kept: usize) -> (Vec<usize>, Vec<usize>) {
    let kept = kept.min(share.len() / 2);
    // The i-th kept sample is the last of the i-th of `kept` equal parts.
    let is_kept = |i: usize| (i + 1) * kept / share.len() > i * kept / share.len();
    let (held_out, trained): (Vec<_>, Vec<_>) = share.iter().enumerate().partition(|(i, _)| is_kept(*i));
    let samples = |part: Vec<(usize, &usize)>| part.into_iter().map(|(_, sample)| *sample).collect();
    (samples(trained), samples(held_out))
}

/// The scenario's optimiser, in the terms of `nn`.
fn rule(spec: &TrainingSpec) -> Rule {
    let TrainingSpec { learning_rate, head_learning_rate, weight_decay, .. } = *spec;
    match spec.optimizer {
        scenario::Optimizer::AdamW => Rule::Gradient(Optimizer::AdamW(AdamW {
            learning_rate,
            head_learning_rate,
            weight_decay,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        })),
        scenario::Optimizer::Sgd { momentum } => {
            Rule::Gradient(Optimizer::Sgd(Sgd { learning_rate, head_learning_rate, momentum, weight_decay }))
        }
        scenario::Optimizer::ZerothOrder { perturbation } => {
            Rule::ZerothOrder(ZerothOrder { perturbation, learning_rate, head_learning_rate })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{evenly, hold_out};

    #[test]
    fn few_samples_are_spread_over_the_share() {
        assert_eq!(evenly((10..20).collect(), 3), [10, 13, 16]);
        assert_eq!(evenly((10..13).collect(), 9), [10, 11, 12]);
    }

    #[test]
    fn held_out_samples_are_spread_and_never_more_than_half() {
        assert_eq!(hold_out((0..10).collect(), 0), ((0..10).collect(), vec![]));
        assert_eq!(hold_out((0..10).collect(), 2), (vec![0, 1, 2, 3, 5, 6, 7, 8], vec![4, 9]));
        for (n, kept) in [(1, 5), (2, 5), (9, 4), (64, 100), (1000, 17)] {
            let (trained, held_out) = hold_out((0..n).collect(), kept);
            assert_eq!(held_out.len(), kept.min(n / 2), "{n} {kept}");
            let mut all = [trained, held_out].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..n));
        }
    }
}
