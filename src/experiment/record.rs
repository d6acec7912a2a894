//! What one trial leaves behind: plain numbers, one struct a table.
//!
//! `docs/metrics.md` defines every field; the names here are the columns of the CSV files.

use serde::{Deserialize, Serialize};

/// One trial: a scenario with its replications.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub replications: Vec<ReplicationRecord>,
}

/// One replication of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicationRecord {
    pub replication: u64,
    pub outcome: Outcome,
    /// Virtual time at which the protocol ended.
    pub simulated_seconds: f64,
    /// Events the time plane executed, and the digest of their order and times.
    pub events: u64,
    pub digest: u64,
    /// Accuracy before the first round, where there is training.
    pub initial_accuracy: Option<f64>,
    pub final_accuracy: Option<f64>,
    pub rounds: Vec<RoundRecord>,
    pub devices: Vec<DeviceRecord>,
    pub flows: Vec<FlowRecord>,
    /// Numbers that only this technique has, sorted by name.
    #[serde(default)]
    pub measures: Vec<MeasureRecord>,
    pub learning: LearningCounts,
}

/// Why a replication ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All rounds were played.
    Completed,
    /// `training.stop_at_accuracy` was reached.
    ReachedAccuracy,
    /// No device was left that could take part.
    NoDevicesLeft,
}

/// How much arithmetic was asked for and how much was done. A run served from the cache computes nothing, so these
/// counts go to the manifest and the screen, never into the tables that must not depend on a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearningCounts {
    pub operations_asked: u64,
    pub operations_computed: u64,
}

/// One round of one replication: a row of `rounds.csv`.
///
/// The five latency parts are means over the round's participants and add up to `end_s - start_s`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    pub replication: u64,
    pub round: usize,
    pub start_s: f64,
    pub end_s: f64,
    pub participants: usize,
    /// Participants whose update counted (in time, and not silenced by the channel).
    pub delivered: usize,
    pub device_compute_s: f64,
    pub uplink_s: f64,
    pub edge_compute_s: f64,
    pub downlink_s: f64,
    pub waiting_s: f64,
    pub uplink_bytes: u64,
    pub downlink_bytes: u64,
    /// Part of the two in vain: of transfers that did not arrive as a whole.
    pub lost_bytes: u64,
    pub device_joules: f64,
    pub edge_joules: f64,
    pub cost_usd: f64,
    pub peak_device_memory_bytes: u64,
    /// Mean cross entropy of the round's local steps.
    pub train_loss: Option<f64>,
    pub test_loss: Option<f64>,
    pub accuracy: Option<f64>,
    /// Test samples behind `accuracy`.
    pub evaluated_samples: Option<usize>,
}

/// One device over one replication: a row of `devices.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    pub replication: u64,
    pub device: String,
    pub group: String,
    pub hardware: String,
    pub cell: String,
    pub edge_server: String,
    pub training_samples: usize,
    pub rounds_taken_part: usize,
    pub rounds_delivered: usize,
    pub handovers: usize,
    pub device_compute_s: f64,
    pub uplink_s: f64,
    pub edge_compute_s: f64,
    pub downlink_s: f64,
    pub waiting_s: f64,
    pub uplink_bytes: u64,
    pub downlink_bytes: u64,
    pub lost_bytes: u64,
    pub compute_joules: f64,
    pub radio_joules: f64,
    /// Empty for hardware without a battery.
    pub battery_left_percent: Option<f64>,
    pub peak_memory_bytes: u64,
    pub memory_limit_bytes: u64,
    pub mean_uplink_snr_db: Option<f64>,
    /// Accuracy on the whole test set of the model that this device ends with, where devices end with different ones.
    pub final_accuracy: Option<f64>,
}

/// A number that only some techniques have: a row of `measures.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeasureRecord {
    pub replication: u64,
    pub measure: String,
    /// Mean over the times that the run noted it.
    pub value: f64,
}

/// One transfer: a row of `flows.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowRecord {
    pub replication: u64,
    pub round: usize,
    pub device: String,
    /// `uplink`, `downlink`, `over_the_air` or `sidelink`.
    pub direction: String,
    /// What was sent: `raw_data`, `activations`, `activation_gradients`, `adapters`, `analog_update`.
    pub content: String,
    /// `delivered`, `outage` or `cut_off`.
    pub outcome: String,
    /// What crossed the air.
    pub bytes: u64,
    /// What of it was in vain.
    pub lost_bytes: u64,
    pub start_s: f64,
    pub end_s: f64,
    pub radio_s: f64,
    pub wired_s: f64,
    pub no_route_s: f64,
    pub cell: String,
    pub edge_server: String,
    pub distance_m: f64,
    pub ground_distance_m: f64,
    pub line_of_sight: bool,
    pub path_loss_db: f64,
    pub indoor_loss_db: f64,
    pub air_loss_db: f64,
    pub shadowing_db: f64,
    pub fading_db: f64,
    pub antenna_gain_db: f64,
    pub tx_power_dbm: f64,
    pub bandwidth_hz: f64,
    pub noise_dbm: f64,
    pub interference_db: f64,
    pub start_snr_db: f64,
    pub mean_snr_db: f64,
    /// Empty where the band fades as one.
    #[serde(default)]
    pub effective_snr_db: Option<f64>,
    /// Empty without slots.
    pub mean_cqi: Option<f64>,
    /// Empty where no modulation was usable, and for analog symbols.
    pub mean_mcs: Option<f64>,
    pub mean_layers: Option<f64>,
    pub mean_share: f64,
    pub mean_resource_blocks: Option<f64>,
    pub block_error_rate: Option<f64>,
    pub mean_transmissions: Option<f64>,
    pub on_air_s: Option<f64>,
    pub outage_s: Option<f64>,
    pub mean_rate_bit_per_s: f64,
    pub tx_joules: f64,
}
