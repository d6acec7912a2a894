//! Sums over the parts that run in one place.

use super::{BatchShape, ModelCost, Part};
use crate::compute::Work;
use std::ops::Range;

/// The parts of a model that one device or server holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    pub embedding: bool,
    pub blocks: Range<usize>,
    pub head: bool,
}

impl Segment {
    /// The parts in the order of the forward pass.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let embedding = self.embedding.then_some(Part::Embedding);
        let head = self.head.then_some(Part::Head);
        embedding.into_iter().chain(self.blocks.clone().map(Part::Block)).chain(head)
    }
}

impl ModelCost {
    /// The whole model in one place.
    pub fn whole(&self) -> Segment {
        Segment { embedding: true, blocks: 0..self.blocks(), head: true }
    }

    /// What runs on the device at `split`: the embedding and the blocks below.
    pub fn device_side(&self, split: usize) -> Segment {
        Segment { embedding: true, blocks: 0..split, head: false }
    }

    /// What runs at the edge at `split`: the blocks from there on and the head.
    pub fn edge_side(&self, split: usize) -> Segment {
        Segment { embedding: false, blocks: split..self.blocks(), head: true }
    }

    pub fn segment_forward(&self, segment: &Segment, batch: &BatchShape) -> Work {
        segment.parts().map(|part| self.forward(part, batch)).sum()
    }

    /// Backward through the segment: parts train if PEFT trains them, and hand a gradient down if something below them
    /// in the whole model trains.
    pub fn segment_backward(&self, segment: &Segment, batch: &BatchShape) -> Work {
        segment.parts().map(|part| self.backward(part, batch, self.needs_input_gradient(part), true)).sum()
    }

    /// Whether backward sends a gradient across `split`: only if the device's side trains something.
    pub fn gradient_crosses(&self, split: usize) -> bool {
        self.device_side(split).parts().any(|part| self.trainable_parameters(part) > 0)
    }

    /// Parameters that train in the segment: what a federated round exchanges.
    pub fn segment_trainable_parameters(&self, segment: &Segment) -> u64 {
        segment.parts().map(|part| self.trainable_parameters(part)).sum()
    }
}
