//! One forward and backward pass that can be cut at any block: the unit of split learning and of parallel work.

use super::block::{Context, Gradients};
use super::workspace::Workspace;
use super::{Model, ParameterLayout};
use crate::backend::{Backend, HeadGradient, Packing, SequenceOutcome};
use crate::data::PackedBatch;
use std::ops::Range;

/// The sequences of one client that take part in a pass, with the client's trainable parameters.
#[derive(Clone)]
pub struct Share<'a> {
    /// As `ParameterLayout` describes.
    pub parameters: &'a [f32],
    pub batch: &'a PackedBatch,
    /// Which sequences of `batch`.
    pub sequences: Range<usize>,
}

/// A pass in progress: call `embed` or `set_hidden`, `forward_blocks`, `classify`, then `backward_blocks`.
///
/// When a model is cut at block `s`, the device's pass runs `embed` and `forward_blocks(0..s)`, the edge's pass takes
/// [`Pass::hidden`] by [`Pass::set_hidden`] and runs the rest, and the gradient travels back the same way. Bit for bit
/// the outcome is that of one uncut pass over the same shares.
pub struct Pass<'m, B: Backend> {
    model: &'m Model<B>,
    layout: &'m ParameterLayout,
    packing: Packing,
    tokens: Vec<u32>,
    labels: Vec<u32>,
    /// Weight of each sequence's loss: one over the size of the batch that it comes from.
    weights: Vec<f64>,
    training: bool,
    /// Present until the pass is dropped.
    workspace: Option<Workspace<B>>,
}

impl<B: Backend> Drop for Pass<'_, B> {
    fn drop(&mut self) {
        if let Some(workspace) = self.workspace.take() {
            self.model.return_workspace(workspace);
        }
    }
}

impl<B: Backend> Model<B> {
    /// Starts a pass over `shares`; with `training`, it keeps what the backward pass needs.
    ///
    /// # Panics
    /// If a share's parameters do not have the layout's length, or its sequences lie outside its batch.
    pub fn pass<'m>(&'m self, layout: &'m ParameterLayout, shares: &[Share<'_>], training: bool) -> Pass<'m, B> {
        let (mut tokens, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let (mut offsets, mut segments, mut parameters) = (vec![0], Vec::new(), Vec::new());
        for share in shares {
            assert_eq!(share.parameters.len(), layout.len(), "parameters of another layout");
            parameters.extend_from_slice(share.parameters);
            segments.push(labels.len()..labels.len() + share.sequences.len());
            for sequence in share.sequences.clone() {
                tokens.extend_from_slice(share.batch.sequence(sequence));
                offsets.push(tokens.len());
                labels.push(share.batch.labels[sequence]);
                weights.push(1.0 / share.batch.sequences() as f64);
            }
        }
        let mut workspace = self.take_workspace();
        self.backend.write(&parameters, &mut workspace.parameters);
        if training {
            self.backend.zero(&mut workspace.gradient, parameters.len());
        }
        let packing = Packing::new(offsets, segments);
        Pass { model: self, layout, packing, tokens, labels, weights, training, workspace: Some(workspace) }
    }
}

impl<B: Backend> Pass<'_, B> {
    fn workspace(&self) -> &Workspace<B> {
        self.workspace.as_ref().expect("present until dropped")
    }

    fn hidden_len(&self) -> usize {
        self.packing.rows() * self.model.architecture.hidden
    }

    /// Hidden states before block 0.
    pub fn embed(&mut self) {
        let Self { model, packing, tokens, .. } = self;
        let Workspace { hidden, scratch, .. } = self.workspace.as_mut().expect("present until dropped");
        let width = model.architecture.hidden;
        model.backend.embed(packing, tokens, &model.words, &model.positions, width, &mut scratch.narrow);
        model.backend.norm(packing, &scratch.narrow, None, &model.embedding_norm, hidden, None);
    }

    /// Runs the blocks in `range` on the current hidden states.
    pub fn forward_blocks(&mut self, range: Range<usize>) {
        let lowest = self.layout.lowest_trainable_block();
        let Workspace { parameters, hidden, blocks, shared, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (backend, packing, stride) = (&self.model.backend, &self.packing, self.layout.len());
        let context = Context { backend, packing, parameters, stride };
        for i in range {
            let keep = self.training && lowest.is_some_and(|lowest| i >= lowest);
            let cache = if keep { &mut blocks[i] } else { &mut *shared };
            std::mem::swap(&mut cache.input, hidden);
            self.model.blocks[i].forward(&context, self.layout.block(i), cache, scratch, keep, hidden);
        }
    }

    /// Classifies the current hidden states; in training, also starts the backward pass at the head.
    pub fn classify(&mut self) -> Vec<SequenceOutcome> {
        let Workspace { parameters, gradient, hidden, d_hidden, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let slot = self.layout.head();
        let gradient =
            self.training.then_some(HeadGradient { weights: &self.weights, parameters: gradient, hidden: d_hidden });
        self.model.backend.classify(&self.packing, hidden, slot, parameters, &self.labels, gradient)
    }

    /// Runs the blocks in `range` backwards, last first, down to the lowest that has trainable parameters.
    pub fn backward_blocks(&mut self, range: Range<usize>) {
        debug_assert!(self.training, "a pass without training keeps nothing to go back on");
        let Some(lowest) = self.layout.lowest_trainable_block() else { return };
        let Workspace { parameters, gradient, d_hidden, blocks, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (backend, packing, stride) = (&self.model.backend, &self.packing, self.layout.len());
        let context = Context { backend, packing, parameters, stride };
        for i in range.rev().take_while(|&i| i >= lowest) {
            let (block, slots) = (&self.model.blocks[i], self.layout.block(i));
            let gradients = Gradients { parameters: &mut *gradient, hidden: &mut *d_hidden };
            block.backward(&context, slots, &blocks[i], scratch, i > lowest, gradients);
        }
    }

    /// The current hidden states, `[tokens, hidden]`: what a device sends up.
    pub fn hidden(&self) -> Vec<f32> {
        self.model.backend.read(&self.workspace().hidden, self.hidden_len())
    }

    /// Continues from hidden states that another pass computed.
    pub fn set_hidden(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.hidden_len(), "hidden states of another batch");
        let workspace = self.workspace.as_mut().expect("present until dropped");
        self.model.backend.write(values, &mut workspace.hidden);
    }

    /// The current gradient of the hidden states: what an edge server sends down.
    pub fn hidden_gradient(&self) -> Vec<f32> {
        self.model.backend.read(&self.workspace().d_hidden, self.hidden_len())
    }

    /// Continues the backward pass from a gradient that another pass computed.
    pub fn set_hidden_gradient(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.hidden_len(), "a gradient of another batch");
        let workspace = self.workspace.as_mut().expect("present until dropped");
        self.model.backend.write(values, &mut workspace.d_hidden);
    }

    /// The gradient of the trainable parameters so far, one set of `layout.len()` a share.
    pub fn gradient(&self) -> Vec<f32> {
        let len = self.packing.segments().len() * self.layout.len();
        self.model.backend.read(&self.workspace().gradient, len)
    }
}
