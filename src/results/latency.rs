//! The five parts that a round's latency and a device's time are made of.

use crate::experiment::{DeviceRecord, RoundRecord};
use std::ops::{Add, Mul};

/// Names of the parts, in the order of [`LatencyParts`] and of every plot and table.
pub const PART_NAMES: [&str; 5] = ["device compute", "uplink", "edge compute", "downlink", "waiting"];

/// Seconds spent in each part; see [`PART_NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyParts(pub [f64; 5]);

impl LatencyParts {
    pub fn of_round(r: &RoundRecord) -> Self {
        Self([r.device_compute_s, r.uplink_s, r.edge_compute_s, r.downlink_s, r.waiting_s])
    }

    pub fn of_device(d: &DeviceRecord) -> Self {
        Self([d.device_compute_s, d.uplink_s, d.edge_compute_s, d.downlink_s, d.waiting_s])
    }

    pub fn total_seconds(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The mean of `parts`; zero without any.
    pub fn mean(parts: &[Self]) -> Self {
        parts.iter().fold(Self::default(), |sum, &p| sum + p) * (1.0 / parts.len().max(1) as f64)
    }
}

impl Add for LatencyParts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Mul<f64> for LatencyParts {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0.map(|s| s * factor))
    }
}
