//! Devices that own parameters and leave the model to the edge: what an update takes them.

use super::{Demand, DeviceId, Lost, World};
use crate::compute::{Precision, Work};
use crate::fomo::{BatchShape, Segment};

impl Demand {
    /// All trainable parameters on the network.
    pub fn parameter_bytes(&self) -> u64 {
        self.bytes_of(self.parameters())
    }

    /// What comes back to a device in each step: its gradient, or its projection to `dimension` numbers if that is shorter.
    pub fn parameter_gradient_bytes(&self, dimension: Option<usize>) -> u64 {
        self.bytes_of(self.projected_length(dimension).unwrap_or(self.parameters()))
    }

    /// `dimension` where it is shorter than the gradient.
    pub fn projected_length(&self, dimension: Option<usize>) -> Option<u64> {
        dimension.map(|d| d as u64).filter(|d| *d < self.parameters())
    }

    /// Memory of a device that runs `segment` forward and keeps all trainable parameters with gradients and moments.
    pub(super) fn owner_memory_bytes(&self, segment: &Segment, batch: &BatchShape) -> u64 {
        let numbers =
            2 * Precision::Fp32.bytes() + self.optimizer_bytes_per_parameter() + self.local_bytes_per_parameter();
        self.cost().inference_memory_bytes(segment, batch) + self.parameters() * numbers
    }

    /// Passing once over parameters, gradient and moments; a projection of d numbers is spread over p parameters by d p
    /// additions with random signs.
    fn update_work(&self, dimension: Option<usize>) -> Work {
        let read_and_written = 2 * (Precision::Fp32.bytes() + self.optimizer_bytes_per_parameter());
        let moved = self.parameters() * (read_and_written + Precision::Fp32.bytes());
        let spread = self.projected_length(dimension).unwrap_or(0) * self.parameters();
        Work { flops: spread as f64, bytes: moved as f64, kernels: 1 }
    }
}

impl World {
    /// The device updates its parameters with the gradient that came back.
    pub async fn update_on_device(
        &self,
        device: DeviceId,
        dimension: Option<usize>,
        batch: &BatchShape,
    ) -> Result<(), Lost> {
        let demand = self.demand_of(device);
        let memory = demand.device_memory_bytes(batch);
        self.compute_on_device(device, "update", &[demand.update_work(dimension)], memory).await
    }
}
