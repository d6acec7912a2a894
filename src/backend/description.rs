//! What the arguments of a backend's operations mean: plain descriptions, no arithmetic.

use super::Backend;
use std::ops::Range;

/// The nonlinearity of a feed-forward layer or an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x Phi(x)` (Hendrycks and Gimpel 2016), exact.
    Gelu,
    /// The same by a hyperbolic tangent: GPT-2's `gelu_new`, T5 v1.1's `gated-gelu`.
    GeluTanh,
    /// `x / (1 + e^-x)`: the gate of SwiGLU (Shazeer 2020).
    Silu,
    Relu,
}

/// How rows belong to sequences and sequences to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Sequence `i` holds rows `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
    /// Sequences of each client, in order and without gaps; each client has its own set of trainable parameters.
    segments: Vec<Range<usize>>,
}

impl Packing {
    /// `offsets` starts at 0 and never falls; `segments` cover `0..offsets.len() - 1`.
    pub fn new(offsets: Vec<usize>, segments: Vec<Range<usize>>) -> Self {
        debug_assert!(offsets.first() == Some(&0) && offsets.is_sorted());
        debug_assert!(segments.iter().map(Range::len).sum::<usize>() == offsets.len() - 1);
        Self { offsets, segments }
    }

    /// Number of rows (tokens).
    pub fn rows(&self) -> usize {
        self.offsets[self.offsets.len() - 1]
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Rows of sequence `i`.
    pub fn sequence_rows(&self, i: usize) -> Range<usize> {
        self.offsets[i]..self.offsets[i + 1]
    }

    /// Rows of each sequence, in order.
    pub fn all_sequence_rows(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|w| w[0]..w[1])
    }

    /// Sequences of each client.
    pub fn segments(&self) -> &[Range<usize>] {
        &self.segments
    }

    /// Rows of each client, in order.
    pub fn segment_rows(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.segments.iter().map(|s| self.offsets[s.start]..self.offsets[s.end])
    }
}

/// A frozen affine map `y = x W^T + b`.
pub struct Linear<B: Backend> {
    pub weight: B::Matrix,
    pub bias: B::Buffer,
    pub inputs: usize,
    pub outputs: usize,
}

/// A frozen layer norm.
pub struct Norm<B: Backend> {
    pub gain: B::Buffer,
    pub shift: B::Buffer,
    pub epsilon: f64,
    pub width: usize,
}

/// What a layer norm leaves for its gradient: the normalised rows `[rows, width]` and 1 / deviation `[rows]`.
pub struct NormCache<B: Backend> {
    pub normalised: B::Buffer,
    pub inverse_deviation: B::Buffer,
}

impl<B: Backend> Default for NormCache<B> {
    fn default() -> Self {
        Self { normalised: B::Buffer::default(), inverse_deviation: B::Buffer::default() }
    }
}

/// One low-rank term `y[:, column..column + outputs] += scale * (x A^T) B^T` (Hu et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraSlot {
    /// Where `A` `[rank, inputs]` starts in a client's parameters.
    pub a: usize,
    /// Where `B` `[outputs, rank]` starts.
    pub b: usize,
    pub rank: usize,
    pub scale: f64,
    pub inputs: usize,
    pub outputs: usize,
    /// First column of `y` that the term is added to: not 0 where several projections share one product.
    pub column: usize,
    /// Sum of the ranks of the terms before this one in the same product: `x A^T` starts at `rows * reduced_column`.
    pub reduced_column: usize,
}

/// The low-rank terms of one product.
pub struct Lora<'a, B: Backend> {
    pub slots: &'a [LoraSlot],
    /// `[segments, stride]`: a set of trainable parameters a client.
    pub parameters: &'a B::Buffer,
    pub stride: usize,
    /// Receives `x A^T` of every term: `[rows, rank]` blocks one after another.
    pub reduced: &'a mut B::Buffer,
}

/// What the gradient of the low-rank terms of one product reads and writes.
pub struct LoraGradient<'a, B: Backend> {
    pub slots: &'a [LoraSlot],
    pub parameters: &'a B::Buffer,
    pub stride: usize,
    /// The product's input, `[rows, inputs]`.
    pub x: &'a B::Buffer,
    /// As left by the forward product.
    pub reduced: &'a B::Buffer,
    /// Scratch for `scale * dy B`, laid out like `reduced`.
    pub d_reduced: &'a mut B::Buffer,
    /// `[segments, stride]`, added to.
    pub gradient: &'a mut B::Buffer,
}

/// What happens to a product's rows before they are stored.
pub enum Epilogue<'a, B: Backend> {
    /// Stored as they are.
    None,
    /// `x Phi(x)`, the exact GELU (Hendrycks and Gimpel 2016); its derivative is kept when a buffer is given.
    Gelu { derivative: Option<&'a mut B::Buffer> },
}

/// How the input gradient of a product is combined with what is there.
pub enum GradientEpilogue<'a, B: Backend> {
    /// Not wanted and not computed.
    Skip,
    Overwrite,
    /// Added to `dx`.
    Accumulate,
    /// Overwritten with the gradient times this buffer: the derivative of the activation that produced `x`.
    Multiply(&'a B::Buffer),
}

/// Geometry of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    pub heads: usize,
    pub head_dim: usize,
    /// Factor of the scores before the softmax, usually `1 / sqrt(head_dim)`.
    pub scale: f64,
}

impl AttentionShape {
    /// `heads * head_dim`.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// Where the classifier lies in a client's parameters: weight `[classes, width]`, bias `[classes]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSlot {
    pub weight: usize,
    pub bias: usize,
    pub width: usize,
    pub classes: usize,
    /// Length of a client's parameters.
    pub stride: usize,
}

/// What the classifier says about one sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequenceOutcome {
    /// Cross entropy in nats.
    pub loss: f64,
    /// Class with the largest logit, the lowest of equals.
    pub prediction: u32,
}
