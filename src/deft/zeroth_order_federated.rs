//! Zeroth-order rounds: in each step one number a device crosses the air.
//!
//! All draw the same random direction z from the run's seed. Each device finds the slope of its own loss along z with
//! two forward passes and sends it, digitally or as an analog value that the channel adds to the others' (Chen et al.
//! 2025, ZOTA, doi 10.1109/LWC.2025.3585344; Cai et al. 2026, pAirZero, arXiv 2604.12401; abstracts only). The edge
//! sends back the mean, and everybody takes the same step along z: nobody ever sends parameters (as in FedKSeed, Qin et
//! al. 2024, arXiv 2312.06353). Needed on the device: the whole model, in the memory of a forward pass.

use super::{Measured, Run};
use crate::aggregation::slopes::{self, MeanSlope};
use crate::aggregation::{Delivery, client_of};
use crate::learning::{LearningError, StateHandle};
use crate::sim::join_all;
use crate::world::{Content, DeviceId, Lost};
use std::collections::BTreeMap;

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let mut model = run.learn.initial();
    let mut news = News { steps_taken: 0, heard: vec![0; run.world.device_count()] };
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        // Who missed steps gets their slopes first.
        let mut listening = news.deliver(run, &devices).await;
        let mut contributors: BTreeMap<DeviceId, Delivery> = BTreeMap::new();
        for step in run.steps_of(round) {
            let slopes = run.gather(&listening, |device| device_step(run, device, step, model)).await;
            let MeanSlope { mean, counted, measures } = slopes::combine(run.world, run.learn, run.plan, &slopes).await;
            measures.into_iter().for_each(|(name, value)| run.measure(name, Measured::Number(value)));
            if let Some(mean) = mean {
                let handles: Vec<StateHandle> = slopes.iter().map(|s| s.state).collect();
                model = run.learn.follow_slopes(model, &handles, step, mean);
                news.steps_taken += 1;
            }
            for slope in counted {
                let all = Delivery { steps: vec![], ..slope.clone() };
                contributors.entry(slope.device).or_insert(all).steps.extend(slope.steps);
            }
            let senders: Vec<DeviceId> = slopes.iter().map(|s| s.device).collect();
            listening = news.deliver(run, &senders).await;
        }
        let delivered: Vec<Delivery> = contributors.into_values().collect();
        if run.end_round(round, &[model], &delivered)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// Two losses on the device's mini-batch, and the slope between them to the edge.
async fn device_step(run: &Run<'_>, device: DeviceId, step: u64, model: StateHandle) -> Result<Delivery, Lost> {
    run.world.train_on_device(device, &run.learn.batch_shape(client_of(device), step)).await?;
    slopes::upload(run.world, run.plan, device).await?;
    let slope = run.learn.slope(model, client_of(device), step);
    Ok(Delivery { device, state: slope, steps: vec![slope] })
}

/// Mean slopes, and how many of them each device has heard.
struct News {
    steps_taken: u64,
    heard: Vec<u64>,
}

impl News {
    /// Sends each of `devices` the mean slopes that it has not heard; returns who got them.
    async fn deliver(&mut self, run: &Run<'_>, devices: &[DeviceId]) -> Vec<DeviceId> {
        let missed = |device: DeviceId| self.steps_taken - self.heard[device.index()];
        let bytes = |device| run.world.demand().slope_bytes(missed(device));
        let sent = devices.iter().map(|&device| run.world.download(device, bytes(device), Content::Slopes));
        let outcomes = join_all(sent).await;
        let arrived: Vec<DeviceId> =
            devices.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(device, _)| *device).collect();
        arrived.iter().for_each(|device| self.heard[device.index()] = self.steps_taken);
        arrived
    }
}
