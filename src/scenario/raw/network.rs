//! Keys of `radio`, `cells`, `edge_servers`, `network`, `prices` and `results`.

use super::CountOrAll;
use crate::scenario::schema::{
    Building, GlassLoss, HarqCombining, LineOfSight, LinkLayerModel, NeighboursSend, Propagation, RadioFidelity,
    Routing,
};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Radio {
    pub preset: Option<String>,
    pub carrier_ghz: Option<f64>,
    pub bandwidth_mhz: Option<f64>,
    pub propagation: Option<Propagation>,
    pub fading: Option<Fading>,
    pub coherence_time_ms: Option<f64>,
    pub cell_tx_power_dbm: Option<f64>,
    pub cell_noise_figure_db: Option<f64>,
    pub device_noise_figure_db: Option<f64>,
    pub implementation_loss_db: Option<f64>,
    pub shadowing: Option<bool>,
    pub line_of_sight: Option<LineOfSight>,
    pub power_control: Option<PowerControl>,
    pub tdd_pattern: Option<String>,
    pub interference_margin_db: Option<f64>,
    pub neighbour_load: Option<f64>,
    pub neighbours_send: Option<NeighboursSend>,
    pub gas_absorption: Option<bool>,
    pub rain_mm_per_h: Option<f64>,
    pub building: Option<Building>,
    pub glass_loss: Option<GlassLoss>,
    pub fidelity: Option<RadioFidelity>,
    pub link_layer: Option<LinkLayerModel>,
    pub slot: Option<Slot>,
    pub drx: Option<Drx>,
    pub blockage: Option<Blockage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blockage {
    pub blockers_per_m2: Option<f64>,
    pub speed_m_per_s: Option<f64>,
    pub height_m: Option<f64>,
    pub mean_duration_s: Option<f64>,
    pub loss_db: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drx {
    pub inactivity_ms: Option<f64>,
    pub on_duration_ms: Option<f64>,
    pub cycle_ms: Option<f64>,
    pub listening_w: Option<f64>,
    pub sleeping_w: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub scheduler: Option<SlotScheduler>,
    pub cqi_period_slots: Option<u64>,
    pub cqi_delay_slots: Option<u64>,
    pub target_bler: Option<f64>,
    pub outer_loop_step_db: Option<f64>,
    pub harq_processes: Option<u64>,
    pub harq_round_trip_slots: Option<u64>,
    pub max_transmissions: Option<u64>,
    pub harq_combining: Option<HarqCombining>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlotScheduler {
    pub kind: Option<SlotSchedulerKind>,
    pub window_slots: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SlotSchedulerKind {
    RoundRobin,
    ProportionalFair,
    MaxRate,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PowerControl {
    pub kind: Option<PowerControlKind>,
    pub p0_dbm: Option<f64>,
    pub alpha: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PowerControlKind {
    Full,
    Fractional,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fading {
    pub kind: Option<FadingKind>,
    pub k_factor_db: Option<f64>,
    pub delay_spread_ns: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FadingKind {
    None,
    Rayleigh,
    Rician,
    TdlA,
    TdlC,
    TdlD,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub name: Option<String>,
    pub count: Option<u64>,
    pub spacing_m: Option<f64>,
    pub position_m: Option<Vec<f64>>,
    pub antenna_height_m: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeServer {
    pub name: Option<String>,
    pub count: Option<u64>,
    pub hardware: Option<String>,
    pub accelerators: Option<u64>,
    pub sharing: Option<EdgeSharingKind>,
    pub batch_requests: Option<u64>,
    pub batch_wait_ms: Option<f64>,
    pub clock_share: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EdgeSharingKind {
    Fifo,
    ProcessorSharing,
    Batched,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub routers: Option<Vec<String>>,
    pub links: Option<Vec<Link>>,
    pub route_by: Option<Routing>,
    pub aggregate_at: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub from: Option<String>,
    pub to: Option<String>,
    pub rate_gbit_per_s: Option<f64>,
    pub latency_ms: Option<f64>,
    pub outages_s: Option<Vec<Vec<f64>>>,
    pub mean_time_to_failure_s: Option<f64>,
    pub mean_time_to_repair_s: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    pub edge_usd_per_accelerator_hour: Option<f64>,
    pub radio_usd_per_gb: Option<f64>,
    pub energy_usd_per_kwh: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    pub flow_devices: Option<CountOrAll>,
}
