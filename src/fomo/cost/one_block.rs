//! Training one block of a model and its head, the rest frozen.
//!
//! The gradient travels from the head down to the block and no further: the deeper the block, the longer the way and
//! the more activations wait for it.

use super::{BatchShape, ModelCost, Part, Precision};
use crate::compute::Work;

impl ModelCost {
    /// Backward from the loss down to `lowest`, where it and the head train.
    pub fn backward_down_to(&self, lowest: Part, batch: &BatchShape) -> Work {
        let trains = |part| part == lowest || part == Part::Head;
        let passed = self.parts().filter(|part| *part >= lowest);
        let of_part = |part| {
            let own = self.backward(part, batch, part > lowest, trains(part));
            // The first block of a stack trains with what all blocks of the stack add to its biases.
            let shares = part > lowest && self.trained_positions_of(part) == Some(lowest);
            if shares { own + self.position_gradient(part, batch) } else { own }
        };
        passed.map(of_part).sum()
    }

    /// Memory of one training step in which `lowest` and the head train: all parameters; for each that trains a gradient in
    /// 32 bits and `optimizer_bytes_per_parameter`; what the parts from `lowest` up keep for backward; and the working
    /// buffer. Parts between keep as much as if they trained, which is a little more than they must.
    pub fn training_memory_down_to(&self, lowest: Part, batch: &BatchShape, optimizer_bytes_per_parameter: u64) -> u64 {
        let per_trainable = Precision::Fp32.bytes() + optimizer_bytes_per_parameter;
        let trained = self.trainable_parameters(lowest) + self.trainable_parameters(Part::Head);
        let passed = self.parts().filter(|part| *part >= lowest);
        let stored: u64 = passed.map(|part| self.stored_activation_bytes(part, batch)).sum();
        self.inference_memory_bytes(&self.whole(), batch) + trained * per_trainable + stored
    }
}
