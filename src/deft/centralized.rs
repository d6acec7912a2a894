//! Centralised fine-tuning: raw data is uploaded once, then the edge trains alone on the pooled samples.
//!
//! The upper baseline in accuracy, and what privacy forbids. A round makes as many steps on mini-batches of the pool as
//! the round's devices would have made together, so techniques compare at equal numbers of samples; the optimiser
//! keeps its memory throughout.

use super::Run;
use crate::aggregation::{Delivery, client_of};
use crate::learning::{Client, LearningError, StateHandle};
use crate::world::{Content, DeviceId, Lost};
use std::cell::RefCell;
use std::collections::BTreeSet;

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let mut model = run.learn.initial();
    let uploaded = RefCell::new(BTreeSet::new());
    let steps_per_round = run.plan.local_steps * run.plan.devices_per_round;
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let mut contributors = run.gather(&devices, |device| upload_once(run, device, model, &uploaded)).await;
        let mut steps = vec![];
        for step in (round * steps_per_round..).take(steps_per_round) {
            let step = step as u64;
            run.world.train_at_edge(&devices, &run.learn.batch_shape(Client::Pool, step)).await;
            model = run.learn.local_step(model, Client::Pool, step, step == 0);
            steps.push(model);
        }
        // The round's loss is the pool's, not one device's: the first contributor stands for it.
        if let Some(first) = contributors.first_mut() {
            first.steps = steps;
        }
        if run.end_round(round, &[model], &contributors)?.is_last() {
            break;
        }
    }
    Ok(())
}

async fn upload_once(
    run: &Run<'_>,
    device: DeviceId,
    model: StateHandle,
    uploaded: &RefCell<BTreeSet<DeviceId>>,
) -> Result<Delivery, Lost> {
    if !uploaded.borrow().contains(&device) {
        run.world.upload(device, run.learn.raw_bytes(client_of(device)), Content::RawData).await?;
        uploaded.borrow_mut().insert(device);
    }
    Ok(Delivery::starting_from(device, model))
}
