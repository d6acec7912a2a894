//! A record in one page of numbers: every metric as an estimate over the replications.

use super::latency::LatencyParts;
use super::stats::Estimate;
use super::units::Quantity;
use crate::experiment::{Record, ReplicationRecord, RoundRecord};
use serde::Serialize;
use std::collections::BTreeMap;

/// Accuracies, in percent, whose time of first reach is reported.
const TARGETS_PERCENT: [u32; 10] = [50, 55, 60, 65, 70, 75, 80, 85, 90, 95];

/// The content of `summary.json`; `docs/metrics.md` defines every key. `None` (null) where the run has no such number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub replications: usize,
    pub rounds: Option<Estimate>,
    pub simulated_seconds: Option<Estimate>,
    pub initial_accuracy: Option<Estimate>,
    pub final_accuracy: Option<Estimate>,
    /// By target accuracy with two decimals; over the replications that reached it, whose number is `count`.
    pub time_to_accuracy_s: BTreeMap<String, Option<Estimate>>,
    pub device_compute_s: Option<Estimate>,
    pub uplink_s: Option<Estimate>,
    pub edge_compute_s: Option<Estimate>,
    pub downlink_s: Option<Estimate>,
    pub waiting_s: Option<Estimate>,
    pub uplink_bytes: Option<Estimate>,
    pub downlink_bytes: Option<Estimate>,
    pub device_joules: Option<Estimate>,
    pub edge_joules: Option<Estimate>,
    pub cost_usd: Option<Estimate>,
    pub peak_device_memory_bytes: Option<Estimate>,
}

/// A metric ready for a table: its key in `summary.json`, its name, what it measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub key: &'static str,
    pub name: &'static str,
    pub estimate: Option<Estimate>,
    pub quantity: Quantity,
}

impl Summary {
    pub fn of(record: &Record) -> Self {
        let over = |value: &dyn Fn(&ReplicationRecord) -> Option<f64>| {
            Estimate::of(&record.replications.iter().filter_map(value).collect::<Vec<_>>())
        };
        let sum = |value: fn(&RoundRecord) -> f64| over(&|r| Some(r.rounds.iter().map(value).fold(0.0, |a, b| a + b)));
        let part =
            |i: usize| over(&|r| Some(r.rounds.iter().map(|x| LatencyParts::of_round(x).0[i]).fold(0.0, |a, b| a + b)));
        let time_to = |percent: u32| over(&|r| time_to_accuracy(r, f64::from(percent) / 100.0));
        Self {
            replications: record.replications.len(),
            rounds: over(&|r| Some(r.rounds.len() as f64)),
            simulated_seconds: over(&|r| Some(r.simulated_seconds)),
            initial_accuracy: over(&|r| r.initial_accuracy),
            final_accuracy: over(&|r| r.final_accuracy),
            time_to_accuracy_s: TARGETS_PERCENT.iter().map(|&p| (format!("0.{p}"), time_to(p))).collect(),
            device_compute_s: part(0),
            uplink_s: part(1),
            edge_compute_s: part(2),
            downlink_s: part(3),
            waiting_s: part(4),
            uplink_bytes: sum(|r| r.uplink_bytes as f64),
            downlink_bytes: sum(|r| r.downlink_bytes as f64),
            device_joules: sum(|r| r.device_joules),
            edge_joules: sum(|r| r.edge_joules),
            cost_usd: sum(|r| r.cost_usd),
            peak_device_memory_bytes: over(&|r| {
                r.rounds.iter().map(|x| x.peak_device_memory_bytes as f64).reduce(f64::max)
            }),
        }
    }

    /// Every metric but the times to accuracy, in the order of the report.
    pub fn metrics(&self) -> Vec<Metric> {
        use Quantity::{Accuracy, Bytes, Count, Joules, Seconds, UsDollars};
        let rows = [
            ("simulated_seconds", "simulated time", &self.simulated_seconds, Seconds),
            ("rounds", "rounds", &self.rounds, Count),
            ("initial_accuracy", "initial accuracy", &self.initial_accuracy, Accuracy),
            ("final_accuracy", "final accuracy", &self.final_accuracy, Accuracy),
            ("device_compute_s", "device compute", &self.device_compute_s, Seconds),
            ("uplink_s", "uplink", &self.uplink_s, Seconds),
            ("edge_compute_s", "edge compute", &self.edge_compute_s, Seconds),
            ("downlink_s", "downlink", &self.downlink_s, Seconds),
            ("waiting_s", "waiting", &self.waiting_s, Seconds),
            ("uplink_bytes", "sent up", &self.uplink_bytes, Bytes),
            ("downlink_bytes", "sent down", &self.downlink_bytes, Bytes),
            ("device_joules", "device energy", &self.device_joules, Joules),
            ("edge_joules", "edge energy", &self.edge_joules, Joules),
            ("cost_usd", "cost", &self.cost_usd, UsDollars),
            ("peak_device_memory_bytes", "peak device memory", &self.peak_device_memory_bytes, Bytes),
        ];
        rows.map(|(key, name, estimate, quantity)| Metric { key, name, estimate: *estimate, quantity }).into()
    }
}

/// Accuracy against simulated seconds: before the first round at 0, then at the end of every evaluated round.
pub fn accuracy_curve(replication: &ReplicationRecord) -> Vec<(f64, f64)> {
    let start = replication.initial_accuracy.map(|a| (0.0, a));
    let evaluated = replication.rounds.iter().filter_map(|r| Some((r.end_s, r.accuracy?)));
    start.into_iter().chain(evaluated).collect()
}

/// Simulated seconds at which an evaluation first showed `target` accuracy or more; `None` if none did.
pub fn time_to_accuracy(replication: &ReplicationRecord, target: f64) -> Option<f64> {
    accuracy_curve(replication).into_iter().find(|&(_, accuracy)| accuracy >= target).map(|(time, _)| time)
}
