//! How an edge server deals with several requests at once: one after another, all at once, or stacked.

use super::account::Account;
use super::overlap::Doing;
use super::underway::{Occupied, Token};
use super::{Demand, DeviceId, EdgeServer, World};
use crate::compute::Work;
use crate::fomo::BatchShape;
use crate::scenario::EdgeSharing;
use crate::sim::{Discipline, Either, EqualShare, Fluid, Guard, Resource, Signal, Sim, SimDuration, SimTime, select};
use std::cell::RefCell;
use std::rc::Rc;

/// The accelerators of a server, and who is next.
pub(crate) enum Line {
    /// Each request has an accelerator to itself.
    Fifo(Resource),
    /// All requests at once, with equal shares of the accelerators and at most one each.
    Shared(Fluid<EqualShare>),
    /// An accelerator that comes free takes all that wait and are alike, up to a number, as one pass.
    Batched(Batches),
}

impl Line {
    pub fn new(sim: &Sim, accelerators: usize, sharing: &EdgeSharing) -> Self {
        let resource = || Resource::new(sim, accelerators, Discipline::Fifo);
        match *sharing {
            EdgeSharing::Fifo => Line::Fifo(resource()),
            EdgeSharing::ProcessorSharing => {
                let share = EqualShare::new(accelerators as f64).with_flow_limit(1.0);
                Line::Shared(Fluid::new(sim, share))
            }
            EdgeSharing::Batched { batch_requests, batch_wait_ms } => Line::Batched(Batches {
                accelerators: resource(),
                most: batch_requests,
                patience: SimDuration::from_seconds(batch_wait_ms / 1e3),
                waiting: RefCell::default(),
                filled: RefCell::default(),
            }),
        }
    }
}

/// What is asked of a server.
pub(super) struct Request<'a> {
    pub devices: &'a [DeviceId],
    pub work: &'a [Work],
    /// Share of the server's own clock.
    pub speed: f64,
    /// What makes it alike to others, where it can be stacked with them.
    pub pass: Option<Pass<'a>>,
}

/// A pass that can be stacked with those of other devices on the same weights.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub demand: &'a Demand,
    pub batch: BatchShape,
    /// Work of such a pass.
    pub work: fn(&Demand, &BatchShape) -> Vec<Work>,
    /// Equal numbers: equal demand and equal work.
    pub kind: (usize, Option<usize>, u8),
}

/// Requests that wait to be stacked.
pub(crate) struct Batches {
    accelerators: Resource,
    most: usize,
    /// How long a free accelerator waits for more than it has, from the arrival of the first.
    patience: SimDuration,
    waiting: RefCell<Vec<Rc<Waiting>>>,
    /// Set when as many wait as fit a batch.
    filled: RefCell<Signal>,
}

struct Waiting {
    arrived: SimTime,
    batch: BatchShape,
    /// `None` if it is to be alone.
    kind: Option<(usize, Option<usize>, u8)>,
    /// For whom, as the timeline says it.
    device: Option<DeviceId>,
    /// The pass that it is part of, once one has taken it.
    pass: RefCell<Option<Rc<StackedPass>>>,
    taken: Signal,
}

/// A pass of several requests. It lasts until its end, or until all who wait for it are cut off.
struct StackedPass {
    ends: SimTime,
    sim: Sim,
    account: Rc<RefCell<Account>>,
    /// The accelerator's time in the books.
    token: Token,
    start: SimTime,
    /// What the timeline says of it: whose track, and for whom.
    labels: Option<(String, String)>,
    _accelerator: Guard,
}

impl Drop for StackedPass {
    fn drop(&mut self) {
        let now = self.sim.now();
        self.account.borrow_mut().end(self.token, now);
        if let Some((server, devices)) = &self.labels {
            self.sim.trace().span(server, "train", self.start, now, &[("devices", devices.as_str().into())]);
        }
    }
}

impl World {
    /// Lets a server do what is asked, and books it.
    pub(super) async fn serve(&self, server: usize, request: Request<'_>) {
        let at = &self.servers[server];
        match &at.line {
            Line::Fifo(accelerators) => {
                let service = self.service(at, request.work, request.speed);
                let _accelerator = accelerators.acquire(0).await;
                let _serving = Serving::alone(self, server, request.devices, at.clock_share * request.speed);
                self.sim.sleep(service).await;
            }
            Line::Shared(accelerators) => {
                let service = self.service(at, request.work, request.speed);
                let _serving = Serving::among_others(self, server, request.devices);
                accelerators.transfer(service.as_seconds()).await;
            }
            Line::Batched(batches) => self.serve_stacked(server, batches, request).await,
        }
    }

    fn service(&self, at: &EdgeServer, work: &[Work], speed: f64) -> SimDuration {
        let precision = self.demand.precision();
        let seconds: f64 = work.iter().map(|w| at.hardware.seconds(w, precision)).sum();
        SimDuration::from_seconds(seconds / (at.clock_share * speed))
    }

