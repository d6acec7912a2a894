//! Centralised fine-tuning: raw data is uploaded once, then the edge trains alone on the pooled samples.
//!
//! The upper baseline in accuracy, and what privacy forbids. A mini-batch of the pool is as large as the mini-batches
//! of a round's devices together, so techniques compare at equal numbers of samples and of steps; the optimiser
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
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let mut contributors = run.gather(&devices, |device| upload_once(run, device, model, &uploaded)).await;
        let mut steps = vec![];
        for step in run.steps_of(round) {
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
