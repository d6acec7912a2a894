//! Work on devices and at the edge: seconds by roofline, queues, joules, memory.

use super::overlap::Doing;
use super::serving::{Pass, Request};
use super::underway::{Occupied, Token};
use super::{Demand, Device, DeviceId, Lost, World};
use crate::compute::Work;
use crate::fomo::{BatchShape, Segment};
use crate::sim::{SimDuration, SimTime};

/// Which way through the edge's side of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePasses {
    Forward,
    Backward,
    Both,
}

impl EdgePasses {
    /// Their work on the edge's side of a cut, phase by phase.
    fn work(self) -> fn(&Demand, &BatchShape) -> Vec<Work> {
        fn side(demand: &Demand) -> Segment {
            demand.at_edge().unwrap_or_else(|| demand.cost().whole())
        }
        match self {
            EdgePasses::Both => |d, batch| vec![d.forward(&side(d), batch), d.backward(&side(d), batch)],
            EdgePasses::Forward => |d, batch| vec![d.forward(&side(d), batch)],
            EdgePasses::Backward => |d, batch| vec![d.backward(&side(d), batch)],
        }
    }
}

impl World {
    /// One training step of the whole model on the device.
    pub async fn train_on_device(&self, device: DeviceId, batch: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(device);
        let work = demand.step(&demand.cost().whole(), batch);
        self.compute_on_device(device, "train", &work, demand.device_memory_bytes(batch)).await
    }

    /// Forward pass of the device's blocks below the cut, over `part` of the mini-batch `whole`.
    pub async fn forward_on_device(&self, id: DeviceId, part: &BatchShape, whole: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(id);
        let work = [demand.forward_below(part)];
        self.compute_on_device(id, "forward", &work, demand.device_memory_bytes(whole)).await
    }

    /// Backward pass of the device's blocks below the cut, over `part` of the mini-batch `whole`.
    pub async fn backward_on_device(&self, id: DeviceId, part: &BatchShape, whole: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(id);
        let work = [demand.backward_below(part)];
        self.compute_on_device(id, "backward", &work, demand.device_memory_bytes(whole)).await
    }

    /// Forward and backward pass of a head that is on the device.
    pub async fn train_head_on_device(&self, id: DeviceId, batch: &BatchShape) -> Result<(), Lost> {
        let demand = self.demand_of(id);
        let work = demand.head_on_device(batch);
        self.compute_on_device(id, "head", &work, demand.device_memory_bytes(batch)).await
    }

    /// Passes over the edge's side of the cut, for one device, at the device's edge server.
    pub async fn compute_edge_side(&self, id: DeviceId, passes: EdgePasses, batch: &BatchShape) {
        let device = self.device(id);
        let demand = self.demand_of(id);
        self.fetch_state(id).await;
        let of_pass = passes.work();
        let work = of_pass(demand, batch);
        let kind = (device.cut_plan.get(), device.lora_rank, passes as u8);
        let pass = Some(Pass { demand, batch: *batch, work: of_pass, kind });
        self.serve(device.server.get(), Request { devices: &[id], work: &work, speed: device.edge_speed.get(), pass })
            .await;
    }

    /// One training step of the whole model at the first edge server, for which all `devices` wait.
    pub async fn train_at_edge(&self, devices: &[DeviceId], batch: &BatchShape) {
        let whole = self.demand.cost().whole();
        let work = [self.demand.forward(&whole, batch), self.demand.backward(&whole, batch)];
        self.work_at_edge(0, devices, &work).await;
    }

    /// Whether the device, and the edge server that works with it, have memory for the technique's largest mini-batch.
    pub fn fits(&self, id: DeviceId) -> bool {
        let device = self.device(id);
        if let Some(known) = device.fits.get() {
            return known;
        }
        let question = (device.cut_plan.get(), device.lora_rank, device.server.get());
        let known = self.edge_fits.borrow().get(&question).copied();
        let edge_fits = known.unwrap_or_else(|| {
            let fits = self.edge_fits_with(device.server.get(), self.demand_of(id));
            self.edge_fits.borrow_mut().insert(question, fits);
            fits
        });
        let fits = edge_fits && self.device_fits_with(device, self.demand_of(id));
        device.fits.set(Some(fits));
        fits
    }

    /// The same for a technique that asks for `demand`.
    pub(super) fn fits_with(&self, device: &Device, demand: &Demand) -> bool {
        self.device_fits_with(device, demand) && self.edge_fits_with(device.server.get(), demand)
    }

    fn device_fits_with(&self, device: &Device, demand: &Demand) -> bool {
        let demand = demand.of_rank(device.lora_rank);
        demand.device_memory_bytes(demand.nominal_batch()) <= device.memory_limit_bytes
    }

    fn edge_fits_with(&self, server: usize, demand: &Demand) -> bool {
        let at = &self.servers[server];
        let limit = at.hardware.available_bytes(1.0) * at.accelerators as u64;
        let at_once = at.devices.min(demand.devices_per_round());
        demand.edge_memory_bytes(demand.nominal_batch(), at_once as u64) <= limit
    }

    /// Time of `work` on the device, phases one after another.
    pub fn device_seconds(&self, device: &Device, work: &[Work]) -> f64 {
        let precision = self.demand.precision();
        let seconds: f64 = work.iter().map(|w| device.hardware.seconds(w, precision)).sum();
        seconds / (device.compute_share * device.clock_share)
    }

    /// Lets the device do `work` in `memory` bytes.
    pub(super) async fn compute_on_device(
        &self,
        id: DeviceId,
        what: &str,
        work: &[Work],
        memory: u64,
    ) -> Result<(), Lost> {
        let device = self.device(id);
        {
            let mut account = self.account.borrow_mut();
            let books = account.device(id);
            books.peak_memory_bytes = books.peak_memory_bytes.max(memory);
        }
        let computing = Computing::begin(self, device, what);
        self.sim.sleep(SimDuration::from_seconds(self.device_seconds(device, work))).await;
        drop(computing);
        if device.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }

    /// `work`, phases one after another, by an accelerator of `server`, for which `devices` wait.
    pub(super) async fn work_at_edge(&self, server: usize, devices: &[DeviceId], work: &[Work]) {
        self.serve(server, Request { devices, work, speed: 1.0, pass: None }).await;
    }
}

/// A device at work. Dropped when the work ends or is cut off by a deadline: either way the time was spent.
struct Computing<'a> {
    world: &'a World,
    device: &'a Device,
    what: &'a str,
    start: SimTime,
    token: Token,
}

impl<'a> Computing<'a> {
    fn begin(world: &'a World, device: &'a Device, what: &'a str) -> Self {
        let start = world.now();
        let occupied = Occupied::Device(device.id, Doing::DeviceCompute);
        let token = world.account.borrow_mut().begin(occupied, start);
        Self { world, device, what, start, token }
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        let (world, device) = (self.world, self.device);
        let mut account = world.account.borrow_mut();
        let spent = account.end(self.token, world.now());
        account.device(device.id).compute_joules += device.spend_computing(spent);
        drop(account);
        if world.trace().is_enabled() {
            world.trace().span(&device.name, self.what, self.start, world.now(), &[]);
        }
    }
}
