//! What a run was made by and on: the one file of a result that may differ between equal runs.

use super::csv_tables::hex;
use super::{RunDescription, folder};
use crate::experiment::{LearningCounts, Outcome, Record};
use serde::{Deserialize, Serialize};

/// Version of the layout of a run folder; a reader refuses any other.
pub const FORMAT_VERSION: u32 = 4;

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    pub program_version: String,
    pub scenario: String,
    pub id: String,
    pub seed: u64,
    pub replications: Vec<ReplicationManifest>,
    pub wall_seconds: f64,
    pub backend: String,
    pub host: Host,
}

/// How one replication ended and how much arithmetic it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationManifest {
    pub replication: u64,
    pub outcome: Outcome,
    /// Digest of the order and times of all events, 16 hexadecimal digits.
    #[serde(with = "hex")]
    pub digest: u64,
    #[serde(flatten)]
    pub learning: LearningCounts,
}

/// The machine and the build behind `wall_seconds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub operating_system: String,
    pub architecture: String,
    pub cpu_model: String,
    pub threads: usize,
    /// `release`, or `debug` where debug assertions are on and times mean little.
    pub build_profile: String,
}

impl Manifest {
    pub(super) fn of(run: &RunDescription<'_>, record: &Record) -> Self {
        let replications = record.replications.iter().map(|r| ReplicationManifest {
            replication: r.replication,
            outcome: r.outcome.clone(),
            digest: r.digest,
            learning: r.learning,
        });
        Self {
            format_version: FORMAT_VERSION,
            program_version: run.version.to_owned(),
            scenario: run.scenario_name.to_owned(),
            id: folder::identity(run.resolved_yaml, run.version),
            seed: run.seed,
            replications: replications.collect(),
            wall_seconds: run.wall_seconds,
            backend: run.backend.to_owned(),
            host: Host::current(run.threads),
        }
    }
}

impl Host {
    /// This machine, computing with `threads` threads.
    pub fn current(threads: usize) -> Self {
        Self {
            operating_system: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpu_model: cpu_model().unwrap_or_else(|| "unknown".to_owned()),
            threads,
            build_profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        }
    }
}

/// The first `model name` that Linux lists; `None` elsewhere.
fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
