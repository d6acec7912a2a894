//! Split fine-tuning: one device after another trains with the edge through the cut layer.
//!
//! Gupta and Raskar 2018 (arXiv 1810.06060), with PEFT modules on both sides of the cut. The device runs the embedding
//! and the blocks below the split point; labels go to the edge with the activations. When a device has had its turn,
//! its device-side parameters go to the edge and on to the next device; the optimiser restarts with each turn.

use super::Run;
use super::cut::CutLayer;
use crate::aggregation::{Delivery, client_of};
use crate::learning::{LearningError, StateHandle};
use crate::world::{Content, DeviceId, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let mut model = run.learn.initial();
    let layer = CutLayer::new(run);
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let mut delivered = vec![];
        for device in devices {
            // A turn that is cut short leaves no trace in the model: half of it may be lost with the device.
            if let Ok(turn) = turn(run, &layer, round, device, model).await {
                model = turn.state;
                delivered.push(turn);
            }
        }
        if run.end_round(round, &[model], &delivered)?.is_last() {
            break;
        }
    }
    Ok(())
}

async fn turn(
    run: &Run<'_>,
    layer: &CutLayer,
    round: usize,
    device: DeviceId,
    model: StateHandle,
) -> Result<Delivery, Lost> {
    let device_side = run.world.demand_of(device).device_side_bytes();
    run.world.download(device, device_side, Content::Adapters).await?;
    let mut update = Delivery::starting_from(device, model);
    for step in run.steps_of(round) {
        let options = layer.step(run, device, step).await?;
        update.step_with(run.learn, client_of(device), step, options);
    }
    run.world.upload(device, device_side, Content::Adapters).await?;
    Ok(update)
}
