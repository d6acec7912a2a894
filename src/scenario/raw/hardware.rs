//! Keys of `hardware`.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hardware {
    pub file: Option<String>,
    pub name: Option<String>,
    pub fp32_gflops: Option<f64>,
    pub fp16_gflops: Option<f64>,
    pub int8_gops: Option<f64>,
    pub memory_gb: Option<f64>,
    pub memory_bandwidth_gb_per_s: Option<f64>,
    pub launch_overhead_us: Option<f64>,
    pub overlap: Option<bool>,
    pub idle_w: Option<f64>,
    pub active_w: Option<f64>,
    pub battery_wh: Option<f64>,
}
