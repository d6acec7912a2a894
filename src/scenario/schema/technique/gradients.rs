//! Gradients that the edge computes for devices that own their parameters.

use serde::Serialize;

/// What a device runs, and what of its gradient comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GradientsSpec {
    /// Frozen blocks that run on the device, so that deeper activations go up than embedded inputs.
    pub device_blocks: usize,
    /// Numbers of a random projection that come back in place of the gradient; `None` for all of it.
    pub projection_dimension: Option<usize>,
}