    async fn serve_stacked(&self, server: usize, batches: &Batches, request: Request<'_>) {
        let own = Rc::new(Waiting {
            arrived: self.now(),
            batch: request.pass.map(|p| p.batch).unwrap_or_default(),
            kind: request.pass.map(|p| p.kind),
            device: request.devices.first().copied(),
            pass: RefCell::default(),
            taken: Signal::new(),
        });
        let leaving = Leaving { batches, own: &own };
        batches.enter(&own);
        if let Either::Right(accelerator) = select(own.taken.wait(), batches.accelerators.acquire(0)).await {
            self.lead(server, &own, &request, (batches, accelerator)).await;
        }
        drop(leaving);
        let Some(pass) = own.pass.take() else { return };
        let _serving = Serving::begin(self, server, request.devices, None);
        self.sim.sleep_until(pass.ends).await;
    }

    /// Starts a pass of `own`, if nobody else has meanwhile, and of those who wait and are like it.
    async fn lead(
        &self,
        server: usize,
        own: &Rc<Waiting>,
        request: &Request<'_>,
        (batches, accelerator): (&Batches, Guard),
    ) {
        let until = own.arrived + batches.patience;
        if own.kind.is_some() && self.now() < until && batches.waiting.borrow().len() < batches.most {
            let filled = batches.filled.borrow().wait();
            select(self.sim.sleep_until(until), filled).await;
        }
        if own.pass.borrow().is_some() {
            return;
        }
        let taken = batches.take_like(own);
        let stacked: BatchShape = taken.iter().map(|t| t.batch).sum();
        let at = &self.servers[server];
        let service = match request.pass {
            Some(pass) => self.service(at, &(pass.work)(pass.demand, &stacked), request.speed),
            None => self.service(at, request.work, request.speed),
        };
        let start = self.now();
        let occupied = Occupied::Accelerator { server, extra_watts: self.extra_watts(server, at.clock_share) };
        let pass = Rc::new(StackedPass {
            ends: start + service,
            sim: self.sim.clone(),
            account: Rc::clone(&self.account),
            token: self.account.borrow_mut().begin(occupied, start),
            start,
            labels: self.trace().is_enabled().then(|| {
                let names: Vec<&str> = taken.iter().filter_map(|t| t.device).map(|d| self.device_name(d)).collect();
                (at.name.clone(), names.join(" "))
            }),
            _accelerator: accelerator,
        });
        for request in taken {
            request.pass.replace(Some(Rc::clone(&pass)));
            request.taken.set();
        }
    }
}

impl Batches {
    fn enter(&self, own: &Rc<Waiting>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(Rc::clone(own));
        if waiting.len() >= self.most {
            self.filled.borrow().set();
        }
    }

    /// Takes `own` and those like it out of the line, in the order of arrival.
    fn take_like(&self, own: &Rc<Waiting>) -> Vec<Rc<Waiting>> {
        let mut taken = vec![Rc::clone(own)];
        self.waiting.borrow_mut().retain(|other| {
            if Rc::ptr_eq(own, other) {
                return false;
            }
            let alike = own.kind.is_some() && own.kind == other.kind && taken.len() < self.most;
            if alike {
                taken.push(Rc::clone(other));
            }
            !alike
        });
        if self.waiting.borrow().len() < self.most {
            self.filled.replace(Signal::new());
        }
        taken
    }
}

/// Takes a request out of the line when it is served or cut off.
struct Leaving<'a> {
    batches: &'a Batches,
    own: &'a Rc<Waiting>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.batches.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(self.own, other));
    }
}

/// A server at work for some devices. Dropped when the work ends or is cut off: either way the time was spent.
struct Serving<'a> {
    world: &'a World,
    server: usize,
    devices: &'a [DeviceId],
    start: SimTime,
    tokens: Vec<Token>,
    /// Whether the timeline shows it.
    shown: bool,
}

impl<'a> Serving<'a> {
    /// On one of its accelerators, at a share of the profile's clock.
    fn alone(world: &'a World, server: usize, devices: &'a [DeviceId], clock: f64) -> Self {
        let accelerator = Occupied::Accelerator { server, extra_watts: world.extra_watts(server, clock) };
        Self::begin(world, server, devices, Some(accelerator))
    }

    /// On a share of all its accelerators.
    fn among_others(world: &'a World, server: usize, devices: &'a [DeviceId]) -> Self {
        let at = &world.servers[server];
        let extra_watts = world.extra_watts(server, at.clock_share);
        let share = Occupied::Share { server, accelerators: at.accelerators, extra_watts };
        Self::begin(world, server, devices, Some(share))
    }

    /// `accelerators` are what it takes of the server; `None` where a stacked pass has booked that.
    fn begin(world: &'a World, server: usize, devices: &'a [DeviceId], accelerators: Option<Occupied>) -> Self {
        let start = world.now();
        let shown = accelerators.is_some();
        let occupied = devices.iter().map(|d| Occupied::Device(*d, Doing::EdgeCompute)).chain(accelerators);
        let mut account = world.account.borrow_mut();
        let tokens = occupied.map(|o| account.begin(o, start)).collect();
        Self { world, server, devices, start, tokens, shown }
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
        if self.shown && world.trace().is_enabled() {
            let who = self.devices.first().map_or("", |d| &world.device(*d).name);
            let name = &world.servers[self.server].name;
            world.trace().span(name, "train", self.start, world.now(), &[("device", who.into())]);
        }
    }
}

impl World {
    /// What an accelerator draws beyond its profile's active power at this share of its clock: power follows the cube
    /// (Mei et al. in docs/deft/split_auto.md).
    fn extra_watts(&self, server: usize, clock: f64) -> f64 {
        self.servers[server].hardware.active_w * (clock.powi(3) - 1.0)
    }
}
