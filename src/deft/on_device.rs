//! Fine-tuning on the device alone: nothing crosses the air, nobody learns from anybody.
//!
//! The honest lower baseline of every cooperative technique. Each device keeps its own parameters and restarts its
//! optimiser each round, as the federated techniques do; accuracy is the mean over the devices' models.

use super::Run;
use crate::aggregation::{Delivery, client_of};
use crate::learning::{LearningError, StateHandle};
use crate::world::{DeviceId, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let mut models = vec![run.learn.initial(); run.world.device_count()];
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let trained = run.gather(&devices, |device| device_round(run, round, device, models[device.index()])).await;
        for t in &trained {
            models[t.device.index()] = t.state;
        }
        if run.end_round(round, &models, &trained)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// One device's local steps of a round.
pub(super) async fn device_round(
    run: &Run<'_>,
    round: usize,
    device: DeviceId,
    model: StateHandle,
) -> Result<Delivery, Lost> {
    let mut update = Delivery::starting_from(device, model);
    for step in run.steps_of(round) {
        run.world.train_on_device(device, &run.learn.batch_shape(client_of(device), step)).await?;
        update.step(run.learn, client_of(device), step);
    }
    Ok(update)
}
