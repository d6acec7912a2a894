//! Gradient download: the edge runs the model, devices own the PEFT parameters and get gradients.
//!
//! One of the ways of federated fine-tuning in Wu, Chen, Huang 2023 (arXiv 2310.18602; abstract only). Needed on the
//! device: embedding and perhaps a few frozen blocks, PEFT parameters, their optimiser. The edge keeps nothing of a
//! device between steps: activations, labels and parameters go up, the gradient comes back, whole or as a random
//! projection that both sides draw from one seed. The whole gradient makes the numbers those of `federated`.

use super::Run;
use super::federation::{self, Turn};
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::{LearningError, StepOptions};
use crate::world::{Content, EdgePasses, Lost};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    federation::play(run, |turn| device_round(run, turn)).await
}

async fn device_round(run: &Run<'_>, turn: Turn) -> Result<Delivery, Lost> {
    let (world, device) = (run.world, turn.device);
    let demand = world.demand_of(device);
    let dimension = run.plan.gradients.and_then(|g| g.projection_dimension);
    let options = StepOptions {
        projection_dimension: demand.projected_length(dimension).and(dimension),
        ..StepOptions::default()
    };
    world.download(device, demand.parameter_bytes(), Content::Adapters).await?;
    world.download(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    let mut update = Delivery::starting_from(device, turn.start);
    for step in run.steps_of(turn.round) {
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
        turn.step_with(run, &mut update, step, options.clone());
    }
    aggregation::upload(world, run.plan, device, demand.parameter_bytes()).await?;
    world.upload(device, demand.control_variate_bytes(), Content::ControlVariates).await?;
    Ok(update)
}
