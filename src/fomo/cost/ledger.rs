//! The books of one part: what each operation costs forward and backward, and what it must keep.

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
    pub forward: Work,
    /// Gradients that backward needs as soon as it enters the part.
    pub inner_gradient: Work,
    /// Gradients that only lead to the part's own input.
    pub input_gradient: Work,
    /// Gradients of the part's own weights.
    pub weight_gradient: Work,
    /// Numbers that backward needs whatever trains: operands of products of two activations, inputs of non-linear
    /// operations.
    pub stored_elements: u64,
    /// Numbers that only the gradients of weights need: inputs of products with weights.
    pub stored_for_weights: u64,
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
            inner_gradient: Work::default(),
            input_gradient: Work::default(),
            weight_gradient: Work::default(),
            stored_elements: 0,
            stored_for_weights: 0,
            peak_elements: 0,
        }
    }

    /// For weights in two factors or in fewer bits than the model's.
    pub fn stored_in(mut self, rank: Option<u64>, bits: Option<u32>) -> Self {
        self.rank = rank;
        self.weight_bits = bits.map_or(self.weight_bits, u64::from);
        self
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

    /// A product with weights whose input was computed inside the part.
    pub fn linear(&mut self, linear: Linear) {
        let product = self.linear_work(linear);
        self.inner_gradient += product;
    }

    /// A product with weights that reads the part's own input.
    pub fn linear_from_input(&mut self, linear: Linear) {
        let product = self.linear_work(linear);
        self.input_gradient += product;
    }

    /// Products with several matrices that read the part's own input: one, unless each has factors of its own.
    pub fn linears_from_input(&mut self, rows: u64, inputs: u64, outputs: &[u64]) {
        let (together, each) = ([outputs.iter().sum()], outputs);
        let products: &[u64] = if self.rank.is_some() { each } else { &together };
        products.iter().for_each(|outputs| self.linear_from_input(Linear { rows, inputs, outputs: *outputs }));
    }

    /// The same of an input that was computed inside the part.
    pub fn linears(&mut self, rows: u64, inputs: u64, outputs: &[u64]) {
        let (together, each) = ([outputs.iter().sum()], outputs);
        let products: &[u64] = if self.rank.is_some() { each } else { &together };
        products.iter().for_each(|outputs| self.linear(Linear { rows, inputs, outputs: *outputs }));
    }

    /// A product of two activations of `left` and `right` elements into `output` elements; both operands are kept, and
    /// both get a gradient.
    pub fn activation_product(&mut self, flops: u64, left: u64, right: u64, output: u64) {
        let product = self.work(flops, left + right + output, 0, 1);
        self.forward += product;
        self.inner_gradient += product + product;
        self.stored_elements += left + right;
    }

    /// An element-wise operation or a reduction; `stored` is what its gradient needs.
    pub fn pointwise(&mut self, reads: u64, writes: u64, stored: u64) {
        let forward = self.work(0, reads + writes, 0, 1);
        let backward = self.work(0, writes + stored + reads, 0, 1);
        self.forward += forward;
        self.inner_gradient += backward;
        self.stored_elements += stored;
    }
}
