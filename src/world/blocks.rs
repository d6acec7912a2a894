//! Devices that train one block each: what a block costs which device, and subbands of their own to send it on.

use super::{Demand, DeviceId, Lost, World};
use crate::compute::Work;
use crate::fomo::{BatchShape, Part};
use crate::radio::Direction;
use crate::random::Stream;

impl Demand {
    /// Parts of the model that train, the head apart, from the output down.
    pub fn trainable_blocks(&self) -> Vec<Part> {
        let mut blocks: Vec<Part> = self.cost().parts().filter(|p| *p != Part::Head).collect();
        blocks.retain(|part| self.cost().trainable_parameters(*part) > 0);
        blocks.reverse();
        blocks
    }

    /// Size of the trainable parameters of `part` on the network.
    pub fn part_bytes(&self, part: Part) -> u64 {
        self.bytes_of(self.cost().trainable_parameters(part))
    }

    /// What a device sends that trained `block`: its parameters, and those of the head, which everybody trains.
    pub fn block_update_bytes(&self, block: Part) -> u64 {
        self.part_bytes(block) + self.part_bytes(Part::Head)
    }

    /// Memory of a device that trains `block`.
    pub fn block_memory_bytes(&self, block: Part, batch: &BatchShape) -> u64 {
        self.cost().training_memory_down_to(block, batch, self.optimizer_bytes_per_parameter())
    }

    /// One training step: forward through the whole model, backward down to `block`.
    fn block_step(&self, block: Part, batch: &BatchShape) -> [Work; 2] {
        [self.forward(&self.cost().whole(), batch), self.cost().backward_down_to(block, batch)]
    }
}

impl World {
    /// Whether the device has memory to train `block`.
    pub fn block_fits(&self, device: DeviceId, block: Part) -> bool {
        let needed = self.demand.block_memory_bytes(block, self.demand.nominal_batch());
        needed <= self.device(device).memory_limit_bytes
    }

    /// Seconds of one training step of `block` on the device.
    pub fn block_step_seconds(&self, device: DeviceId, block: Part, batch: &BatchShape) -> f64 {
        self.device_seconds(self.device(device), &self.demand.block_step(block, batch))
    }

    /// One training step of `block` on the device.
    pub async fn train_block_on_device(&self, device: DeviceId, block: Part, batch: &BatchShape) -> Result<(), Lost> {
        let work = self.demand.block_step(block, batch);
        let memory = self.demand.block_memory_bytes(block, batch);
        self.compute_on_device(device, "train block", &work, memory).await
    }

    /// Resource blocks of the uplink, in the cell that has the fewest.
    pub fn uplink_resource_blocks(&self) -> usize {
        let of_cells = self.cells.iter().map(|c| c.air.with(|air| air.site().resource_blocks()));
        of_cells.min().unwrap_or(1) as usize
    }

    /// Devices of `devices` that the device's cell serves now, itself included.
    pub fn sharers_of_cell(&self, device: DeviceId, devices: &[DeviceId]) -> usize {
        let cell = |d: DeviceId| self.serving_cell(self.device(d));
        devices.iter().filter(|d| cell(**d) == cell(device)).count()
    }

    /// What the device's uplink would carry on a `share` of its cell's band if its fading stood at its mean, bits per second.
    pub fn typical_uplink_rate(&self, device: DeviceId, share: f64) -> f64 {
        let device = self.device(device);
        let cell = self.serving_cell(device);
        let link = self.link(device, cell);
        self.cells[cell].air.with(|air| air.typical_allocation(self.now(), link, Direction::Uplink, share).rate_bps)
    }

    /// Gives the device a subband of its own, or takes it away.
    pub fn reserve_uplink(&self, device: DeviceId, share: Option<f64>) {
        let device = self.device(device);
        let cell = self.serving_cell(device);
        let link = self.link(device, cell);
        self.cells[cell].air.with(|air| air.site().reserve_uplink(link, share));
    }

    /// The stream of a draw of this round.
    pub fn round_stream(&self, purpose: &str) -> Stream {
        self.streams.stream("edge", &format!("{purpose} of round {}", self.round.get()))
    }
}
