//! One trial: what is stored of it, and where.

use super::space::Combination;
use crate::experiment::ReplicationRecord;
use crate::results::{self, ResultsError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The outcome of one trial, as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Name of the variant; `None` in a search without variants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub combination: Combination,
    pub replication: u64,
    pub status: TrialStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    Done(Numbers),
    /// The trial could not be run; the search goes on.
    Failed {
        cause: String,
    },
}

/// What a search compares. `docs/metrics.md` defines each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    pub simulated_seconds: f64,
    /// Simulated time at which the objective's accuracy was first measured; `None` if it never was.
    pub seconds_to_target: Option<f64>,
    pub final_accuracy: Option<f64>,
    pub uplink_bytes: u64,
    pub downlink_bytes: u64,
    pub device_joules: f64,
    pub edge_joules: f64,
    pub cost_usd: f64,
    pub peak_device_memory_bytes: u64,
    pub events: u64,
    pub digest: u64,
    /// Numbers of the technique's own, by name.
    #[serde(default)]
    pub measures: BTreeMap<String, f64>,
}

impl Numbers {
    pub fn of(record: &ReplicationRecord, target_accuracy: f64) -> Self {
        let rounds = &record.rounds;
        let reached = rounds.iter().find(|r| r.accuracy.is_some_and(|a| a >= target_accuracy));
        Self {
            simulated_seconds: record.simulated_seconds,
            seconds_to_target: reached.map(|r| r.end_s),
            final_accuracy: record.final_accuracy,
            uplink_bytes: rounds.iter().map(|r| r.uplink_bytes).sum(),
            downlink_bytes: rounds.iter().map(|r| r.downlink_bytes).sum(),
            device_joules: rounds.iter().map(|r| r.device_joules).sum(),
            edge_joules: rounds.iter().map(|r| r.edge_joules).sum(),
            cost_usd: rounds.iter().map(|r| r.cost_usd).sum(),
            peak_device_memory_bytes: rounds.iter().map(|r| r.peak_device_memory_bytes).max().unwrap_or(0),
            events: record.events,
            digest: record.digest,
            measures: record.measures.iter().map(|m| (m.measure.clone(), m.value)).collect(),
        }
    }
}

impl Numbers {
    /// The number that a plot's axis names; `None` where this trial has none.
    pub fn named(&self, name: &str) -> Option<f64> {
        Some(match name {
            "simulated_seconds" => self.simulated_seconds,
            "seconds_to_target" => return self.seconds_to_target,
            "final_accuracy" => return self.final_accuracy,
            "uplink_bytes" => self.uplink_bytes as f64,
            "downlink_bytes" => self.downlink_bytes as f64,
            "device_joules" => self.device_joules,
            "edge_joules" => self.edge_joules,
            "cost_usd" => self.cost_usd,
            "peak_device_memory_bytes" => self.peak_device_memory_bytes as f64,
            measure => return self.measures.get(measure).copied(),
        })
    }
}

/// Where a trial's result lies: a name made of everything that decides it.
pub(super) fn path(folder: &Path, resolved_yaml: &str, version: &str, replication: u64, target: f64) -> PathBuf {
    let mut hash = Sha256::new();
    for part in [version.as_bytes(), resolved_yaml.as_bytes(), &replication.to_le_bytes(), &target.to_le_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let name: String = hash.finalize().iter().take(12).map(|b| format!("{b:02x}")).collect();
    folder.join(format!("{name}.json"))
}

/// A stored result; `None` if there is none that can be read.
pub(super) fn load(path: &Path) -> Option<TrialResult> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

pub(super) fn store(path: &Path, result: &TrialResult) -> Result<(), ResultsError> {
    results::write_json(path, result)
}
