//! Federated fine-tuning: devices train the whole model on their own data, PEFT parameters are averaged.
//!
//! McMahan, Moore, Ramage, Hampson, Agüera y Arcas 2017 (arXiv 1602.05629), algorithm 1, restricted to PEFT parameters.
//! Needed on the device: the whole model. Crosses the air: PEFT parameters, both ways. This is a device's round; the
//! server's is in `federation.rs`.

use super::Run;
use super::federation::{self, Turn};
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::LearningError;
use crate::world::{Content, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    federation::play(run, |turn| device_round(run, turn)).await
}

async fn device_round(run: &Run<'_>, turn: Turn) -> Result<Delivery, Lost> {
    let (device, demand) = (turn.device, run.world.demand_of(turn.device));
    run.world.download(device, demand.update_down_bytes(), Content::Adapters).await?;
    run.world.download(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    let mut update = Delivery::starting_from(device, turn.start);
    for step in run.steps_of(turn.round) {
        run.world.train_on_device(device, &run.learn.batch_shape(client_of(device), step)).await?;
        turn.step(run, &mut update, step);
    }
    aggregation::upload(run.world, run.plan, device, demand.update_up_bytes()).await?;
    run.world.upload(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    Ok(update)
}
