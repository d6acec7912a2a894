//! Who takes part, and where they are.

use serde::{Deserialize, Serialize};

/// Devices of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceGroup {
    /// Devices are called `<name>-<number>`.
    pub name: String,
    pub count: usize,
    /// A name of `deft list hardware`.
    pub hardware: String,
    /// Share of the hardware's peak speed that the owner leaves to fine-tuning, in (0, 1].
    pub compute_share: f64,
    /// Share of the hardware's clock at which it computes, in (0, 1]; power follows the cube.
    #[serde(skip_serializing_if = "super::network::is_one")]
    pub clock_share: f64,
    /// Share of the hardware's memory that fine-tuning may take, in (0, 1].
    pub memory_share: f64,
    /// Charge at the start; a device whose battery is empty drops out. Ignored by hardware without a battery.
    pub battery_percent: f64,
    /// Relative amount of training data under the `iid` and `dirichlet` partitions.
    pub data_weight: f64,
    /// Transmit power limit of the radio.
    pub tx_power_dbm: f64,
    /// Ranks of LoRA pairs that these devices hold and tune, at most: the first of the server's. `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<usize>,
    /// Probability that a device stands in a building, in [0, 1].
    pub indoor_share: f64,
}

/// Where devices start, around their cell (dealt to the cells in turn).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Placement {
    /// Uniform over a ring around the cell.
    Uniform { min_distance_m: f64, max_distance_m: f64 },
    /// Coordinates in metres, one pair a device.
    Fixed { positions_m: Vec<[f64; 2]> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Mobility {
    Static,
    /// Straight walks between uniform points of the placement's area (Johnson and Maltz 1996).
    RandomWaypoint {
        min_speed_m_per_s: f64,
        max_speed_m_per_s: f64,
        pause_s: f64,
        /// `None`: each transfer is served by the cell that is nearest as it begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        handover: Option<HandoverSpec>,
    },
}

/// Handover by event A3.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoverSpec {
    /// By how much a neighbour must be better, and the margin on either side of that.
    pub offset_db: f64,
    pub hysteresis_db: f64,
    /// For how long.
    pub time_to_trigger_ms: f64,
    pub measurement_period_ms: f64,
    /// For which a device that changes cells can neither send nor receive.
    pub interruption_ms: f64,
    /// Whether the edge server changes with the cell, and the device's state moves there.
    pub migrate_state: bool,
}
