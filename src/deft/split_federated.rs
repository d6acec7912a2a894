//! Split federated fine-tuning: all devices at once through the cut layer, both sides averaged after the round.
//!
//! Thapa, Arachchige, Camtepe, Sun 2022 (arXiv 2004.12088), algorithm SplitFedV1: the edge keeps one copy of the
//! edge-side parameters a device while the round lasts; the device-side copies meet over the uplink, digitally or over
//! the air, the edge-side copies meet in the edge's memory.

use super::Run;
use super::federation::{self, Turn};
use super::split::step_through_the_cut;
use crate::aggregation::{self, Delivery};
use crate::learning::LearningError;
use crate::world::{Content, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    federation::play(run, |turn| device_round(run, turn)).await
}

async fn device_round(run: &Run<'_>, turn: Turn) -> Result<Delivery, Lost> {
    let (device, demand) = (turn.device, run.world.demand_of(turn.device));
    run.world.download(device, demand.device_side_bytes(), Content::Adapters).await?;
    run.world.download(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    let mut update = Delivery::starting_from(device, turn.start);
    for step in run.steps_of(turn.round) {
        step_through_the_cut(run, device, step).await?;
        turn.step(run, &mut update, step);
    }
    aggregation::upload(run.world, run.plan, device, demand.device_side_bytes()).await?;
    run.world.upload(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    Ok(update)
}
