//! What blocks in slices ask of those who hold them, and of the edge that holds the rest.

use super::Demand;
use crate::compute::{Precision, Work};
use crate::fomo::BatchShape;
use crate::fomo::cost::Part;

/// A block's two halves in time: attention, and the feed-forward layer. Costs are not told apart: each is half a block.
const HALVES: f64 = 2.0;

impl Demand {
    /// The blocks that devices hold in slices, ascending.
    pub fn sliced_blocks(&self) -> &[usize] {
        &self.sliced_blocks
    }

    /// Forward pass of one slice of half of `block`.
    pub fn slice_forward(&self, block: usize, batch: &BatchShape) -> Work {
        self.of_slice(self.cost().forward(Part::Block(block), batch))
    }

    /// Backward pass of one slice of half of `block`.
    pub fn slice_backward(&self, block: usize, batch: &BatchShape) -> Work {
        let part = Part::Block(block);
        self.of_slice(self.cost().backward(part, batch, self.cost().needs_input_gradient(part), true))
    }

    /// Every operation is as many kernels in a slice as it is in the whole.
    fn of_slice(&self, block: Work) -> Work {
        let share = 1.0 / (HALVES * self.slices as f64);
        Work { flops: block.flops * share, bytes: block.bytes * share, kernels: block.kernels.div_ceil(2) }
    }

    /// Whether anything goes back through `block`, and whether it goes on below it.
    pub fn backward_through(&self, block: usize) -> (bool, bool) {
        let part = Part::Block(block);
        let below = self.cost().needs_input_gradient(part);
        (below || self.cost().trainable_parameters(part) > 0, below)
    }

    /// Forward and backward pass of what the edge holds whole.
    pub fn edge_work(&self, batch: &BatchShape) -> [Work; 2] {
        let parts = || self.at_edge().into_iter().flat_map(|s| s.parts()).filter(|part| !self.is_sliced(*part));
        let cost = self.cost();
        let forward = parts().map(|part| cost.forward(part, batch)).sum();
        let backward = parts().map(|p| cost.backward(p, batch, cost.needs_input_gradient(p), true)).sum();
        [forward, backward]
    }

    fn is_sliced(&self, part: Part) -> bool {
        matches!(part, Part::Block(i) if self.sliced_blocks.contains(&i))
    }

    /// Numbers in one of the sums of `block`, or in its input.
    pub fn sum_values(&self, block: usize, batch: &BatchShape) -> u64 {
        self.sum_bytes(block, batch) / self.precision().bytes()
    }

    /// Size of one slice's part of such a sum, and of what it is computed from, sent digitally.
    pub fn sum_bytes(&self, block: usize, batch: &BatchShape) -> u64 {
        self.cost().boundary_bytes(block, batch)
    }

    /// Bytes of all that one step sends to the slices and back. Over the air their terms count once.
    pub fn connection_bytes(&self, batch: &BatchShape) -> u64 {
        let terms = if self.sums_in_the_air { 1 } else { self.slices };
        let of_block = |block: &usize| {
            let (back, below) = self.backward_through(*block);
            let (down, up) = (2 + 2 * u64::from(back), 2 + u64::from(back) + u64::from(back && below));
            self.sum_bytes(*block, batch) * (down + up * terms)
        };
        self.sliced_blocks.iter().map(of_block).sum()
    }

    /// Devices that hold a slice each.
    pub fn slices(&self) -> u64 {
        self.slices
    }

    /// Size on the network of the trainable parameters in one slice of all sliced blocks.
    pub fn slice_parameter_bytes(&self) -> u64 {
        let parameters: u64 = self.sliced_parts().map(|part| self.cost().trainable_parameters(part)).sum();
        self.bytes_of(parameters.div_ceil(self.slices))
    }

    fn sliced_parts(&self) -> impl Iterator<Item = Part> + '_ {
        self.sliced_blocks.iter().map(|i| Part::Block(*i))
    }

    /// Memory of one slice of all sliced blocks while they train.
    pub(super) fn slice_memory_bytes(&self, batch: &BatchShape) -> u64 {
        self.sliced_memory_bytes(batch).div_ceil(self.slices)
    }

    /// Memory of all slices together: weights, gradients and moments, what forward keeps for backward.
    pub(super) fn sliced_memory_bytes(&self, batch: &BatchShape) -> u64 {
        let per_trainable = Precision::Fp32.bytes() + self.optimizer_bytes_per_parameter();
        let of_part = |part: Part| {
            let cost = self.cost();
            cost.weight_bytes(part)
                + cost.trainable_parameters(part) * per_trainable
                + cost.stored_activation_bytes(part, batch)
        };
        self.sliced_parts().map(of_part).sum()
    }
}
