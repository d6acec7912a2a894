//! From what was played to plain rows: handles become numbers, indices become names.

use super::record::{DeviceRecord, FlowRecord, LearningCounts, MeasureRecord, Outcome, ReplicationRecord, RoundRecord};
use crate::deft::{Measured, Played, PlayedRound};
use crate::learning::{Client, Evaluation, EvaluationHandle, Learning, LearningError};
use crate::world::{Flow, FlowDirection, World};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn replication(
    replication: u64,
    world: &World,
    learn: &Learning,
    played: Played,
) -> Result<ReplicationRecord, LearningError> {
    // All at once: what trials and rounds share is computed once, and what can be stacked is stacked.
    let measured = played.measures.iter().filter_map(|(_, m)| match m {
        Measured::Accuracy(handle) | Measured::BestAccuracy(handle) => Some(*handle),
        Measured::Number(_) | Measured::Loss(_) => None,
    });
    let measured_losses = played.measures.iter().filter_map(|(_, m)| match m {
        Measured::Loss(handle) => Some(*handle),
        _ => None,
    });
    let of_rounds = played.rounds.iter().flat_map(|r| r.evaluations.iter().copied());
    let evaluations: Vec<EvaluationHandle> = played.initial.into_iter().chain(of_rounds).chain(measured).collect();
    let losses: Vec<_> = played.rounds.iter().filter_map(|r| r.loss).chain(measured_losses).collect();
    learn.resolve(&evaluations, &losses)?;
    let rounds: Vec<RoundRecord> =
        played.rounds.iter().map(|r| round(replication, learn, r)).collect::<Result<_, _>>()?;
    let initial_accuracy = match played.initial {
        Some(handle) => learn.evaluation(handle)?.map(|e| e.accuracy),
        None => None,
    };
    let (events, digest) = world.events_and_digest();
    let (operations_asked, operations_computed) = learn.counts();
    Ok(ReplicationRecord {
        replication,
        outcome: match &played {
            p if p.reached_accuracy => Outcome::ReachedAccuracy,
            p if p.ran_out_of_devices => Outcome::NoDevicesLeft,
            _ => Outcome::Completed,
        },
        simulated_seconds: world.now().as_seconds(),
        events,
        digest,
        initial_accuracy,
        final_accuracy: rounds.iter().rev().find_map(|r| r.accuracy),
        devices: devices(replication, world, learn, played.rounds.last())?,
        flows: world.take_flows().iter().map(|f| flow(replication, world, f)).collect(),
        measures: measures(replication, learn, &played)?,
        learning: LearningCounts { operations_asked, operations_computed },
        rounds,
    })
}

fn measures(replication: u64, learn: &Learning, played: &Played) -> Result<Vec<MeasureRecord>, LearningError> {
    let mut by_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut best = BTreeSet::new();
    for (name, measured) in &played.measures {
        let value = match measured {
            Measured::Number(value) => Some(*value),
            Measured::Accuracy(handle) | Measured::BestAccuracy(handle) => {
                learn.evaluation(*handle)?.map(|e| e.accuracy)
            }
            Measured::Loss(handle) => learn.loss(*handle)?,
        };
        if matches!(measured, Measured::BestAccuracy(_)) {
            best.insert(*name);
        }
        by_name.entry(name).or_default().extend(value);
    }
    let rows = by_name.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| MeasureRecord {
        replication,
        measure: name.to_owned(),
        value: match best.contains(name) {
            true => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
            false => values.iter().sum::<f64>() / values.len() as f64,
        },
    });
    Ok(rows.collect())
}

fn round(replication: u64, learn: &Learning, played: &PlayedRound) -> Result<RoundRecord, LearningError> {
    let t = &played.totals;
    let tests: Vec<Evaluation> = played
        .evaluations
        .iter()
        .map(|e| learn.evaluation(*e))
        .collect::<Result<Option<Vec<_>>, _>>()?
        .unwrap_or_default();
    let mean = |of: &dyn Fn(&Evaluation) -> f64| {
        (!tests.is_empty()).then(|| tests.iter().map(of).sum::<f64>() / tests.len() as f64)
    };
    Ok(RoundRecord {
        replication,
        round: t.round,
        start_s: t.start.as_seconds(),
        end_s: t.end.as_seconds(),
        participants: t.participants,
        delivered: played.delivered,
        device_compute_s: t.device_compute_s,
        uplink_s: t.uplink_s,
        edge_compute_s: t.edge_compute_s,
        downlink_s: t.downlink_s,
        waiting_s: t.waiting_s,
        uplink_bytes: t.uplink_bytes,
        downlink_bytes: t.downlink_bytes,
        lost_bytes: t.lost_bytes,
        device_joules: t.device_joules,
        edge_joules: t.edge_joules,
        cost_usd: t.cost_usd,
        peak_device_memory_bytes: t.peak_device_memory_bytes,
        train_loss: played.loss.map(|l| learn.loss(l)).transpose()?.flatten(),
        test_loss: mean(&|e| e.loss),
        accuracy: mean(&|e| e.accuracy),
        evaluated_samples: tests.first().map(|e| e.samples),
    })
}

