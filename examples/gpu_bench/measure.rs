//! What is timed, on any backend: products, attention, training passes. A figure is the shortest of several runs, each ended by
//! reading a number back.

use clap::ValueEnum;
use deft::backend::{
    Adapted, AttentionInput, AttentionShape, Backend, Columns, Epilogue, Linear, LinearCache, LinearSlots, LoraSlot,
    Packing, Trainable,
};
use deft::data::{Objective, PackedBatch, TargetText};
use deft::fomo::{Architecture, Family, RandomWeights, preset};
use deft::nn::{
    LoraConfig, LoraScaling, LoraVariant, Model, ParameterLayout, PeftMethod, Projection, StackItem, StepOutcome,
};
use deft::random::{CounterStream, Streams};
use serde::Serialize;
use std::time::Instant;

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub model: String,
    /// Rows, inputs and outputs of a product; tokens, heads and columns of attention; blocks, clients and tokens of training.
    pub shape: String,
    pub seconds: f64,
    pub tflop_per_second: f64,
    /// Of the bytes that have to move at least, in half precision; 0 where nobody counted.
    pub gbyte_per_second: f64,
    pub tokens_per_second: f64,
}

/// Stands for the model in rows of [`ceilings`].
pub const CEILING: &str = "ceiling";

/// The models whose shapes are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Geometry {
    Minilm,
    BertLarge,
    Llama7b,
    T5_11b,
}

impl Geometry {
    pub fn architecture(self) -> Architecture {
        let name = match self {
            Self::Minilm => "minilm-l6",
            Self::BertLarge => "bert-large",
            Self::Llama7b => "llama2-7b",
            Self::T5_11b => "t5-11b",
        };
        preset(name).expect("a preset")
    }
}

/// Seconds of the fastest of `runs` runs, after one that is not counted.
fn fastest(runs: usize, mut run: impl FnMut()) -> f64 {
    run();
    let time = |_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    };
    (0..runs).map(time).fold(f64::INFINITY, f64::min)
}

pub fn made_up(len: usize, salt: u64) -> Vec<f32> {
    let stream = CounterStream::new(9, salt);
    (0..len as u64).map(|i| (stream.uniform(i) - 0.5) as f32).collect()
}

pub fn one_client(tokens: usize) -> Packing {
    Packing::new(vec![0, tokens], std::iter::once(0..1).collect())
}

/// `x W^T`, with a low-rank term of `rank` if it is not 0. Several products are queued and waited for once.
pub fn product<B: Backend>(backend: &B, model: &str, shape: [usize; 3], rank: usize, runs: usize) -> Row {
    let [rows, inputs, outputs] = shape;
    let weight = backend.matrix(&made_up(outputs * inputs, 1), outputs, inputs);
    let layer = Linear::<B> { weight, bias: Some(backend.upload(&made_up(outputs, 2))), inputs, outputs };
    let x = backend.upload(&made_up(rows * inputs, 3));
    let term = LoraSlot {
        a: 0,
        b: rank * inputs,
        rank,
        scale: 1.0,
        inputs,
        outputs,
        column: 0,
        reduced_column: 0,
        diagonal: None,
        magnitude: None,
        dropout: 0.0,
    };
    let slots = LinearSlots { lora: if rank > 0 { vec![term] } else { vec![] }, ..LinearSlots::default() };
    let stride = rank * (inputs + outputs);
    let values = backend.upload(&made_up(stride.max(1), 4));
    let (packing, mut cache, mut y) = (one_client(rows), LinearCache::default(), B::Buffer::default());
    const QUEUED: usize = 8;
    let seconds = fastest(runs, || {
        for _ in 0..QUEUED {
            let trainable = Trainable { values: &values, stride };
            let adapted = Adapted { slots: &slots, trainable, dropout: None, cache: &mut cache };
            backend.linear(&packing, &x, &layer, adapted, Epilogue::None, &mut y);
        }
        backend.read(&y, 1);
    }) / QUEUED as f64;
    let flop = 2.0 * rows as f64 * (inputs * outputs + rank * (inputs + outputs)) as f64;
    Row {
        what: if rank > 0 { format!("product with LoRA of rank {rank}") } else { "product".to_owned() },
        model: model.to_owned(),
        shape: format!("{rows}x{inputs}x{outputs}"),
        seconds,
        tflop_per_second: flop / seconds / 1e12,
        gbyte_per_second: 2.0 * (rows * inputs + inputs * outputs + rows * outputs) as f64 / seconds / 1e9,
        tokens_per_second: rows as f64 / seconds,
    }
}

