//! Digital aggregation: each device's parameters arrive without error, the edge takes their weighted mean.
//!
//! McMahan et al. 2017 (arXiv 1602.05629), eq. of algorithm 1: w = sum_k n_k / n w_k, n_k the samples of device k. What
//! arrives may be compressed, with error feedback or without (see `learning::Compression`). Low-rank pairs may be
//! averaged as products instead of factor by factor.

use super::{Delivery, client_of};
use crate::learning::{Combination, Compression, Learning, Shaping, StateHandle};
use crate::scenario::{Averaging, DigitalSpec, TechniqueSpec, UpdateCompression, UplinkAccess};
use crate::world::{Content, Demand, World};

pub(super) fn weighted_mean(learn: &Learning, averaging: Averaging, updates: &[Delivery]) -> Combination {
    let samples: Vec<f64> = updates.iter().map(|u| learn.samples(client_of(u.device))).collect();
    let total: f64 = samples.iter().sum();
    let weights = samples.iter().map(|n| n / total).collect();
    match averaging {
        Averaging::Plain => Combination::Mean { weights },
        Averaging::Refactored => Combination::MeanOfProducts { weights },
    }
}

/// What crosses the uplink.
pub(super) fn content(spec: &DigitalSpec) -> Content {
    if spec.compression == UpdateCompression::None { Content::Adapters } else { Content::CompressedUpdate }
}

/// Size of one device's update on the uplink.
pub(super) fn bytes(spec: &DigitalSpec, demand: &Demand) -> u64 {
    let entries = demand.device_side_parameters() as usize;
    match compression(&spec.compression, entries) {
        Some(compression) => compression.bits(entries, 8 * demand.precision().bytes()).div_ceil(8),
        None => demand.update_up_bytes(),
    }
}

/// The operation that a scenario's choice stands for, on so many `entries`.
fn compression(spec: &UpdateCompression, entries: usize) -> Option<Compression> {
    let kept = |fraction: f64| ((fraction * entries as f64).ceil() as usize).min(entries);
    let scheme = match *spec {
        UpdateCompression::None => return None,
        UpdateCompression::Qsgd { levels, bucket_entries, .. } => {
            Compression::qsgd(levels, bucket_entries.min(entries.max(1)))
        }
        UpdateCompression::TopK { fraction, .. } => Compression::TopK { kept: kept(fraction) },
        UpdateCompression::RandK { fraction, .. } => Compression::rand_k(kept(fraction), entries),
    };
    Some(if spec.has_error_feedback() { scheme.contracting() } else { scheme })
}

/// The dedicated uplink round, where the scenario has one; returns those whose update arrived.
pub(super) async fn hand_in(world: &World, spec: &DigitalSpec, updates: Vec<Delivery>) -> Vec<Delivery> {
    if spec.access == UplinkAccess::Cell {
        return updates;
    }
    let devices: Vec<_> = updates.iter().map(|u| u.device).collect();
    let outcomes = world.upload_together(&devices, bytes(spec, world.demand()), spec.access, content(spec)).await;
    updates.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(update, _)| update).collect()
}

/// The devices' states as they arrive. Under error feedback each device adds what it kept, and keeps what is left over.
pub(super) fn arrived(
    world: &World,
    learn: &Learning,
    plan: &TechniqueSpec,
    spec: &DigitalSpec,
    reference: StateHandle,
    updates: &[Delivery],
) -> Vec<StateHandle> {
    let split_point = plan.device_side_split();
    let entries = world.demand().device_side_parameters() as usize;
    let Some(compression) = compression(&spec.compression, entries).filter(|_| entries > 0) else {
        return updates.iter().map(|u| u.state).collect();
    };
    let feedback = spec.compression.has_error_feedback();
    let arrives = |update: &Delivery| {
        let device = update.device.number();
        let whole = if feedback { compensated(learn, split_point, update) } else { update.state };
        let noise = world.compression_noise(update.device);
        let compress = Shaping::Compress { compression: compression.clone(), noise };
        let sent = learn.shape(compress, split_point, [reference, whole]);
        if feedback {
            learn.keep_residual(device, Some(learn.shape(Shaping::Remainder, split_point, [whole, sent])));
        }
        sent
    };
    updates.iter().map(arrives).collect()
}

/// The device's state with what it kept of earlier updates added.
pub(super) fn compensated(learn: &Learning, split_point: Option<usize>, update: &Delivery) -> StateHandle {
    match learn.residual(update.device.number()) {
        Some(residual) => learn.shape(Shaping::Compensate, split_point, [update.state, residual]),
        None => update.state,
    }
}
