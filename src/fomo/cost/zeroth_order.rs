//! Steps without a backward pass.

use super::{BatchShape, ModelCost, Segment};
use crate::compute::{Precision, Work};

impl ModelCost {
    /// One step of two-point SPSA on the segment: a forward pass at either point, and four passes over the trainable
    /// parameters, to the first point, to the second, back, and the update (MeZO, Malladi et al. 2023, algorithm 1). The
    /// random direction is drawn anew in each, never stored: the step needs the memory of a forward pass alone
    /// ([`inference_memory_bytes`](Self::inference_memory_bytes)).
    pub fn segment_zeroth_order_step(&self, segment: &Segment, batch: &BatchShape) -> Work {
        const PASSES: u64 = 4;
        const READ_AND_WRITTEN: u64 = 2;
        let forward = self.segment_forward(segment, batch);
        let moved = self.segment_trainable_parameters(segment) * READ_AND_WRITTEN * Precision::Fp32.bytes();
        forward + forward + Work { flops: 0.0, bytes: (PASSES * moved) as f64, kernels: PASSES as u32 }
    }
}
