//! Federated fine-tuning: devices train the whole model on their own data, PEFT parameters are averaged.
//!
//! McMahan, Moore, Ramage, Hampson, Agüera y Arcas 2017 (arXiv 1602.05629), algorithm 1, restricted to PEFT parameters.
//! Needed on the device: the whole model. Crosses the air: PEFT parameters, both ways.

use super::Run;
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::{LearningError, StateHandle};
use crate::world::{Content, DeviceId, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let mut global = run.learn.initial();
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let updates = run.gather(&devices, |device| device_round(run, round, device, global)).await;
        let combined = run.aggregate(global, updates).await;
        global = combined.global;
        if run.end_round(round, &[global], &combined.delivered)?.is_last() {
            break;
        }
    }
    Ok(())
}

async fn device_round(run: &Run<'_>, round: usize, device: DeviceId, global: StateHandle) -> Result<Delivery, Lost> {
    let demand = run.world.demand();
    run.world.download(device, demand.update_down_bytes(), Content::Adapters).await?;
    let mut update = Delivery::starting_from(device, global);
    for step in run.steps_of(round) {
        run.world.train_on_device(device, &run.learn.batch_shape(client_of(device), step)).await?;
        update.step(run.learn, client_of(device), step);
    }
    aggregation::upload(run.world, run.plan, device, demand.update_up_bytes()).await?;
    Ok(update)
}
