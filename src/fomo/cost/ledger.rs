//! The books of one part: what each operation costs forward and backward, and what it must keep.

use super::stage::{ByStage, Stage};
use crate::compute::{Precision, Work};
use crate::fomo::emulator::low_rank;

/// Running totals. FLOPs are those of products, 2 m n k each; everything else counts through the bytes that it moves,
/// every operation reading its inputs and writing its output once.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    weight_bits: u64,
    /// Matrices are held as two factors of this rank where that is smaller.
    rank: Option<u64>,
    activation_bytes: u64,
    stage: Stage,
    /// Whether attention keeps no probabilities.
    pub fused: bool,
    pub forward: Work,
    /// Gradients of what each stage reads.
    pub gradients: ByStage<Work>,
    /// Gradient of the encoder's output, which a decoder block reads.
    pub source_gradient: Work,
    /// Gradients of the part's own weights.
    pub weight_gradient: Work,
    /// Numbers that backward needs whatever trains: operands of products of two activations, inputs of non-linear
    /// operations.
    pub stored_elements: u64,
    /// Numbers that only the gradients of weights need: inputs of products with weights.
    pub stored_for_weights: u64,
    /// Scores of queries on keys with a relative position.
    pub positioned_scores: u64,
    /// Most numbers that one operation reads and writes: the working buffer.
    pub peak_elements: u64,
}

/// A product of a matrix of activations, `rows` x `inputs`, with weights, `inputs` x `outputs`.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    pub rows: u64,
    pub inputs: u64,
    pub outputs: u64,
}

impl Ledger {
    pub fn new(weights: Precision, activations: Precision) -> Self {
        Self {
            weight_bits: 8 * weights.bytes(),
            rank: None,
            activation_bytes: activations.bytes(),
            forward: Work::default(),
            gradients: ByStage::default(),
            source_gradient: Work::default(),
            stage: Stage::Input,
            fused: false,
            weight_gradient: Work::default(),
            stored_elements: 0,
            stored_for_weights: 0,
            positioned_scores: 0,
            peak_elements: 0,
        }
    }

    /// For weights in two factors or in fewer bits than the model's.
    pub fn stored_in(mut self, rank: Option<u64>, bits: Option<u32>) -> Self {
        self.rank = rank;
        self.weight_bits = bits.map_or(self.weight_bits, u64::from);
        self
    }

    /// What follows happens there.
    pub fn at(&mut self, stage: Stage) {
        self.stage = stage;
    }

    fn work(&mut self, flops: u64, elements: u64, other_bytes: u64, kernels: u32) -> Work {
        self.peak_elements = self.peak_elements.max(elements);
        Work { flops: flops as f64, bytes: (elements * self.activation_bytes + other_bytes) as f64, kernels }
    }

    fn linear_work(&mut self, linear: Linear) -> Work {
        let Linear { rows, inputs, outputs } = linear;
        match self.rank.filter(|rank| low_rank::saves(outputs, inputs, *rank)) {
            Some(rank) => {
                let inner = self.dense_work(Linear { rows, inputs, outputs: rank });
                inner + self.dense_work(Linear { rows, inputs: rank, outputs })
            }
            None => self.dense_work(linear),
        }
    }

    fn dense_work(&mut self, Linear { rows, inputs, outputs }: Linear) -> Work {
        let gradient_bytes = inputs * outputs * Precision::Fp32.bytes();
        let weights = inputs * outputs * self.weight_bits / 8;
        let (flops, elements) = (2 * rows * inputs * outputs, rows * (inputs + outputs));
        let product = self.work(flops, elements, weights, 1);
        self.forward += product;
        self.weight_gradient += Work { bytes: product.bytes - weights as f64 + gradient_bytes as f64, ..product };
        self.stored_for_weights += rows * inputs;
        product
    }

    /// A product with weights.
    pub fn linear(&mut self, linear: Linear) {
        let product = self.linear_work(linear);
        self.gradients[self.stage] += product;
    }

    /// Products of one input with several matrices: one, unless each has factors of its own.
    pub fn linears(&mut self, rows: u64, inputs: u64, outputs: &[u64]) {
        let product = self.linears_work(rows, inputs, outputs);
        self.gradients[self.stage] += product;
    }

    /// The same of the encoder's output.
    pub fn linears_from_source(&mut self, rows: u64, inputs: u64, outputs: &[u64]) {
        let product = self.linears_work(rows, inputs, outputs);
        self.source_gradient += product;
    }

    fn linears_work(&mut self, rows: u64, inputs: u64, outputs: &[u64]) -> Work {
        let (together, each) = ([outputs.iter().sum()], outputs);
        let products: &[u64] = if self.rank.is_some() { each } else { &together };
        products.iter().map(|outputs| self.linear_work(Linear { rows, inputs, outputs: *outputs })).sum()
    }

    /// A product of two activations of `left` and `right` elements into `output` elements; both operands are kept, and
    /// both get a gradient.
    pub fn activation_product(&mut self, flops: u64, left: u64, right: u64, output: u64) {
        let product = self.work(flops, left + right + output, 0, 1);
        self.forward += product;
        self.gradients[self.stage] += product + product;
        self.stored_elements += left + right;
    }

    /// Attention as one operation that keeps its output and a logarithm a query and head, and computes the scores again on the way
    /// back (Dao et al. 2022). `product_flops` are those of either of its products; `inputs` are queries, keys and values.
    pub fn fused_attention(&mut self, product_flops: u64, inputs: u64, output: u64, logarithms: u64) {
        let forward = self.work(2 * product_flops, inputs + output + logarithms, 0, 1);
        let backward = self.work(5 * product_flops, 2 * inputs + 2 * output + logarithms, 0, 1);
        self.forward += forward;
        self.gradients[self.stage] += backward;
        self.stored_elements += inputs + output + logarithms;
    }

    /// Sums of the gradients of scores by relative position, into a table of `entries`; a fused attention takes them where it
    /// computes the gradients.
    pub fn position_sums(&self, entries: u64) -> Work {
        let read = if self.fused { 0 } else { self.positioned_scores * self.activation_bytes };
        let bytes = (read + entries * Precision::Fp32.bytes()) as f64;
        Work { flops: 0.0, bytes, kernels: 1 }
    }

    /// What follows reads the same `elements` as the products before, and fused passes keep them whatever trains: `already` where
    /// something else keeps them.
    pub fn input_is_kept(&mut self, elements: u64, already: bool) {
        if self.fused {
            self.stored_for_weights -= elements;
            self.stored_elements += if already { 0 } else { elements };
        }
    }

    /// An element-wise operation or a reduction; `stored` is what its gradient needs.
    pub fn pointwise(&mut self, reads: u64, writes: u64, stored: u64) {
        let forward = self.work(0, reads + writes, 0, 1);
        let backward = self.work(0, writes + stored + reads, 0, 1);
        self.forward += forward;
        self.gradients[self.stage] += backward;
        self.stored_elements += stored;
    }
}
