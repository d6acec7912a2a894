//! How the updates of a round's devices become one: where the two planes meet.
//!
//! Each rule is a file that says what crosses the network and for how long (time plane) and what that does to the
//! numbers (learning plane). Protocols call [`upload`] when a device has trained and [`combine`] when all have.

mod digital;
mod one_bit;
mod over_the_air;
mod sides;
pub mod slopes;
mod stale;

pub use sides::combine_beside_shared_server;
pub use stale::{Arrival, combine_stale};

use crate::learning::{Client, Learning, StateHandle, StepOptions};
use crate::scenario::{AggregationSpec, Averaging, TechniqueSpec, UplinkAccess};
use crate::world::{Content, Demand, DeviceId, Lost, World};
use over_the_air::Outcome;

/// A number that tells how well an aggregation went; docs/metrics.md defines each name.
pub type Measure = (&'static str, f64);

/// What a device hands in at the end of its round.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub device: DeviceId,
    /// Where its local steps led.
    pub state: StateHandle,
    /// All of its local steps, for the training loss.
    pub steps: Vec<StateHandle>,
}

impl Delivery {
    pub fn starting_from(device: DeviceId, state: StateHandle) -> Self {
        Self { device, state, steps: vec![] }
    }

    /// Adds a local step; the first one of a delivery starts the optimiser anew.
    pub fn step(&mut self, learn: &Learning, client: Client, step: u64) {
        self.step_with(learn, client, step, StepOptions::default());
    }

    /// [`Delivery::step`] with `options`.
    pub fn step_with(&mut self, learn: &Learning, client: Client, step: u64, options: StepOptions) {
        self.follow(learn.local_step_with(self.state, client, step, self.steps.is_empty(), options));
    }

    /// Notes a local step that led to `state`.
    pub fn follow(&mut self, state: StateHandle) {
        self.state = state;
        self.steps.push(state);
    }
}

/// The client of the learning plane that a device of the world is.
pub fn client_of(device: DeviceId) -> Client {
    Client::Device(device.number())
}

/// The outcome of an aggregation.
pub struct Combined {
    pub global: StateHandle,
    /// Those whose update counted on the device side.
    pub delivered: Vec<Delivery>,
    /// Numbers of the aggregation's own.
    pub measures: Vec<Measure>,
}

/// Size of what one device hands in after a round that aggregates. Of a superposition, one device's part if all of
/// `devices` send.
pub fn update_bytes(plan: &TechniqueSpec, demand: &Demand, devices: u64) -> u64 {
    match &plan.aggregation {
        AggregationSpec::Digital(spec) => digital::bytes(spec, demand),
        AggregationSpec::AirComp(_) => demand.device_side_bytes() / devices.max(1),
        AggregationSpec::OneBit(_) => one_bit::vote_bytes(demand.device_side_parameters()) / devices.max(1),
    }
}

/// What one device does alone to hand in `bytes` of parameters, or less where they are compressed: nothing if all transmit
/// together later.
pub async fn upload(world: &World, plan: &TechniqueSpec, device: DeviceId, bytes: u64) -> Result<(), Lost> {
    match &plan.aggregation {
        AggregationSpec::Digital(spec) if spec.access == UplinkAccess::Cell => {
            let content = digital::content(spec);
            let bytes = if content == Content::Adapters { bytes } else { digital::bytes(spec, world.demand()) };
            world.upload(device, bytes, content).await
        }
        AggregationSpec::Digital(_) | AggregationSpec::AirComp(_) | AggregationSpec::OneBit(_) => Ok(()),
    }
}

/// One model out of `updates` that all started from `reference`. Under a split technique the parameters of blocks below
/// the split point come from the devices and the rest lie at the edge already; otherwise all come from the devices.
pub async fn combine(
    world: &World,
    learn: &Learning,
    plan: &TechniqueSpec,
    reference: StateHandle,
    updates: Vec<Delivery>,
) -> Combined {
    let updates = match &plan.aggregation {
        AggregationSpec::Digital(spec) => digital::hand_in(world, spec, updates).await,
        AggregationSpec::AirComp(_) | AggregationSpec::OneBit(_) => updates,
    };
    world.synchronise_servers().await;
    if updates.is_empty() {
        return Combined { global: reference, delivered: updates, measures: vec![] };
    }
    let everyone = digital::weighted_mean(learn, plan.averaging, &updates);
    if let Some(split_point) = sides::frozen_below(plan) {
        let global = sides::edge_side_alone(learn, reference, &updates, split_point, everyone);
        return Combined { global, delivered: updates, measures: vec![] };
    }
    let digitally =
        |states| Outcome { combination: everyone.clone(), states, delivered: updates.clone(), measures: vec![] };
    let device_side = match &plan.aggregation {
        AggregationSpec::Digital(spec) => digitally(digital::arrived(world, learn, plan, spec, reference, &updates)),
        _ if world.demand().device_side_parameters() == 0 => digitally(updates.iter().map(|u| u.state).collect()),
        AggregationSpec::AirComp(spec) => over_the_air::superpose(world, learn, plan, spec, reference, &updates).await,
        AggregationSpec::OneBit(spec) => one_bit::vote(world, spec, &updates).await,
    };
    let Outcome { combination, states, delivered, measures } = device_side;
    let global = learn.combine(reference, &states, plan.device_side_split(), combination, everyone);
    Combined { global, delivered, measures }
}

/// The mean of `updates` that all started from `reference`, weighted by samples, as if they had arrived without error.
/// Takes no time: for what a technique is compared with.
pub fn mean(learn: &Learning, reference: StateHandle, updates: &[Delivery]) -> StateHandle {
    if updates.is_empty() {
        return reference;
    }
    let states: Vec<StateHandle> = updates.iter().map(|u| u.state).collect();
    let everyone = digital::weighted_mean(learn, Averaging::Plain, updates);
    learn.combine(reference, &states, None, everyone.clone(), everyone)
}
