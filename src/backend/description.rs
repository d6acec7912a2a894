//! What the arguments of a backend's operations mean: plain descriptions, no arithmetic.
//!
//! A *slot* says where a trainable tensor of a client lies in that client's flat parameters. A slot named after a frozen
//! tensor (`weight`, `bias`, `gain` ...) replaces that tensor by the client's own values. Products, norms and adapters are
//! here, attention and the two ends of a model in files of their own.

mod attention;
mod ends;

use super::Backend;
use crate::random::CounterStream;
pub use attention::{
    AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Columns, PrefixSlot, RelativeBias, Rotary,
};
pub use ends::{
    Content, Embedding, EmbeddingSlots, HeadGradient, HeadSlot, Pooling, PromptSlot, SequenceOutcome, Targets,
};
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

/// The clients' trainable parameters, `[segments, stride]`.
pub struct Trainable<'a, B: Backend> {
    pub values: &'a B::Buffer,
    /// Length of one client's parameters.
    pub stride: usize,
}

impl<B: Backend> Clone for Trainable<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend> Copy for Trainable<'_, B> {}

/// Which elements a dropout leaves out: a pure function of the client's key, the layer and the element's place in the
/// client's batch, so that neither chunks nor cuts nor threads change it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// One a segment: the client's key for this step, and the row of its batch that the segment starts with.
    pub masks: Vec<(CounterStream, u64)>,
}

/// A frozen affine map `y = x W^T + b`.
pub struct Linear<B: Backend> {
    pub weight: B::Matrix,
    pub bias: Option<B::Buffer>,
    pub inputs: usize,
    pub outputs: usize,
}

/// What is trainable about one [`Linear`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinearSlots {
    pub lora: Vec<LoraSlot>,
    /// The client's own `W`, `[outputs, inputs]`.
    pub weight: Option<usize>,
    /// The client's own `b`, `[outputs]`; only where the layer has a bias.
    pub bias: Option<usize>,
}

impl LinearSlots {
    /// Whether nothing is trainable.
    pub fn is_frozen(&self) -> bool {
        self.lora.is_empty() && self.weight.is_none() && self.bias.is_none()
    }

    /// Whether the gradient of the parameters needs the layer's input.
    pub fn reads_input(&self) -> bool {
        !self.lora.is_empty() || self.weight.is_some()
    }
}

/// One low-rank term `y[:, column..column + outputs] += scale * (drop(x) A^T) diag(E) B^T` (Hu et al. 2021); with
/// `magnitude` those columns become `m / |W + scale B A|` times product and term together, before the bias.
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
    /// Where `E` `[rank]` starts: the singular values of AdaLoRA (Zhang et al. 2023).
    pub diagonal: Option<usize>,
    /// Where `m` `[outputs]` starts: the magnitudes of DoRA (Liu et al. 2024). The norm `|W + scale B A|` of each row
    /// counts as a constant in the gradient (their section 4.3), as in Hugging Face's `peft`.
    pub magnitude: Option<usize>,
    /// Share of `x` that is dropped in training, on the way to `A` only.
    pub dropout: f64,
}

/// What the forward product leaves for the gradient.
pub struct LinearCache<B: Backend> {
    /// `drop(x) A^T` of every term, before `E`: `[rows, rank]` blocks one after another.
    pub reduced: B::Buffer,
    /// Of terms with magnitudes: product and term before the magnitude, `[rows, layer.outputs]`.
    pub product: B::Buffer,
    /// Of terms with magnitudes: `1 / |W + scale B A|`, `[segments, layer.outputs]`.
    pub inverse_norm: B::Buffer,
}

impl<B: Backend> Default for LinearCache<B> {
    fn default() -> Self {
        Self { reduced: B::Buffer::default(), product: B::Buffer::default(), inverse_norm: B::Buffer::default() }
    }
}

/// The trainable side of a forward product.
pub struct Adapted<'a, B: Backend> {
    pub slots: &'a LinearSlots,
    pub trainable: Trainable<'a, B>,
    /// `None` outside training.
    pub dropout: Option<&'a Dropout>,
    pub cache: &'a mut LinearCache<B>,
}

/// The trainable side of a product's gradient.
pub struct AdaptedGradient<'a, B: Backend> {
    pub slots: &'a LinearSlots,
    pub trainable: Trainable<'a, B>,
    pub dropout: Option<&'a Dropout>,
    pub cache: &'a LinearCache<B>,
    /// The product's input, `[rows, inputs]`; read only if [`LinearSlots::reads_input`].
    pub x: &'a B::Buffer,
    /// Working memory.
    pub scratch: &'a mut B::Buffer,
    /// `[segments, stride]`, added to.
    pub gradient: &'a mut B::Buffer,
}

/// What happens to a product's rows (bias and low-rank terms included) on the way to `y`.
pub enum Epilogue<'a, B: Backend> {
    /// Stored as they are.
    None,
    /// Added to what `y` holds: a residual connection.
    Accumulate,
    /// Through a nonlinearity; its derivative is kept when a buffer is given.
    Activation { kind: Activation, derivative: Option<&'a mut B::Buffer> },
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

/// A layer norm (Ba et al. 2016), or an RMS norm (Zhang and Sennrich 2019) where there is no mean to subtract.
pub struct Norm<B: Backend> {
    pub gain: B::Buffer,
    pub shift: Option<B::Buffer>,
    /// Whether the mean is subtracted and the variance taken around it.
    pub centred: bool,
    pub epsilon: f64,
    pub width: usize,
}

/// What is trainable about one [`Norm`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NormSlots {
    /// The client's own gain, `[width]`.
    pub gain: Option<usize>,
    /// The client's own shift, `[width]`; only where the norm has one.
    pub shift: Option<usize>,
}

impl NormSlots {
    pub fn is_frozen(&self) -> bool {
        self.gain.is_none() && self.shift.is_none()
    }
}

/// What a norm leaves for its gradient: the normalised rows `[rows, width]` and 1 / deviation `[rows]`.
pub struct NormCache<B: Backend> {
    pub normalised: B::Buffer,
    pub inverse_deviation: B::Buffer,
}

impl<B: Backend> Default for NormCache<B> {
    fn default() -> Self {
        Self { normalised: B::Buffer::default(), inverse_deviation: B::Buffer::default() }
    }
}

/// A vector of factors on `columns` columns: (IA)3 (Liu et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleSlot {
    pub factor: usize,
    pub columns: usize,
}

/// A bottleneck `y += scale * (act(x D^T + d) U^T + u)` (Houlsby et al. 2019; in parallel, He et al. 2022): `D`
/// `[bottleneck, width]`, `d`, `U` `[width, bottleneck]`, `u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterSlot {
    pub down_weight: usize,
    pub down_bias: usize,
    pub up_weight: usize,
    pub up_bias: usize,
    pub width: usize,
    pub bottleneck: usize,
    pub activation: Activation,
    pub scale: f64,
}

/// What an adapter leaves for its gradient, `[rows, bottleneck]` each.
pub struct AdapterCache<B: Backend> {
    pub activated: B::Buffer,
    pub derivative: B::Buffer,
}

impl<B: Backend> Default for AdapterCache<B> {
    fn default() -> Self {
        Self { activated: B::Buffer::default(), derivative: B::Buffer::default() }
    }
}
