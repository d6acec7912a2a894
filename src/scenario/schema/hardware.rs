//! Hardware of the scenario's own.

use super::Scenario;
use crate::compute::{HardwareClass, HardwareProfile, profile};
use serde::{Deserialize, Serialize};

/// A piece of hardware that devices and servers of this scenario may name: what it sustains, so that there is no efficiency to
/// assume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnHardware {
    pub name: String,
    pub fp32_gflops: f64,
    pub fp16_gflops: f64,
    pub int8_gops: f64,
    pub memory_gb: f64,
    pub memory_bandwidth_gb_per_s: f64,
    /// Cost of starting one operation.
    pub launch_overhead_us: f64,
    /// Whether arithmetic and memory traffic go on at the same time.
    pub overlap: bool,
    pub idle_w: f64,
    pub active_w: f64,
    /// `None` on the mains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_wh: Option<f64>,
}

impl OwnHardware {
    /// As an entry of `hardware`, or a file that one names, spells it.
    ///
    /// # Panics
    /// Never: plain numbers and words can be written.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("numbers and words can be written")
    }

    fn profile(&self) -> HardwareProfile {
        HardwareProfile {
            name: self.name.clone(),
            title: self.name.clone(),
            class: if self.battery_wh.is_some() { HardwareClass::Phone } else { HardwareClass::ServerCpu },
            fp32_gflops: self.fp32_gflops,
            fp16_gflops: self.fp16_gflops,
            int8_gops: self.int8_gops,
            memory_gb: self.memory_gb,
            memory_bandwidth_gb_per_s: self.memory_bandwidth_gb_per_s,
            idle_w: self.idle_w,
            active_w: self.active_w,
            battery_wh: self.battery_wh,
            compute_efficiency: 1.0,
            bandwidth_efficiency: 1.0,
            launch_overhead_us: self.launch_overhead_us,
            overlap: self.overlap,
            source: "the scenario".to_owned(),
        }
    }
}

impl Scenario {
    /// The hardware called `name`: the scenario's own, or one of the table.
    pub fn hardware_profile(&self, name: &str) -> Option<HardwareProfile> {
        own_or_listed(&self.hardware, name)
    }
}

pub(in crate::scenario) fn own_or_listed(own: &[OwnHardware], name: &str) -> Option<HardwareProfile> {
    let own = own.iter().find(|h| h.name == name).map(OwnHardware::profile);
    own.or_else(|| profile(name).cloned())
}
