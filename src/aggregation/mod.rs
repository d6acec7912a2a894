//! How the updates of a round's devices become one: where the two planes meet.
//!
//! Each rule is a file that says what crosses the network and for how long (time plane) and what that does to the
//! numbers (learning plane). Protocols call [`upload`] when a device has trained and [`combine`] when all have.

mod digital;
mod over_the_air;
mod stale;

pub use stale::{Arrival, combine_stale};

use crate::learning::{Client, Combination, Learning, StateHandle, StepOptions};
use crate::scenario::{AggregationSpec, TechniqueSpec};
use crate::world::{Content, DeviceId, Lost, World};

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
        self.step_with(learn, client, step, StepOptions::default(), &[]);
    }

    /// [`Delivery::step`] with `options` and the states that these ask for.
    pub fn step_with(
        &mut self,
        learn: &Learning,
        client: Client,
        step: u64,
        options: StepOptions,
        companions: &[StateHandle],
    ) {
        self.state = learn.local_step_with(self.state, client, step, self.steps.is_empty(), options, companions);
        self.steps.push(self.state);
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
}

/// What one device does alone to hand in `bytes` of parameters: nothing if all transmit at once later.
pub async fn upload(world: &World, plan: &TechniqueSpec, device: DeviceId, bytes: u64) -> Result<(), Lost> {
    match plan.aggregation {
        AggregationSpec::Digital => world.upload(device, bytes, Content::Adapters).await,
        AggregationSpec::AirComp { .. } => Ok(()),
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
    world.synchronise_servers().await;
    if updates.is_empty() {
        return Combined { global: reference, delivered: updates };
    }
    let everyone = digital::weighted_mean(learn, plan.averaging, &updates);
    let (device_side, delivered) = match plan.aggregation {
        AggregationSpec::Digital => (everyone.clone(), updates.clone()),
        AggregationSpec::AirComp { .. } if world.demand().device_side_parameters() == 0 => {
            (everyone.clone(), updates.clone())
        }
        AggregationSpec::AirComp { truncation_threshold, average_power_dbm } => {
            let air = over_the_air::Settings { truncation_threshold, average_power_dbm };
            over_the_air::superpose(world, learn, air, &updates).await
        }
    };
    let states: Vec<StateHandle> = updates.iter().map(|u| u.state).collect();
    let split_point = plan.kind.is_split().then_some(plan.split_point);
    Combined { global: learn.combine(reference, &states, split_point, device_side, everyone), delivered }
}

/// Combination in which nobody takes part: the reference stays.
fn nobody(updates: usize, world: &World) -> Combination {
    Combination::OverTheAir { weights: vec![0.0; updates], noise_std: 0.0, noise: world.air_noise() }
}
