//! Emulators: smaller stand-ins for a model, against which adapters are tuned that then go into the model itself.
//!
//! Xiao, Lin and Han 2023, "Offsite-tuning: transfer learning without full model" (arXiv 2302.04870): the first and the
//! last blocks stay as they are and carry the adapters; the blocks between them are frozen and compressed. Plain
//! arithmetic on tensors: nothing here knows who downloads an emulator or how long that takes.
//!
//! An [`Emulator`] says what is left of a model; [`EmulatorSource`] hands out its tensors under the names of a model
//! with as many blocks as are left, so that it is loaded like any other.

mod blocks;
pub mod low_rank;
mod matrix;
pub mod quantise;
mod remainder;
mod source;
mod spec;
mod storage;
mod width;

pub use blocks::kept_blocks;
pub use remainder::Remainder;
pub use source::EmulatorSource;
pub use spec::{EmulatorSpec, Quantisation, QuantisationScope};
pub(crate) use storage::{Storage, table_bytes};

use super::architecture::Architecture;
use super::tensor_source::{CheckpointError, TensorSource};

/// What is left of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Emulator {
    spec: EmulatorSpec,
    full: Architecture,
    architecture: Architecture,
    kept: Vec<usize>,
}

impl Emulator {
    /// The emulator of `full` that `spec` describes.
    pub fn new(full: &Architecture, spec: &EmulatorSpec) -> Self {
        let kept = kept_blocks(full.blocks(), spec.tuned_blocks, spec.keep_blocks);
        let encoder_layers = kept.iter().filter(|block| **block < full.encoder_layers).count();
        let architecture = Architecture { encoder_layers, decoder_layers: kept.len() - encoder_layers, ..full.clone() };
        Self { spec: spec.clone(), full: full.clone(), architecture, kept }
    }

    pub fn spec(&self) -> &EmulatorSpec {
        &self.spec
    }

    /// The model of which this is an emulator.
    pub fn full(&self) -> &Architecture {
        &self.full
    }

    /// The model with the blocks that are left.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Which block of the full model each block of the emulator stands for, ascending.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Whether it is the full model after all.
    pub fn removes_nothing(&self) -> bool {
        self.kept.len() == self.full.blocks()
            && self.table_bits().is_none()
            && !(0..self.kept.len()).any(|b| self.alters(b))
    }

    /// Where its hidden states should be those of the model: blocks of the emulator, each right behind a compressed one, and
    /// the blocks of the model before which the same states are. One behind the last is behind all.
    pub fn boundaries(&self) -> Vec<(usize, usize)> {
        let (own_blocks, tuned) = (self.kept.len(), self.spec.tuned_blocks);
        let in_full = |own: usize| match self.kept.get(own) {
            // An encoder's output, whatever is left of the decoder.
            _ if own == self.architecture.encoder_layers => self.full.encoder_layers,
            Some(block) => *block,
            None => self.full.blocks(),
        };
        (tuned + 1..=own_blocks - tuned).map(|own| (own, in_full(own))).collect()
    }

    /// The same blocks of the model, nothing compressed.
    pub fn uncompressed(&self) -> Self {
        let EmulatorSpec { tuned_blocks, keep_blocks, .. } = self.spec;
        let whole = EmulatorSpec::whole(self.full.blocks());
        Self { spec: EmulatorSpec { tuned_blocks, keep_blocks, ..whole }, ..self.clone() }
    }

    /// The same with matrices in place of factors.
    pub fn without_factors(&self) -> Self {
        Self { spec: EmulatorSpec { rank: None, ..self.spec.clone() }, ..self.clone() }
    }

    /// Whether block `own` of the emulator lies between the tuned ones.
    pub(crate) fn is_compressed(&self, own: usize) -> bool {
        let tuned = self.spec.tuned_blocks;
        tuned <= own && own + tuned < self.kept.len()
    }

    /// Whether block `own` differs from the block that it stands for.
    pub(crate) fn alters(&self, own: usize) -> bool {
        let smaller = self.spec.narrows() || self.spec.rank.is_some();
        self.bits(own).is_some() || smaller && self.is_compressed(own)
    }

    /// Bits of the matrices of block `own`.
    pub(crate) fn bits(&self, own: usize) -> Option<u32> {
        let applies = |q: &Quantisation| q.scope == QuantisationScope::Everything || self.is_compressed(own);
        self.spec.quantisation.filter(applies).map(|q| q.bits)
    }

    /// Bits of the tables outside the blocks.
    pub(crate) fn table_bits(&self) -> Option<u32> {
        self.spec.quantisation.filter(|q| q.scope == QuantisationScope::Everything).map(|q| q.bits)
    }

    /// The values of `entries`, one a block of the full model, in the blocks that are left.
    pub fn of_kept<T: Clone>(&self, entries: &[T]) -> Vec<T> {
        self.kept.iter().map(|block| entries[*block].clone()).collect()
    }

    /// The emulator's tensors, made from those of the full model.
    ///
    /// # Errors
    /// If a matrix that decides what is pruned cannot be read.
    pub fn source<'a>(&'a self, full: &'a dyn TensorSource) -> Result<EmulatorSource<'a>, CheckpointError> {
        EmulatorSource::new(self, full)
    }
}
