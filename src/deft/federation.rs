//! The server's side of federated techniques: what a device is sent off with, and what becomes of what it hands in.
//!
//! With the defaults this is federated averaging (McMahan et al. 2017). `technique.local` bends the local steps (FedProx,
//! SCAFFOLD), `technique.server` moves the model along the combined update by an optimiser of its own (Reddi et al.
//! 2021), `technique.synchrony` says who waits for whom: the loop below, or that of `asynchronous.rs`.

use super::scaffold::ControlVariates;
use super::{Run, asynchronous};
use crate::aggregation::{self, Arrival, Delivery, client_of};
use crate::learning::{GradientTerms, LearningError, StateHandle, StepOptions};
use crate::scenario::Correction;
use crate::world::{DeviceId, Lost};
use std::future::Future;

/// A device's part in a round: from which model, by which steps.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub device: DeviceId,
    /// The round in which it begins; its local steps are those of this round.
    pub round: usize,
    /// How often the model had moved by then.
    pub moves: usize,
    pub start: StateHandle,
    gradient: GradientTerms,
    companions: Vec<StateHandle>,
}

impl Turn {
    /// Adds a local step to `update`.
    pub fn step(&self, run: &Run<'_>, update: &mut Delivery, step: u64) {
        self.step_with(run, update, step, StepOptions::default());
    }

    /// [`Turn::step`] where the technique has `options` of its own.
    pub fn step_with(&self, run: &Run<'_>, update: &mut Delivery, step: u64, options: StepOptions) {
        update.follow(self.local_step(run, update.state, step, update.steps.is_empty(), options));
    }

    /// Where local step number `step` leads from `state`.
    pub fn local_step(
        &self,
        run: &Run<'_>,
        state: StateHandle,
        step: u64,
        fresh_optimizer: bool,
        options: StepOptions,
    ) -> StateHandle {
        let options = StepOptions { gradient: self.gradient, ..options };
        let client = client_of(self.device);
        run.learn.local_step_beside(state, &self.companions, client, step, fresh_optimizer, options)
    }
}

/// Plays all rounds; `device_round` is what a device does in its turn.
pub(super) async fn play<F>(run: &Run<'_>, device_round: impl Fn(Turn) -> F) -> Result<(), LearningError>
where
    F: Future<Output = Result<Delivery, Lost>>,
{
    let server = Server::new(run);
    if run.plan.synchrony.is_synchronous() {
        return synchronous(run, server, device_round).await;
    }
    let buffer = run.plan.synchrony.updates_a_round(run.plan.devices_per_round);
    asynchronous::play(run, server, buffer, device_round).await
}

async fn synchronous<F>(
    run: &Run<'_>,
    mut server: Server<'_>,
    device_round: impl Fn(Turn) -> F,
) -> Result<(), LearningError>
where
    F: Future<Output = Result<Delivery, Lost>>,
{
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let updates = run.gather(&devices, |device| device_round(server.turn(device, round))).await;
        let delivered = server.aggregate(updates).await;
        if run.end_round(round, &[server.global], &delivered)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// What the server knows.
pub(super) struct Server<'a> {
    run: &'a Run<'a>,
    pub global: StateHandle,
    /// How often updates of any age have moved the model.
    pub moves: usize,
    controls: Option<ControlVariates>,
}

impl<'a> Server<'a> {
    pub fn new(run: &'a Run<'a>) -> Self {
        let corrected = run.plan.local.correction == Correction::Scaffold;
        Self { run, global: run.learn.initial(), moves: 0, controls: corrected.then(|| ControlVariates::new(run)) }
    }

    /// What `device` is sent off with now.
    pub fn turn(&self, device: DeviceId, round: usize) -> Turn {
        let run = self.run;
        let start = run.world.lora_rank_of(device).map_or(self.global, |r| run.learn.first_ranks(self.global, r));
        let proximal_mu = run.plan.local.proximal_mu;
        let controls = self.controls.as_ref().map(|c| c.of(device));
        Turn {
            device,
            round,
            moves: self.moves,
            start,
            gradient: GradientTerms { proximal_mu, control_variates: controls.is_some() },
            companions: (proximal_mu > 0.0)
                .then_some(start)
                .into_iter()
                .chain(controls.into_iter().flatten())
                .collect(),
        }
    }

    /// Moves the model by a round's updates. Returns those that counted.
    async fn aggregate(&mut self, updates: Vec<Delivery>) -> Vec<Delivery> {
        let (run, start) = (self.run, self.global);
        let nothing_came = updates.is_empty();
        let combined = run.aggregate(start, updates).await;
        // Where devices stay silent on the air, edge sides may have come all the same.
        let silent = combined.delivered.is_empty() && run.plan.device_side_split().is_none();
        if nothing_came || silent {
            self.global = combined.global;
            return combined.delivered;
        }
        if let Some(controls) = &mut self.controls {
            controls.refresh(run, start, &combined.delivered);
        }
        self.global = run.learn.server_step(start, combined.global, run.plan.server);
        combined.delivered
    }

    /// Moves the model by updates of any age. Returns those that counted.
    pub async fn aggregate_stale(&mut self, arrivals: Vec<Arrival>) -> Vec<Delivery> {
        let (run, start) = (self.run, self.global);
        let nothing_came = arrivals.is_empty();
        let combined = aggregation::combine_stale(run.world, run.learn, run.plan, start, arrivals).await;
        if nothing_came {
            return combined.delivered;
        }
        self.global = run.learn.server_step(start, combined.global, run.plan.server);
        self.moves += 1;
        combined.delivered
    }
}
