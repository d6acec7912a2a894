//! The table of real hardware.

use serde::Deserialize;
use std::sync::LazyLock;

/// Kinds of hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardwareClass {
    Phone,
    Board,
    Laptop,
    ServerCpu,
    Gpu,
}

/// One row of `hardware.csv`. Peaks are dense rates (no structured sparsity).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct HardwareProfile {
    /// The name that scenarios use.
    pub name: String,
    /// The product, and the unit of it that computes.
    pub title: String,
    pub class: HardwareClass,
    pub fp32_gflops: f64,
    /// Peak of 16-bit products that accumulate in 32 bits where the hardware offers them; `bf16` is taken as equal.
    pub fp16_gflops: f64,
    pub int8_gops: f64,
    pub memory_gb: f64,
    pub memory_bandwidth_gb_per_s: f64,
    pub idle_w: f64,
    pub active_w: f64,
    /// `None` on the mains.
    pub battery_wh: Option<f64>,
    /// Share of the arithmetic peak that fine-tuning reaches, an assumption in every row.
    pub compute_efficiency: f64,
    /// Share of the memory bandwidth that fine-tuning reaches, an assumption in every row.
    pub bandwidth_efficiency: f64,
    /// Cost of starting one operation, an assumption in every row.
    pub launch_overhead_us: f64,
    /// Whether arithmetic and memory traffic go on at the same time, so that only the longer of the two counts; where they do not,
    /// both do.
    #[serde(default = "overlaps")]
    pub overlap: bool,
    /// Where each figure comes from; what nobody publishes is marked as assumed.
    pub source: String,
}

fn overlaps() -> bool {
    true
}

static TABLE: LazyLock<Vec<HardwareProfile>> = LazyLock::new(|| {
    csv::Reader::from_reader(include_str!("hardware.csv").as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the embedded hardware table is well-formed (a unit test reads it)")
});

/// The hardware called `name`.
pub fn profile(name: &str) -> Option<&'static HardwareProfile> {
    TABLE.iter().find(|h| h.name == name)
}

/// All names, in the order of the table: phones first, accelerators last.
pub fn names() -> Vec<&'static str> {
    TABLE.iter().map(|h| h.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_possible_and_says_where_it_comes_from() {
        assert!(names().len() >= 16);
        for h in TABLE.iter() {
            let positive = [h.fp32_gflops, h.memory_gb, h.memory_bandwidth_gb_per_s, h.idle_w, h.launch_overhead_us];
            assert!(positive.iter().all(|x| *x > 0.0), "{}", h.name);
            assert!(h.fp32_gflops <= h.fp16_gflops && h.fp16_gflops <= h.int8_gops, "{}", h.name);
            assert!(h.idle_w < h.active_w, "{}", h.name);
            assert!((0.0..=1.0).contains(&h.compute_efficiency) && (0.0..=1.0).contains(&h.bandwidth_efficiency));
            assert!(h.source.contains("assumed"), "{}: efficiencies are never published", h.name);
            assert_eq!(h.class == HardwareClass::Phone, h.battery_wh.is_some(), "{}", h.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut sorted = names();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), names().len());
        assert!(profile("abacus").is_none());
    }
}