fn devices(
    replication: u64,
    world: &World,
    learn: &Learning,
    last: Option<&PlayedRound>,
) -> Result<Vec<DeviceRecord>, LearningError> {
    // One evaluation a device exists only where devices end with models of their own.
    let own = last.map(|r| r.evaluations.as_slice()).filter(|e| e.len() == world.device_count() && e.len() > 1);
    let mut rows = vec![];
    for (device, t) in world.devices().zip(world.device_totals()) {
        let evaluation = own.map(|e| learn.evaluation(e[device.id.index()])).transpose()?.flatten();
        rows.push(DeviceRecord {
            replication,
            device: device.name.clone(),
            group: device.group.clone(),
            hardware: device.hardware.name.clone(),
            cell: world.cell_name(device.cell()).to_owned(),
            edge_server: world.server_name(device.server.get()).to_owned(),
            training_samples: if learn.trains() {
                learn.samples(Client::Device(device.id.number())) as usize
            } else {
                0
            },
            rounds_taken_part: t.rounds_taken_part,
            rounds_delivered: t.rounds_delivered,
            handovers: world.handovers(device.id),
            device_compute_s: t.activity.device_compute.as_seconds(),
            uplink_s: t.activity.uplink.as_seconds(),
            edge_compute_s: t.activity.edge_compute.as_seconds(),
            downlink_s: t.activity.downlink.as_seconds(),
            waiting_s: t.waiting.as_seconds(),
            uplink_bytes: t.uplink_bytes,
            downlink_bytes: t.downlink_bytes,
            lost_bytes: t.lost_bytes,
            compute_joules: t.compute_joules,
            radio_joules: t.radio_joules,
            battery_left_percent: device.battery_percent(),
            peak_memory_bytes: t.peak_memory_bytes,
            memory_limit_bytes: device.memory_limit_bytes,
            mean_uplink_snr_db: (t.uplinks > 0).then(|| t.uplink_snr_db_sum / t.uplinks as f64),
            final_accuracy: evaluation.map(|e| e.accuracy),
        });
    }
    Ok(rows)
}

fn flow(replication: u64, world: &World, f: &Flow) -> FlowRecord {
    FlowRecord {
        replication,
        round: f.round,
        device: world.device_name(f.device).to_owned(),
        direction: f.direction.name().to_owned(),
        content: f.content.name().to_owned(),
        outcome: f.outcome.name().to_owned(),
        bytes: f.bytes,
        lost_bytes: f.lost_bytes,
        start_s: f.start.as_seconds(),
        end_s: f.end.as_seconds(),
        radio_s: f.radio.as_seconds(),
        wired_s: f.wired.as_seconds(),
        no_route_s: f.no_route.as_seconds(),
        cell: world.cell_name(f.cell).to_owned(),
        edge_server: match f.direction {
            FlowDirection::Sidelink { to } => world.device_name(to).to_owned(),
            _ => world.server_name(f.server).to_owned(),
        },
        distance_m: f.budget.distance_m,
        ground_distance_m: f.budget.distance_2d_m,
        line_of_sight: f.budget.los,
        path_loss_db: f.budget.path_loss_db,
        indoor_loss_db: f.budget.indoor_loss_db,
        air_loss_db: f.budget.air_loss_db,
        shadowing_db: f.budget.shadowing_db,
        fading_db: f.budget.fading_db,
        antenna_gain_db: f.budget.antenna_gain_db,
        tx_power_dbm: f.budget.tx_power_dbm,
        bandwidth_hz: f.budget.bandwidth_hz,
        noise_dbm: f.budget.noise_dbm,
        interference_db: f.budget.interference_margin_db,
        start_snr_db: f.budget.snr_db,
        mean_snr_db: f.mean_snr_db,
        effective_snr_db: f.link_layer.effective_snr_db,
        mean_cqi: f.link_layer.cqi,
        mean_mcs: f.mean_mcs,
        mean_layers: f.link_layer.layers,
        mean_share: f.mean_share,
        mean_resource_blocks: f.link_layer.resource_blocks,
        block_error_rate: f.link_layer.block_error_rate,
        mean_transmissions: f.link_layer.transmissions,
        on_air_s: f.link_layer.on_air_s,
        outage_s: f.link_layer.outage_s,
        mean_rate_bit_per_s: f.mean_rate_bit_per_s,
        tx_joules: f.tx_joules,
    }
}
