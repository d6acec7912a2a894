//! Gradient download: the edge runs the model, devices own the PEFT parameters and get gradients.
//!
//! One of the ways of federated fine-tuning in Wu, Chen, Huang 2023 (arXiv 2310.18602; abstract only). Needed on the
//! device: embedding and perhaps a few frozen blocks, PEFT parameters, their optimiser. The edge keeps nothing of a
//! device between steps: activations, labels and parameters go up, the gradient comes back, whole or as a random
//! projection that both sides draw from one seed. The whole gradient makes the numbers those of `federated`.

use super::Run;
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::{LearningError, StateHandle, StepOptions};
use crate::world::{Content, DeviceId, EdgePasses, Lost};

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
    let (world, demand) = (run.world, run.world.demand());
    let dimension = run.plan.gradients.and_then(|g| g.projection_dimension);
    let options = StepOptions {
        projection_dimension: demand.projected_length(dimension).and(dimension),
        ..StepOptions::default()
    };
    world.download(device, demand.parameter_bytes(), Content::Adapters).await?;
    let mut update = Delivery::starting_from(device, global);
    for step in run.steps_of(round) {
        let batch = run.learn.batch_shape(client_of(device), step);
        let samples = run.learn.batch_lengths(client_of(device), step);
        world.forward_on_device(device, &batch, &batch).await?;
        world.upload(device, demand.smashed_bytes(&samples), Content::Activations).await?;
        // In the first step of a round they are still what the edge has just sent.
        if !update.steps.is_empty() {
            world.upload(device, demand.parameter_bytes(), Content::Adapters).await?;
        }
        world.compute_edge_side(device, EdgePasses::Both, &batch).await;
        world.download(device, demand.parameter_gradient_bytes(dimension), Content::ParameterGradients).await?;
        world.update_on_device(device, dimension, &batch).await?;
        update.step_with(run.learn, client_of(device), step, options.clone());
    }
    aggregation::upload(world, run.plan, device, demand.parameter_bytes()).await?;
    Ok(update)
}