/// What all other figures are to be held against: a large square product, and a large copy.
pub fn ceilings<B: Backend>(backend: &B, side: usize, runs: usize) -> Vec<Row> {
    let product = product(backend, CEILING, [side; 3], 0, runs);
    let len = side << 15;
    let (mut from, mut to) = (B::Buffer::default(), B::Buffer::default());
    backend.zero(&mut from, len);
    let seconds = fastest(runs, || {
        backend.copy(&from, len, &mut to);
        backend.read(&to, 1);
    });
    let copy = Row {
        what: "copy".to_owned(),
        model: CEILING.to_owned(),
        shape: len.to_string(),
        seconds,
        tflop_per_second: 0.0,
        gbyte_per_second: 4.0 * len as f64 / seconds / 1e9,
        tokens_per_second: 0.0,
    };
    vec![product, copy]
}

/// Attention of `sequences` sequences of `tokens` tokens.
pub fn attention<B: Backend>(backend: &B, a: &Architecture, sequences: usize, tokens: usize, runs: usize) -> Row {
    let causal = a.encoder_layers == 0;
    let scale = (a.head_dim as f64).sqrt().recip();
    let shape = AttentionShape { heads: a.heads, kv_heads: a.kv_heads, head_dim: a.head_dim, scale, causal };
    let rows = sequences * tokens;
    let packing = Packing::new((0..=sequences).map(|s| s * tokens).collect(), std::iter::once(0..sequences).collect());
    let row = shape.width() + 2 * shape.kv_width();
    let qkv = backend.upload(&made_up(rows * row, 5));
    let values = backend.upload(&[0.0]);
    let at = |column| Columns { buffer: &qkv, row, column };
    let input = AttentionInput {
        query: at(0),
        key: at(shape.width()),
        value: at(shape.width() + shape.kv_width()),
        keys: &packing,
        prefix: None,
        trainable: Trainable { values: &values, stride: 0 },
        bias: None,
        bias_table: None,
    };
    let (mut context, mut log_sum) = (B::Buffer::default(), B::Buffer::default());
    let seconds = fastest(runs, || {
        backend.attention(&packing, shape, &input, &mut context, &mut log_sum);
        backend.read(&context, 1);
    });
    let seen = if causal { 0.5 } else { 1.0 };
    let flop = 4.0 * seen * (sequences * tokens * tokens * shape.width()) as f64;
    Row {
        what: "attention".to_owned(),
        model: a.name.clone(),
        shape: format!("{sequences}x{tokens}x{}x{}", a.heads, a.head_dim),
        seconds,
        tflop_per_second: flop / seconds / 1e12,
        gbyte_per_second: 2.0 * (rows * (row + shape.width())) as f64 / seconds / 1e9,
        tokens_per_second: rows as f64 / seconds,
    }
}

/// Rows, inputs and outputs of the products of a block.
pub fn shapes(a: &Architecture, tokens: usize) -> [[usize; 3]; 4] {
    let (q, up) = (a.heads * a.head_dim, if a.gated_ffn { 2 * a.ffn } else { a.ffn });
    let qkv = q + 2 * a.kv_heads * a.head_dim;
    [[tokens, a.hidden, qkv], [tokens, q, a.hidden], [tokens, a.hidden, up], [tokens, a.ffn, a.hidden]]
}

/// The products of a block, alone and with LoRA of rank 8, and its attention.
pub fn kernels<B: Backend>(backend: &B, a: &Architecture, tokens: usize, runs: usize) -> Vec<Row> {
    let with = |shape: [usize; 3]| [0, 8].map(|rank| product(backend, &a.name, shape, rank, runs));
    let sequence = tokens.min(512);
    let mut rows: Vec<Row> = shapes(a, tokens).into_iter().flat_map(with).collect();
    rows.push(attention(backend, a, tokens / sequence, sequence, runs));
    rows
}

