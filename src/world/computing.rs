//! Work on devices and at the edge: seconds by roofline, queues, joules, memory.

use super::account::{Doing, Spending};
use super::{Device, DeviceId, Lost, World};
use crate::compute::Work;
use crate::fomo::{BatchShape, Segment};
use crate::sim::{SimDuration, SimTime};

impl World {
    /// One training step of the whole model on the device.
    pub async fn train_on_device(&self, device: DeviceId, batch: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(device);
        let work = demand.step(&demand.cost().whole(), batch);
        self.compute_on_device(device, "train", &work, batch).await
    }

    /// Forward pass of the device's side of the cut.
    pub async fn forward_on_device(&self, device: DeviceId, batch: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(device);
        let work = demand.on_device().map(|s| demand.forward(&s, batch));
        self.compute_on_device(device, "forward", work.as_slice(), batch).await
    }

    /// Backward pass of the device's side of the cut.
    pub async fn backward_on_device(&self, device: DeviceId, batch: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(device);
        let work = demand.on_device().map(|s| demand.backward(&s, batch));
        self.compute_on_device(device, "backward", work.as_slice(), batch).await
    }

    /// Forward and backward pass of the edge's side of the cut, for one device, at the device's edge server.
    pub async fn train_edge_side(&self, device: DeviceId, batch: &BatchShape) {
        let server = self.device(device).server;
        let segment = self.demand.at_edge().unwrap_or_else(|| self.demand.cost().whole());
        self.compute_at_edge(server, &[device], &segment, batch).await;
    }

    /// One training step of the whole model at the first edge server, for which all `devices` wait.
    pub async fn train_at_edge(&self, devices: &[DeviceId], batch: &BatchShape) {
        self.compute_at_edge(0, devices, &self.demand.cost().whole(), batch).await;
    }

    /// Whether the device, and the edge server that works with it, have memory for the technique's largest mini-batch.
    pub fn fits(&self, device: DeviceId) -> bool {
        let (device, batch) = (self.device(device), self.demand.nominal_batch());
        let server = &self.servers[device.server];
        let server_limit = server.hardware.available_bytes(1.0) * server.accelerators as u64;
        self.demand_of(device.id).device_memory_bytes(batch) <= device.memory_limit_bytes
            && self.demand.edge_memory_bytes(batch) <= server_limit
    }

    /// Time of `work` on the device, phases one after another.
    pub fn device_seconds(&self, device: &Device, work: &[Work]) -> f64 {
        let precision = self.demand.precision();
        work.iter().map(|w| device.hardware.seconds(w, precision)).sum::<f64>() / device.compute_share
    }

    async fn compute_on_device(&self, id: DeviceId, what: &str, work: &[Work], batch: &BatchShape) -> Result<(), Lost> {
        let device = self.device(id);
        let memory = self.demand_of(id).device_memory_bytes(batch);
        {
            let mut account = self.account.borrow_mut();
            let books = account.device(id);
            books.peak_memory_bytes = books.peak_memory_bytes.max(memory);
        }
        let token = self.account.borrow_mut().begin(Spending::Device(id, Doing::Compute), self.now());
        let computing = Computing { world: self, device, what, start: self.now(), token };
        self.sim.sleep(SimDuration::from_seconds(self.device_seconds(device, work))).await;
        drop(computing);
        if device.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }

    async fn compute_at_edge(&self, server: usize, devices: &[DeviceId], segment: &Segment, batch: &BatchShape) {
        let at = &self.servers[server];
        let precision = self.demand.precision();
        let work = [self.demand.forward(segment, batch), self.demand.backward(segment, batch)];
        let service = SimDuration::from_seconds(work.iter().map(|w| at.hardware.seconds(w, precision)).sum());
        let _accelerator = at.queue.acquire(0).await;
        let _serving = Serving::begin(self, server, devices);
        self.sim.sleep(service).await;
    }
}

/// An accelerator at work for some devices. Dropped when the work ends or is cut off: either way the time was spent.
struct Serving<'a> {
    world: &'a World,
    server: usize,
    devices: &'a [DeviceId],
    start: SimTime,
    tokens: Vec<u64>,
}

impl<'a> Serving<'a> {
    fn begin(world: &'a World, server: usize, devices: &'a [DeviceId]) -> Self {
        let start = world.now();
        let spent = devices.iter().map(|d| Spending::Device(*d, Doing::EdgeCompute));
        let spent = spent.chain(std::iter::once(Spending::Server(server)));
        let mut account = world.account.borrow_mut();
        let tokens = spent.map(|s| account.begin(s, start)).collect();
        drop(account);
        Self { world, server, devices, start, tokens }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let world = self.world;
        let mut account = world.account.borrow_mut();
        for token in &self.tokens {
            account.end(*token, world.now());
        }
        drop(account);
        if world.trace().is_enabled() {
            let who = self.devices.first().map_or("", |d| &world.device(*d).name);
            let name = &world.servers[self.server].name;
            world.trace().span(name, "train", self.start, world.now(), &[("device", who.into())]);
        }
    }
}

/// A device at work. Dropped when the work ends or is cut off by a deadline: either way the time was spent.
struct Computing<'a> {
    world: &'a World,
    device: &'a Device,
    what: &'a str,
    start: SimTime,
    token: u64,
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        let (world, device) = (self.world, self.device);
        let mut account = world.account.borrow_mut();
        let spent = account.end(self.token, world.now());
        account.device(device.id).compute_joules += device.spend_computing(spent);
        if world.trace().is_enabled() {
            world.trace().span(&device.name, self.what, self.start, world.now(), &[]);
        }
    }
}
