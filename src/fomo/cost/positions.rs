//! T5's relative position biases where they train: one table a stack, to which every block of the stack adds.

use super::{BatchShape, ModelCost, Part};
use crate::compute::Work;

impl ModelCost {
    /// The block that holds the relative position biases which `part` reads, if they train.
    pub(super) fn trained_positions_of(&self, part: Part) -> Option<Part> {
        let (a, Part::Block(i)) = (&self.architecture, part) else { return None };
        let first = if i < a.encoder_layers { 0 } else { a.encoder_layers };
        let trains = self.peft.trains_outside && self.peft.blocks[first].trainable > 0;
        (trains && a.relative_positions.is_some()).then_some(Part::Block(first))
    }

    /// What `part` adds to the gradient of its stack's relative position biases, where these train.
    pub(super) fn position_gradient(&self, part: Part, batch: &BatchShape) -> Work {
        match self.trained_positions_of(part) {
            Some(_) => self.ledger(part, batch).position_sums(self.architecture.relative_position_parameters()),
            None => Work::default(),
        }
    }
}
