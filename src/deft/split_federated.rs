//! Split federated fine-tuning: all devices at once through the cut layer, both sides averaged after the round.
//!
//! Thapa, Arachchige, Camtepe, Sun 2022 (arXiv 2004.12088), algorithm SplitFedV1: the edge keeps one copy of the
//! edge-side parameters a device while the round lasts; the device-side copies meet over the uplink, digitally or over
//! the air, the edge-side copies meet in the edge's memory.

use super::cut::CutLayer;
use super::federation::{self, Turn};
use super::{Run, shared_server};
use crate::aggregation::{self, Delivery};
use crate::learning::LearningError;
use crate::world::{Content, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let layer = CutLayer::new(run);
    if layer.has_shared_server_side() {
        return shared_server::play(run, &layer).await;
    }
    federation::play(run, |turn| device_round(run, &layer, turn)).await
}

async fn device_round(run: &Run<'_>, layer: &CutLayer, turn: Turn) -> Result<Delivery, Lost> {
    let (device, demand) = (turn.device, run.world.demand_of(turn.device));
    run.world.download(device, demand.device_side_bytes(), Content::Adapters).await?;
    run.world.download(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    let mut update = Delivery::starting_from(device, turn.start);
    for step in run.steps_of(turn.round) {
        let options = layer.step(run, device, step).await?;
        turn.step_with(run, &mut update, step, options);
    }
    aggregation::upload(run.world, run.plan, device, demand.device_side_bytes()).await?;
    run.world.upload(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    Ok(update)
}
