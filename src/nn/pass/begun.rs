//! A pass that stands inside a block: behind its attention, or with the frozen part of a product done. What lies below is
//! frozen, and is kept from one epoch to the next (`frozen_prefix.rs`).

use super::{Pass, context};
use crate::backend::Backend;
use crate::nn::block::Product;
use crate::nn::workspace::Workspace;

/// What is done of the block that comes next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begun {
    /// Its attention: the hidden states are what its feed-forward layer reads.
    pub attended: bool,
    /// The frozen part of the first product behind these hidden states.
    pub product: Option<Product>,
}

impl<B: Backend> Pass<'_, B> {
    /// The next block's attention alone, which must be frozen.
    pub(in crate::nn) fn attend(&mut self) {
        let i = self.position;
        let Self { model, layout, rows, channel, workspace, .. } = &mut *self;
        let Workspace { parameters, hidden, memory, shared, scratch, .. } =
            workspace.as_mut().expect("present until dropped");
        let context = context(model, layout, rows, channel.as_ref(), i, parameters, memory);
        model.blocks[i].attend(&context, layout.block(i), shared, scratch, false, hidden);
        self.begun.attended = true;
    }

    /// The hidden states are those behind the next block's attention.
    pub(in crate::nn) fn set_attended(&mut self) {
        self.begun.attended = true;
    }

    /// Computes the frozen part of the next product; returns its values, `[rows, columns]`, if the backend has them apart.
    pub(in crate::nn) fn begin_product(&mut self) -> Option<Vec<f32>> {
        let (i, keep, attended) = self.next();
        let Self { model, layout, rows, channel, workspace, .. } = &mut *self;
        let Workspace { parameters, hidden, memory, blocks, shared, scratch, .. } =
            workspace.as_mut().expect("present until dropped");
        let context = context(model, layout, rows, channel.as_ref(), i, parameters, memory);
        let cache = if keep { &mut blocks[i] } else { shared };
        let (block, slots) = (&model.blocks[i], layout.block(i));
        if !block.begin(&context, slots, cache, scratch, (keep, attended), hidden) {
            return None;
        }
        let (product, values) = block.product(slots, cache, scratch, (keep, attended));
        let values = model.backend.read(values, rows.main.packing.rows() * block.product_width(attended));
        self.begun.product = Some(product);
        Some(values)
    }

    /// Takes the frozen part of the next product from an earlier pass over the same sequences.
    pub(in crate::nn) fn set_product(&mut self, values: &[f32]) {
        let (i, keep, attended) = self.next();
        let Self { model, layout, workspace, .. } = &mut *self;
        let Workspace { blocks, shared, scratch, .. } = workspace.as_mut().expect("present until dropped");
        let cache = if keep { &mut blocks[i] } else { shared };
        let (product, buffer) = model.blocks[i].product(layout.block(i), cache, scratch, (keep, attended));
        model.backend.write(values, buffer);
        self.begun.product = Some(product);
    }

    /// The next block, whether it keeps what its backward pass needs, and whether its attention is done.
    fn next(&self) -> (usize, bool, bool) {
        let i = self.position;
        (i, self.training && self.trains_up_to(i), self.begun.attended)
    }
}
