//! Split federated fine-tuning with one edge side for all: devices train at once, the edge takes their batches in turn.
//!
//! Thapa, Arachchige, Camtepe, Sun 2022 (arXiv 2004.12088), algorithm SplitFedV2, with parallel devices as in SFT (Zhang et
//! al. 2025, arXiv 2501.09237). Each batch that reaches the edge trains the one edge side there is, in the order of
//! arrival; each device keeps its own device side for the round, and these are averaged at its end. The optimiser of the
//! edge side goes on from batch to batch within a round; its count of steps is the one that counts for both sides.

use super::Run;
use super::cut::CutLayer;
use super::federation::{Server, Turn};
use crate::aggregation::{self, Delivery};
use crate::learning::{LearningError, StateHandle};
use crate::world::{Content, Lost};
use std::cell::{Cell, RefCell};

pub(super) async fn play(run: &Run<'_>, layer: &CutLayer) -> Result<(), LearningError> {
    let mut server = Server::new(run);
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let (start, edge) = (server.global, Cell::new(server.global));
        let updates = run.gather(&devices, |device| device_round(run, layer, server.turn(device, round), &edge)).await;
        server.global =
            aggregation::combine_beside_shared_server(run.world, run.learn, run.plan, start, &updates, edge.get())
                .await;
        if run.end_round(round, &[server.global], &updates)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// `edge` holds the state whose edge side is the shared one.
async fn device_round(run: &Run<'_>, layer: &CutLayer, turn: Turn, edge: &Cell<StateHandle>) -> Result<Delivery, Lost> {
    let (device, demand) = (turn.device, run.world.demand_of(turn.device));
    run.world.download(device, demand.device_side_bytes(), Content::Adapters).await?;
    let update = RefCell::new(Delivery::starting_from(device, turn.start));
    for step in run.steps_of(turn.round) {
        let trained = || {
            let mut update = update.borrow_mut();
            let first = edge.get() == turn.start;
            let state = run.learn.with_edge_side_of(update.state, edge.get(), demand.split_point());
            update.follow(turn.local_step(run, state, step, first, layer.options(run, device, None)));
            edge.set(update.state);
        };
        layer.step_telling(run, device, step, &trained).await?;
    }
    run.world.upload(device, demand.device_side_bytes(), Content::Adapters).await?;
    Ok(update.into_inner())
}
