//! Tensors one after another in a flat vector.

use super::super::Selection;
use super::initial::{Initial, Origin};
use crate::backend::NormSlots;
use std::ops::Range;

/// The part of the model that a trainable tensor belongs to, which decides on which side of a split it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// What lies before the first block: always with the device.
    Input,
    Block(usize),
    /// What lies after the last block: always with the edge.
    Head,
}

/// What a tensor is for: a new head may have its own learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What PEFT adds, and the model's own parameters.
    Peft,
    /// The linear head of a classification or regression.
    Head,
}

/// One trainable tensor: `rows * columns` values from `offset` on, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The checkpoint's name for the model's own parameters; for added ones as Hugging Face's `peft` has it where it
    /// has one, such as `encoder.layer.3.attention.self.query.lora_A`.
    pub name: String,
    /// `[rows, columns]`; a vector has one row.
    pub shape: [usize; 2],
    pub offset: usize,
    pub owner: Owner,
    pub group: Group,
    pub(super) initial: Initial,
}

impl TensorSpec {
    /// Its place in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape[0] * self.shape[1]
    }
}

#[derive(Default)]
pub(super) struct Builder {
    tensors: Vec<TensorSpec>,
    len: usize,
}

impl Builder {
    /// Appends a tensor and returns its offset.
    pub fn push(&mut self, name: impl Into<String>, shape: [usize; 2], owner: Owner, initial: Initial) -> usize {
        self.push_in(Group::Peft, name.into(), shape, owner, initial)
    }

    /// The same for a tensor of the linear head.
    pub fn push_head(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> usize {
        self.push_in(Group::Head, name.into(), shape, Owner::Head, initial)
    }

    fn push_in(&mut self, group: Group, name: String, shape: [usize; 2], owner: Owner, initial: Initial) -> usize {
        let offset = self.len;
        self.tensors.push(TensorSpec { name, shape, offset, owner, group, initial });
        self.len += shape[0] * shape[1];
        offset
    }

    /// One of the model's own vectors, stored under the name that it has here.
    pub fn own_vector(&mut self, name: String, width: usize, owner: Owner) -> usize {
        let origin = Origin::whole(&name, vec![width]);
        self.push(name, [1, width], owner, Initial::Own(origin))
    }

    /// The trained part of the norm called `module`.
    pub fn norm(
        &mut self,
        module: &str,
        width: usize,
        owner: Owner,
        selection: Option<Selection>,
        has_shift: bool,
    ) -> NormSlots {
        let Some(selection) = selection else { return NormSlots::default() };
        let gain = (selection != Selection::Biases).then(|| self.own_vector(format!("{module}.weight"), width, owner));
        let shift = has_shift.then(|| self.own_vector(format!("{module}.bias"), width, owner));
        NormSlots { gain, shift }
    }

    /// The tensors and their length together.
    pub fn finish(self) -> (Vec<TensorSpec>, usize) {
        (self.tensors, self.len)
    }
}