/// A model with random weights in the first `blocks` blocks of a geometry, and batches to train it on.
pub struct Bench<B: Backend> {
    model: Model<B>,
    layout: ParameterLayout,
    parameters: Vec<Vec<f32>>,
    batches: Vec<PackedBatch>,
}

impl<B: Backend> Bench<B> {
    /// LoRA of rank 8 on query and value, as in the examples of `peft`.
    pub fn new(backend: B, geometry: Geometry, blocks: usize, clients: usize, sequences: [usize; 2]) -> Self {
        let mut architecture = geometry.architecture();
        for layers in [&mut architecture.encoder_layers, &mut architecture.decoder_layers] {
            *layers = (*layers).min(blocks);
        }
        let objective = match architecture.family {
            Family::Bert => Objective::Classification { classes: 2 },
            _ => Objective::NextToken,
        };
        let lora = LoraConfig {
            rank_per_block: vec![8; architecture.blocks()],
            alpha: 16.0,
            targets: vec![Projection::Query, Projection::Value],
            scaling: LoraScaling::Rank,
            dropout: 0.0,
            variant: LoraVariant::Plain,
        };
        let layout = ParameterLayout::new(&architecture, &[PeftMethod::Lora(lora)], objective).expect("it fits");
        let weights = RandomWeights::new(Streams::new(1, 0));
        let model = Model::load(backend, &architecture, objective, &weights).expect("random weights");
        let initial = layout.initial(&Streams::new(2, 0), &weights).expect("starting values");
        let [count, tokens] = sequences;
        let batch = |client: usize| {
            let stream = CounterStream::new(7, client as u64);
            let token = |i: usize| (stream.bits(i as u64) % architecture.vocabulary as u64) as u32;
            let texts: Vec<Vec<u32>> =
                (0..count).map(|s| (0..tokens).map(|i| token(s * tokens + i)).collect()).collect();
            let mut batch = PackedBatch::pack(texts.iter().map(|t| (t.as_slice(), t[0] % 2)));
            if architecture.family == Family::T5 {
                let mut target = TargetText::new();
                texts.iter().for_each(|t| target.push(t));
                batch.decoder = Some(target);
            }
            batch
        };
        let batches = (0..clients).map(batch).collect();
        Self { model, layout, parameters: vec![initial; clients], batches }
    }

    fn items(&self) -> Vec<StackItem<'_>> {
        let items = self.parameters.iter().zip(&self.batches);
        items.map(|(p, b)| StackItem { loss_scale: 1024.0, ..StackItem::new(p, b) }).collect()
    }

    fn row(&self, what: &str, seconds: f64) -> Row {
        let a = self.model.architecture();
        let tokens: usize = self.batches.iter().map(PackedBatch::rows).sum();
        let in_blocks: u64 = (0..a.blocks()).map(|i| a.block_parameters(i)).sum();
        Row {
            what: what.to_owned(),
            model: a.name.clone(),
            shape: format!("{}x{}x{tokens}", a.blocks(), self.batches.len()),
            seconds,
            // Forward twice a parameter and token, and as much again for the gradient of the inputs.
            tflop_per_second: 4.0 * in_blocks as f64 * tokens as f64 / seconds / 1e12,
            gbyte_per_second: 0.0,
            tokens_per_second: tokens as f64 / seconds,
        }
    }

    /// All clients' gradients as one stack.
    pub fn stacked(&self, what: &str, runs: usize) -> Row {
        let items = self.items();
        self.row(what, fastest(runs, || drop(self.outcomes(&items))))
    }

    /// The same, one client after another.
    pub fn one_by_one(&self, what: &str, runs: usize) -> Row {
        let items = self.items();
        let each = || items.iter().for_each(|i| drop(self.outcomes(std::slice::from_ref(i))));
        self.row(what, fastest(runs, each))
    }

    fn outcomes(&self, items: &[StackItem<'_>]) -> Vec<StepOutcome> {
        let outcomes = self.model.loss_and_gradients(&self.layout, items);
        assert!(outcomes.iter().all(|o| o.loss.is_finite()), "a loss is not finite");
        outcomes
    }
}
