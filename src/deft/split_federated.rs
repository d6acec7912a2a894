//! Split federated fine-tuning: all devices at once through the cut layer, both sides averaged after the round.
//!
//! Thapa, Arachchige, Camtepe, Sun 2022 (arXiv 2004.12088), algorithm SplitFedV1: the edge keeps one copy of the
//! edge-side parameters a device while the round lasts; the device-side copies meet over the uplink, digitally or over
//! the air, the edge-side copies meet in the edge's memory.

use super::cut::CutLayer;
use super::{Run, shared_server};
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::{LearningError, StateHandle};
use crate::world::{Content, DeviceId, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let layer = CutLayer::new(run);
    if layer.has_shared_server_side() {
        return shared_server::play(run, &layer).await;
    }
    let mut global = run.learn.initial();
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let updates = run.gather(&devices, |device| device_round(run, &layer, round, device, global)).await;
        let combined = run.aggregate(global, updates).await;
        global = combined.global;
        if run.end_round(round, &[global], &combined.delivered)?.is_last() {
            break;
        }
    }
    Ok(())
}

async fn device_round(
    run: &Run<'_>,
    layer: &CutLayer,
    round: usize,
    device: DeviceId,
    global: StateHandle,
) -> Result<Delivery, Lost> {
    let device_side = run.world.demand_of(device).device_side_bytes();
    run.world.download(device, device_side, Content::Adapters).await?;
    let mut update = Delivery::starting_from(device, global);
    for step in run.steps_of(round) {
        let options = layer.step(run, device, step).await?;
        update.step_with(run.learn, client_of(device), step, options);
    }
    aggregation::upload(run.world, run.plan, device, device_side).await?;
    Ok(update)
}
