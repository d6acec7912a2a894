//! The jobs that are timed.

use crate::Options;
use crate::report::{Outcome, time};
use crate::setup::{self, OPTIMISER};
use deft::backend::Cpu;
use deft::data::PackedBatch;
use deft::nn::{Cached, FrozenPrefix, Model, Moments, ParameterLayout, PrefixBudget, Projection, StackItem};
use serde_json::{Value, json};
use std::sync::Arc;

const RANK: usize = 8;
/// What LoRA adapts.
pub const ATTENTION: [Projection; 2] = [Projection::Query, Projection::Value];
pub const FEED_FORWARD: [Projection; 2] = [Projection::FfnUp, Projection::FfnDown];
/// As `BATCH`, `DEVICES`, `LOCAL_STEPS` and `LOCAL_BATCH` of the peer.
const BATCH: usize = 32;
const DEVICES: usize = 64;
const LOCAL_STEPS: usize = 2;
const LOCAL_BATCH: usize = 8;
/// Texts a device trains on where a thousand of them are held.
const SMALL_BATCH: usize = 4;
/// Devices in one stacked pass: what the scheduler of the learning plane takes at most.
const STACK: usize = 64;

pub struct Bench<'a> {
    options: &'a Options,
    model: Model<Cpu>,
    layout: ParameterLayout,
    initial: Vec<f32>,
    weights: &'static str,
}

/// What one device trains.
#[derive(Clone)]
struct Client {
    parameters: Vec<f32>,
    moments: Moments,
}

impl Client {
    fn new(parameters: &[f32]) -> Self {
        Self { parameters: parameters.to_vec(), moments: Moments::default() }
    }
}

impl<'a> Bench<'a> {
    pub fn new(options: &'a Options) -> Result<Self, Box<dyn std::error::Error>> {
        let (model, weights) = setup::model(Cpu::new())?;
        let (layout, initial) =
            setup::layout(model.architecture(), vec![RANK; model.architecture().blocks()], ATTENTION)?;
        Ok(Self { options, model, layout, initial, weights })
    }

    /// One step of every client on its batch, as one stack; the mean of their losses.
    fn train(&self, clients: &mut [Client], batches: &[PackedBatch]) -> f64 {
        let stack: Vec<StackItem> =
            clients.iter().zip(batches).map(|(c, batch)| StackItem::new(&c.parameters, batch)).collect();
        let outcomes = self.model.loss_and_gradients(&self.layout, &stack);
        let mut sum = 0.0;
        for (Client { parameters, moments }, outcome) in clients.iter_mut().zip(&outcomes) {
            OPTIMISER.update(&self.layout, parameters, &outcome.gradient, moments);
            sum += outcome.loss;
        }
        sum / outcomes.len() as f64
    }

    fn print(&self, outcome: Outcome<'_>) {
        outcome.print(self.options.json);
    }

    fn weights(&self) -> Value {
        json!({ "weights": self.weights })
    }

    /// One training step on equal texts: a case with nothing to gain from packing.
    pub fn step(&self, workload: &str, sequences: usize, tokens: usize) {
        let batch = [setup::equal_batch(sequences, tokens)];
        let mut client = [Client::new(&self.initial)];
        let mut mean_loss = 0.0;
        let mut step = || mean_loss = self.train(&mut client, &batch);
        time(2, &mut step);
        let times = time(self.options.repetitions, &mut step);
        let (threads, tokens) = (self.options.threads, batch[0].rows());
        self.print(Outcome { workload, threads, times, tokens, mean_loss, extra: self.weights() });
    }

    fn warm_up(&self) {
        let batches = [setup::equal_batch(8, 32)];
        time(3, || {
            self.train(&mut [Client::new(&self.initial)], &batches);
        });
    }

    /// The training half of the movie set once.
    pub fn epoch(&self) {
        let texts = setup::movie_texts().expect("the vendored set and tokenizer are tested");
        let batches: Vec<_> = setup::shuffled_batches(&texts, BATCH).into_iter().step_by(self.options.every).collect();
        let mut mean_loss = 0.0;
        self.warm_up();
        let times = time(1, || {
            let mut client = [Client::new(&self.initial)];
            let losses: f64 = batches.iter().map(|batch| self.train(&mut client, std::slice::from_ref(batch))).sum();
            mean_loss = losses / batches.len() as f64;
        });
        let tokens = batches.iter().map(PackedBatch::rows).sum();
        let (workload, threads) = ("epoch", self.options.threads);
        self.print(Outcome { workload, threads, times, tokens, mean_loss, extra: self.weights() });
    }

