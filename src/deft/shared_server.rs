//! Split federated fine-tuning with one edge side for all: devices train at once, the edge takes their batches in turn.
//!
//! Thapa, Arachchige, Camtepe, Sun 2022 (arXiv 2004.12088), algorithm SplitFedV2, with parallel devices as in SFT (Zhang et
//! al. 2025, arXiv 2501.09237). Each batch that reaches the edge trains the one edge side there is, in the order of
//! arrival; each device keeps its own device side for the round, and these are averaged at its end. The optimiser of the
//! edge side goes on from batch to batch within a round; its count of steps is the one that counts for both sides.

use super::Run;
use super::cut::CutLayer;
use crate::aggregation::{self, Delivery, client_of};
use crate::learning::{LearningError, StateHandle};
use crate::world::{Content, DeviceId, Lost};
use std::cell::{Cell, RefCell};

pub(super) async fn play(run: &Run<'_>, layer: &CutLayer) -> Result<(), LearningError> {
    let mut global = run.learn.initial();
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let server = Cell::new(global);
        let updates = run.gather(&devices, |device| device_round(run, layer, round, device, global, &server)).await;
        global =
            aggregation::combine_beside_shared_server(run.world, run.learn, run.plan, global, &updates, server.get())
                .await;
        if run.end_round(round, &[global], &updates)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// `server` holds the state whose edge side is the shared one.
async fn device_round(
    run: &Run<'_>,
    layer: &CutLayer,
    round: usize,
    device: DeviceId,
    global: StateHandle,
    server: &Cell<StateHandle>,
) -> Result<Delivery, Lost> {
    let demand = run.world.demand_of(device);
    run.world.download(device, demand.device_side_bytes(), Content::Adapters).await?;
    let update = RefCell::new(Delivery::starting_from(device, global));
    for step in run.steps_of(round) {
        let trained = || {
            let mut update = update.borrow_mut();
            let first = server.get() == global;
            let state = run.learn.with_edge_side_of(update.state, server.get(), demand.split_point());
            let options = layer.options(run, device, None);
            update.state = run.learn.local_step_with(state, client_of(device), step, first, options);
            let trained = update.state;
            update.steps.push(trained);
            server.set(trained);
        };
        layer.step_telling(run, device, step, &trained).await?;
    }
    run.world.upload(device, demand.device_side_bytes(), Content::Adapters).await?;
    Ok(update.into_inner())
}
