//! Where each trainable tensor lies in a client's flat vector of parameters, what it is called and how it starts.
//!
//! The vector holds what lies before the blocks, the blocks in order, then the head, so that a cut of the model is a
//! cut of the vector. Where several projections share one product whose own weights are trained, their weights lie end
//! to end in the order of the product's columns, and so do their biases: the product reads them as one matrix and one
//! vector. What several parts read lies where the checkpoint has it: a tied output matrix with the embedding, a stack's
//! relative position biases with its first block. Knows shapes and names, no arithmetic. Start with [`ParameterLayout::new`]; `check.rs` refuses what does not
//! fit, `block.rs` and `ends.rs` lay out, `initial.rs` fills in starting values.

mod block;
mod builder;
mod check;
mod ends;
mod initial;
#[cfg(test)]
mod slot_tests;

use super::slots::{BlockSlots, InputSlots, OutputSlots};
use super::{AdaptiveRanks, LoraVariant, NnError, PeftMethod};
use crate::backend::LoraSlot;
use crate::data::Objective;
use crate::fomo::Architecture;
pub use builder::{Group, Owner, TensorSpec};
pub use initial::Overlaid;
use std::ops::Range;

/// The lowest part of the model with trainable parameters; nothing below it needs a backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lowest {
    /// The embedding, or soft prompts in front of it.
    Input,
    Block(usize),
    Head,
}

/// All trainable parameters of a client in one vector.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    tensors: Vec<TensorSpec>,
    len: usize,
    input: InputSlots,
    blocks: Vec<BlockSlots>,
    output: OutputSlots,
    methods: Vec<PeftMethod>,
    objective: Objective,
}

impl ParameterLayout {
    /// The layout of `methods` together on `architecture`. Classification and regression add a linear head.
    ///
    /// # Errors
    /// If a method does not fit the architecture, two do not fit each other, the family cannot answer the objective, or
    /// nothing would be trained.
    pub fn new(architecture: &Architecture, methods: &[PeftMethod], objective: Objective) -> Result<Self, NnError> {
        let chosen = check::Chosen::new(architecture, methods)?;
        check::objective(architecture, objective)?;
        let mut builder = builder::Builder::default();
        let input = ends::input(&mut builder, architecture, &chosen);
        let (mut encoder_norm, mut bias_table) = (None, None);
        let mut blocks = Vec::with_capacity(architecture.blocks());
        for index in 0..architecture.blocks() {
            // It is stored with the first block of each stack, and read by all of them.
            if architecture.starts_stack(index) {
                bias_table = ends::relative_bias(&mut builder, architecture, &chosen, index);
            }
            blocks.push(block::slots(&mut builder, architecture, &chosen, index, bias_table));
            // It ends the encoder's last block, on whichever side of a cut that is.
            if index + 1 == architecture.encoder_layers {
                encoder_norm = ends::encoder_norm(&mut builder, architecture, &chosen, index);
            }
        }
        let output = OutputSlots {
            encoder_norm: encoder_norm.unwrap_or_default(),
            norm: ends::final_norm(&mut builder, architecture, &chosen),
            head: ends::head(&mut builder, architecture, &chosen, objective, input.embedding.words),
        };
        let (tensors, len) = builder.finish();
        if len == 0 {
            return Err(NnError::NothingToTrain);
        }
        Ok(Self { tensors, len, input, blocks, output, methods: methods.to_vec(), objective })
    }

    /// Number of trainable parameters.
    #[allow(clippy::len_without_is_empty)] // A layout that trains nothing is refused.
    pub fn len(&self) -> usize {
        self.len
    }

    /// All tensors, in order of their offsets and without gaps.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    pub fn objective(&self) -> Objective {
        self.objective
    }

    pub fn methods(&self) -> &[PeftMethod] {
        &self.methods
    }

    /// Soft prompts in front of every sequence.
    pub fn prompt_tokens(&self) -> usize {
        self.input.embedding.prompt.map_or(0, |p| p.tokens)
    }

    /// The entries that live on the device when the model is cut below block `split_point`: those before the blocks and
    /// those of blocks `0..split_point`, adjacent ranges merged.
    pub fn device_side(&self, split_point: usize) -> Vec<Range<usize>> {
        self.ranges_of(|owner| match owner {
            Owner::Input => true,
            Owner::Block(block) => block < split_point,
            Owner::Head => false,
        })
    }

    /// The entries that belong to the parts of the model that `chosen` names, adjacent ranges merged.
    pub fn ranges_of(&self, chosen: impl Fn(Owner) -> bool) -> Vec<Range<usize>> {
        let mut merged: Vec<Range<usize>> = Vec::new();
        for tensor in self.tensors.iter().filter(|t| chosen(t.owner)) {
            let range = tensor.range();
            match merged.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => merged.push(range),
            }
        }
        merged
    }

    /// The lowest part with trainable parameters.
    pub fn lowest_trainable(&self) -> Lowest {
        match self.tensors[0].owner {
            Owner::Input => Lowest::Input,
            Owner::Block(block) => Lowest::Block(block),
            Owner::Head => Lowest::Head,
        }
    }

    /// AdaLoRA's budget, if the ranks move.
    pub fn adaptive_ranks(&self) -> Option<AdaptiveRanks> {
        self.methods.iter().find_map(|method| match method {
            PeftMethod::Lora(config) => match config.variant {
                LoraVariant::Adaptive(ranks) => Some(ranks),
                LoraVariant::Plain | LoraVariant::Dora => None,
            },
            _ => None,
        })
    }

    /// Every low-rank term, block by block.
    pub fn lora_slots(&self) -> impl Iterator<Item = &LoraSlot> {
        self.blocks.iter().flat_map(|b| {
            [
                &b.attention.qkv,
                &b.attention.output,
                &b.cross.qkv,
                &b.cross.key_value,
                &b.cross.output,
                &b.ffn_up,
                &b.ffn_down,
            ]
            .into_iter()
            .flat_map(|product| &product.lora)
        })
    }

    pub(super) fn input(&self) -> &InputSlots {
        &self.input
    }

    pub(super) fn block(&self, block: usize) -> &BlockSlots {
        &self.blocks[block]
    }

    pub(super) fn output(&self) -> &OutputSlots {
        &self.output
    }
}