    /// LoRA on `targets` of the top two blocks only, three epochs over a tenth of the movie set: the first fills the cache of
    /// what the frozen blocks give, the others start from it.
    pub fn frozen_prefix(&self, workload: &str, targets: [Projection; 2]) {
        let texts = setup::movie_texts().expect("the vendored set and tokenizer are tested");
        let blocks = self.model.architecture().blocks();
        let ranks = (0..blocks).map(|b| if b + 2 >= blocks { RANK } else { 0 }).collect();
        let (layout, initial) = setup::layout(self.model.architecture(), ranks, targets).expect("fits");
        let memory = Arc::new(PrefixBudget::new(usize::MAX));
        let cache = FrozenPrefix::new(&self.model, &layout, texts.sequences(), memory.clone()).expect("frozen blocks");
        let batches: Vec<_> = setup::shuffled(&texts, BATCH).into_iter().step_by(10).collect();
        let mut client = Client::new(&initial);
        self.warm_up();
        let mut mean_loss = 0.0;
        let times = time(3, || {
            let mut losses = 0.0;
            for samples in &batches {
                let batch = texts.subset(samples);
                let prefix = Some(Cached { cache: &cache, samples });
                let item = StackItem { prefix, ..StackItem::new(&client.parameters, &batch) };
                let outcome = self.model.loss_and_gradients(&layout, &[item]).remove(0);
                OPTIMISER.update(&layout, &mut client.parameters, &outcome.gradient, &mut client.moments);
                losses += outcome.loss;
            }
            mean_loss = losses / batches.len() as f64;
        });
        let (first, later) = (times[0], &times[1..]);
        let extra = json!({
            "weights": self.weights, "first_epoch_s": first.wall, "later_epochs_s": later.iter().map(|t| t.wall).collect::<Vec<_>>(),
            "speedup": first.wall / (later.iter().map(|t| t.wall).sum::<f64>() / later.len() as f64),
            "cache_mb": memory.used_bytes() as f64 / 1e6,
        });
        let tokens = batches.iter().flatten().map(|&i| texts.sequence(i).len()).sum();
        let threads = self.options.threads;
        self.print(Outcome { workload, threads, times, tokens, mean_loss, extra });
    }

    /// A federated round: every device takes its local steps from the same state, then the states are averaged.
    pub fn round(&self) {
        let texts = setup::movie_texts().expect("the vendored set and tokenizer are tested");
        let batches = setup::shuffled_batches(&texts, LOCAL_BATCH);
        let batches = &batches[..DEVICES * LOCAL_STEPS];
        // Device d's step s is batch `d * LOCAL_STEPS + s`.
        let by_step: Vec<Vec<PackedBatch>> =
            (0..LOCAL_STEPS).map(|s| batches.iter().skip(s).step_by(LOCAL_STEPS).cloned().collect()).collect();
        let (mut mean_loss, mut global) = (0.0, Vec::new());
        self.warm_up();
        let times = time(1, || {
            let mut clients = vec![Client::new(&self.initial); DEVICES];
            let losses: f64 = by_step.iter().map(|step| self.train(&mut clients, step)).sum();
            mean_loss = losses / LOCAL_STEPS as f64;
            global = average(&clients);
        });
        assert_eq!(global.len(), self.initial.len());
        let tokens = batches.iter().map(PackedBatch::rows).sum();
        let (workload, threads) = ("round", self.options.threads);
        self.print(Outcome { workload, threads, times, tokens, mean_loss, extra: self.weights() });
    }

    /// Holds the parameters and the optimiser's memory of so many devices and takes one step of each.
    pub fn many_devices(&self, devices: usize) {
        let texts = setup::movie_texts().expect("the vendored set and tokenizer are tested");
        let batches: Vec<_> = setup::shuffled_batches(&texts, SMALL_BATCH).into_iter().take(devices).collect();
        let mut clients = vec![Client::new(&self.initial); devices];
        let mut losses = Vec::new();
        let times = time(1, || {
            for (clients, batches) in clients.chunks_mut(STACK).zip(batches.chunks(STACK)) {
                losses.push(self.train(clients, batches) * clients.len() as f64);
            }
        });
        let extra = json!({
            "devices": devices, "weights": self.weights,
            "state_mb": (devices * 3 * self.initial.len() * size_of::<f32>()) as f64 / 1e6,
        });
        let tokens = batches.iter().map(PackedBatch::rows).sum();
        let (threads, mean_loss) = (self.options.threads, losses.iter().sum::<f64>() / devices as f64);
        self.print(Outcome { workload: "devices_1000", threads, times, tokens, mean_loss, extra });
    }
}

fn average(clients: &[Client]) -> Vec<f32> {
    let mut sum = vec![0f64; clients[0].parameters.len()];
    for client in clients {
        sum.iter_mut().zip(&client.parameters).for_each(|(s, &p)| *s += f64::from(p));
    }
    sum.into_iter().map(|s| (s / clients.len() as f64) as f32).collect()
}
