//! Offsite tuning, federated: devices download an emulator of the model and tune adapters against it on their own data;
//! the adapters are averaged and plugged into the full model at the edge.
//!
//! Xiao, Lin, Han 2023 (arXiv 2302.04870), figure 2, with the data on many devices as DEFT (arXiv 2310.18602) has it.
//! Needed on the device: the emulator and the adapters. Crosses the air: the emulator, once a device; adapters, both ways.

use super::Run;
use super::run::Measured;
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::{Emulated, EvaluationOptions, LearningError, StateHandle, StepOptions};
use crate::world::{Content, DeviceId, Lost};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What devices tune against, and which of them have it.
struct Offsite {
    /// `None` where no numbers are asked for, or where nothing was removed of the model.
    emulator: Option<Arc<Emulated>>,
    holders: RefCell<BTreeSet<DeviceId>>,
}

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let emulator = match &run.plan.emulator {
        Some(plan) => run.learn.emulator(plan)?,
        None => None,
    };
    let offsite = Offsite { emulator, holders: RefCell::default() };
    let mut global = run.learn.initial();
    // The paper's upper bound: the same devices, rounds and data with the full model on the devices.
    let mut full = global;
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let updates = run.gather(&devices, |device| device_round(run, round, device, global, &offsite)).await;
        let combined = run.aggregate(global, updates).await;
        global = combined.global;
        full = full_round(run, round, full, &combined.delivered);
        if run.end_round(round, &[global], &combined.delivered)?.is_last() {
            break;
        }
    }
    measure(run, global, full, &offsite);
    Ok(())
}

async fn device_round(
    run: &Run<'_>,
    round: usize,
    device: DeviceId,
    global: StateHandle,
    offsite: &Offsite,
) -> Result<Delivery, Lost> {
    let demand = run.world.demand();
    if !offsite.holders.borrow().contains(&device) {
        let start = run.world.now();
        run.world.download(device, demand.emulator_bytes(), Content::Emulator).await?;
        run.measure("download_seconds", Measured::Number((run.world.now() - start).as_seconds()));
        offsite.holders.borrow_mut().insert(device);
    }
    run.world.download(device, demand.update_down_bytes(), Content::Adapters).await?;
    let mut update = Delivery::starting_from(device, global);
    for step in run.steps_of(round) {
        run.world.train_on_device(device, &run.learn.batch_shape(client_of(device), step)).await?;
        let options = StepOptions { emulator: offsite.emulator.clone(), ..StepOptions::default() };
        update.step_with(run.learn, client_of(device), step, options);
    }
    aggregation::upload(run.world, run.plan, device, demand.update_up_bytes()).await?;
    Ok(update)
}

/// The round as it would go with the full model on the devices, averaged without error. Takes no time.
fn full_round(run: &Run<'_>, round: usize, full: StateHandle, delivered: &[Delivery]) -> StateHandle {
    let updates = delivered.iter().map(|d| {
        let mut update = Delivery::starting_from(d.device, full);
        run.steps_of(round).for_each(|step| update.step(run.learn, client_of(d.device), step));
        update
    });
    aggregation::mean(run.learn, full, &updates.collect::<Vec<_>>())
}

/// The paper's three accuracies beside that of the untouched model, and what the emulator weighs.
fn measure(run: &Run<'_>, global: StateHandle, full: StateHandle, offsite: &Offsite) {
    run.measure("emulator_bytes", Measured::Number(run.world.demand().emulator_bytes() as f64));
    let Some(samples) = run.final_samples() else { return };
    let plain = |state| Measured::Accuracy(run.learn.evaluate(state, samples, false));
    let options = EvaluationOptions::default().with_emulator(offsite.emulator.clone());
    let emulated = run.learn.evaluate_with(global, samples, false, options, &[]);
    let distance = match &offsite.emulator {
        Some(emulator) => Measured::Loss(run.learn.emulator_distance(emulator, samples)),
        None => Measured::Number(0.0),
    };
    run.measure("emulator_distance", distance);
    run.measure("zero_shot_accuracy", plain(run.learn.initial()));
    run.measure("emulator_accuracy", Measured::Accuracy(emulated));
    run.measure("plug_in_accuracy", plain(global));
    run.measure("full_fine_tuning_accuracy", plain(full));
}
