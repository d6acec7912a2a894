//! The way back: blocks, last first, then the embedding.

use super::{Pass, context, first_decoder_block};
use crate::backend::{AdaptedGradient, Backend, Content, GradientEpilogue, Trainable};
use crate::nn::Lowest;
use crate::nn::block::Gradients;
use crate::nn::workspace::{Scratch, Workspace};
use std::ops::Range;

impl<B: Backend> Pass<'_, B> {
    /// Runs the blocks in `range` backwards, last first, down to the lowest that has trainable parameters; from block 0
    /// on down to the embedding, if this pass did that too.
    pub fn backward_blocks(&mut self, range: Range<usize>) {
        debug_assert!(self.training, "a pass without training keeps nothing to go back on");
        let whole_input = range.start == 0;
        self.backward_to_input_of(range);
        if whole_input && self.embedded && self.layout.lowest_trainable() == Lowest::Input {
            self.input_gradient();
        }
    }

    /// As [`Pass::backward_blocks`], never on down to the embedding.
    pub(in crate::nn) fn backward_to_input_of(&mut self, range: Range<usize>) {
        let (lowest, first_decoder_block) = (self.layout.lowest_trainable(), first_decoder_block(self.model));
        for i in range.rev().take_while(|&i| lowest <= Lowest::Block(i)) {
            if i + 1 == first_decoder_block {
                self.encoder_norm_gradient();
            }
            let Self { model, layout, rows, channel, workspace, .. } = &mut *self;
            let Workspace { parameters, gradient, d_hidden, memory, d_memory, blocks, scratch, .. } =
                workspace.as_mut().expect("present until dropped");
            let context = context(model, layout, rows, channel.as_ref(), i, parameters, memory);
            let memory = (i >= first_decoder_block && lowest < Lowest::Block(first_decoder_block)).then_some(d_memory);
            let gradients = Gradients { parameters: gradient, hidden: d_hidden, memory };
            let input_wanted = lowest < Lowest::Block(i);
            model.blocks[i].backward(&context, layout.block(i), &blocks[i], scratch, input_wanted, gradients);
            if i == first_decoder_block && input_wanted {
                self.decoder_input_gradient();
            }
        }
    }

    /// From the gradient of the encoder's output to that of its last block's.
    fn encoder_norm_gradient(&mut self) {
        let Some(norm) = &self.model.encoder_norm else { return };
        let Workspace { parameters, gradient, d_hidden, encoder_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (packing, slots) = (&self.rows.main.packing, self.layout.output().encoder_norm);
        let trainable = Trainable { values: parameters, stride: self.model.stride(self.layout) };
        let (backend, dx) = (&self.model.backend, &mut scratch.narrow);
        backend.norm_gradient(packing, d_hidden, norm, encoder_norm, slots, trainable, gradient, false, dx);
        std::mem::swap(d_hidden, dx);
    }

    /// The decoder's own embedding gets its gradient; going on below is the encoder's output.
    fn decoder_input_gradient(&mut self) {
        let width = self.width();
        let Workspace { gradient, d_hidden, d_memory, .. } = self.workspace.as_mut().expect("present until dropped");
        let decoder = self.rows.decoder.as_ref().expect("an encoder-decoder's batch has targets");
        let slots = self.layout.input().embedding.without_prompt();
        if !slots.is_frozen() {
            let content = Content::Tokens(&decoder.tokens);
            let (backend, stride) = (&self.model.backend, self.model.stride(self.layout));
            backend.embed_gradient(&decoder.packing, content, &slots, false, width, d_hidden, stride, gradient, None);
        }
        std::mem::swap(d_hidden, d_memory);
    }

    /// From the gradient of block 0's input to the parameters of the embedding.
    fn input_gradient(&mut self) {
        let width = self.width();
        let Self { model, layout, rows, .. } = self;
        let Workspace { parameters, gradient, d_hidden, patches, pixels, projected, embedding_norm, scratch, .. } =
            self.workspace.as_mut().expect("present until dropped");
        let (backend, slots, packing) = (&model.backend, layout.input(), &rows.main.packing);
        let trainable = Trainable { values: parameters, stride: model.stride(layout) };
        let Scratch { narrow, output: d_patches, linear, .. } = scratch;
        let d_out = match &model.embedding_norm {
            None => &*d_hidden,
            Some(norm) => {
                let dy = &*d_hidden;
                backend.norm_gradient(
                    packing,
                    dy,
                    norm,
                    embedding_norm,
                    slots.norm,
                    trainable,
                    gradient,
                    false,
                    narrow,
                );
                &*narrow
            }
        };
        let (class, stride) = (model.embedding.class_token.is_some(), model.stride(layout));
        let embedding = &slots.embedding;
        match (&model.patches, &rows.patches) {
            (Some(layer), Some(patch_packing)) => {
                let content = Content::Patches(projected);
                let below = (!slots.patches.is_frozen()).then_some(&mut *d_patches);
                backend.embed_gradient(packing, content, embedding, class, width, d_out, stride, gradient, below);
                if !slots.patches.is_frozen() {
                    let (slots, x) = (&slots.patches, &*pixels);
                    let adapted = AdaptedGradient {
                        slots,
                        trainable,
                        dropout: None,
                        cache: patches,
                        x,
                        scratch: linear,
                        gradient,
                    };
                    let dx = &mut scratch.wide;
                    backend.linear_gradient(patch_packing, d_patches, layer, adapted, GradientEpilogue::Skip, dx);
                }
            }
            _ => {
                let content = Content::Tokens(&rows.main.tokens);
                backend.embed_gradient(packing, content, embedding, class, width, d_out, stride, gradient, None);
            }
        }
    }
}
