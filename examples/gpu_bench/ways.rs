//! The ways of large products beside each other: in turn, on the same operands, each the fastest of several runs.

use super::measure::{Row, made_up, one_client, shapes};
use deft::backend::cuda::{Buffer, Cuda, LargeProducts};
use deft::backend::{
    Adapted, AdaptedGradient, Backend, Epilogue, GradientEpilogue, Linear, LinearCache, LinearSlots, Packing, Trainable,
};
use deft::fomo::Architecture;
use std::time::Instant;

/// Products that are queued and waited for once.
const QUEUED: usize = 8;

const WAYS: [(&str, LargeProducts); 3] = [
    ("mma.sync", LargeProducts { warpgroups: false, tensor_copies: false }),
    ("wgmma", LargeProducts { warpgroups: true, tensor_copies: false }),
    ("wgmma and TMA", LargeProducts { warpgroups: true, tensor_copies: true }),
];

/// Those of a block of an architecture.
pub fn of_block(cuda: &Cuda, a: &Architecture, tokens: usize, runs: usize) -> Vec<Row> {
    shapes(a, tokens).into_iter().flat_map(|shape| of_layer(cuda, &a.name, shape, [runs, QUEUED])).collect()
}

/// The three products of a layer of `rows`, inputs and outputs: forward (NT), its input's gradient (NN), its weights' (TN).
pub fn of_layer(cuda: &Cuda, model: &str, shape: [usize; 3], [runs, queued]: [usize; 2]) -> Vec<Row> {
    let mut layer = Layer::new(cuda, shape);
    let ways: Vec<(&str, Cuda)> = WAYS
        .iter()
        .map(|(name, way)| (*name, cuda.with_at_most(*way), *way))
        .filter(|(_, with, way)| with.large_products() == *way)
        .map(|(name, with, _)| (name, with))
        .collect();
    type Product = fn(&mut Layer, &Cuda);
    let kinds = [
        ("NT", Layer::forward as Product),
        ("NN", Layer::input_gradient as Product),
        ("TN", Layer::weight_gradient as Product),
    ];
    let mut rows = vec![];
    for (kind, product) in kinds {
        let mut fastest = vec![f64::INFINITY; ways.len()];
        // The first is not counted: kernels are loaded.
        for run in 0..=runs {
            for ((_, way), best) in ways.iter().zip(&mut fastest) {
                let started = Instant::now();
                (0..queued).for_each(|_| product(&mut layer, way));
                way.read(&layer.y, 1);
                if run > 0 {
                    *best = best.min(started.elapsed().as_secs_f64() / queued as f64);
                }
            }
        }
        let named = ways.iter().map(|(name, _)| *name).zip(fastest);
        rows.extend(named.map(|(way, seconds)| layer.row(&format!("{kind} by {way}"), model, seconds)));
    }
    rows
}

struct Layer {
    shape: [usize; 3],
    packing: Packing,
    frozen: Linear<Cuda>,
    x: Buffer,
    dy: Buffer,
    /// The weights as a client's own.
    own: Buffer,
    cache: LinearCache<Cuda>,
    scratch: Buffer,
    y: Buffer,
    dx: Buffer,
    gradient: Buffer,
}

impl Layer {
    fn new(cuda: &Cuda, shape: [usize; 3]) -> Self {
        let [rows, inputs, outputs] = shape;
        let weight = made_up(outputs * inputs, 1);
        let (x, dy) = (cuda.upload(&made_up(rows * inputs, 3)), cuda.upload(&made_up(rows * outputs, 4)));
        let frozen = Linear { weight: cuda.matrix(&weight, outputs, inputs), bias: None, inputs, outputs };
        let (mut y, mut dx, mut gradient) = (Buffer::default(), Buffer::default(), Buffer::default());
        cuda.zero(&mut y, rows * outputs);
        cuda.zero(&mut dx, rows * inputs);
        cuda.zero_sums(&mut gradient, outputs * inputs);
        let (own, packing) = (cuda.upload(&weight), one_client(rows));
        let (cache, scratch) = (LinearCache::default(), Buffer::default());
        Self { shape, packing, frozen, x, dy, own, cache, scratch, y, dx, gradient }
    }

    fn forward(&mut self, cuda: &Cuda) {
        let trainable = Trainable { values: &self.own, stride: 0 };
        let slots = LinearSlots::default();
        let adapted = Adapted { slots: &slots, trainable, dropout: None, cache: &mut self.cache };
        cuda.linear(&self.packing, &self.x, &self.frozen, adapted, Epilogue::None, &mut self.y);
    }

    fn input_gradient(&mut self, cuda: &Cuda) {
        self.backward(cuda, &LinearSlots::default(), GradientEpilogue::Overwrite);
    }

    fn weight_gradient(&mut self, cuda: &Cuda) {
        self.backward(cuda, &LinearSlots { weight: Some(0), ..LinearSlots::default() }, GradientEpilogue::Skip);
    }

    fn backward(&mut self, cuda: &Cuda, slots: &LinearSlots, epilogue: GradientEpilogue<'_, Cuda>) {
        let [_, inputs, outputs] = self.shape;
        let adapted = AdaptedGradient {
            slots,
            trainable: Trainable { values: &self.own, stride: inputs * outputs },
            dropout: None,
            cache: &self.cache,
            x: &self.x,
            scratch: &mut self.scratch,
            gradient: &mut self.gradient,
        };
        cuda.linear_gradient(&self.packing, &self.dy, &self.frozen, adapted, epilogue, &mut self.dx);
    }

    fn row(&self, what: &str, model: &str, seconds: f64) -> Row {
        let [rows, inputs, outputs] = self.shape;
        Row {
            what: what.to_owned(),
            model: model.to_owned(),
            shape: format!("{rows}x{inputs}x{outputs}"),
            seconds,
            tflop_per_second: 2.0 * (rows * inputs * outputs) as f64 / seconds / 1e12,
            gbyte_per_second: 2.0 * (rows * inputs + inputs * outputs + rows * outputs) as f64 / seconds / 1e9,
            tokens_per_second: rows as f64 / seconds,
        }
    }
}
