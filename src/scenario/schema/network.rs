//! Cells, servers, wires, and what they cost.

use serde::{Deserialize, Serialize};

/// The air interface of every cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RadioSpec {
    /// A name of `deft list radios`; it fills in every key below that the scenario leaves out.
    pub preset: String,
    pub carrier_ghz: f64,
    pub bandwidth_mhz: f64,
    pub propagation: Propagation,
    pub fading: Fading,
    /// Time over which a block-fading gain stays constant.
    pub coherence_time_ms: f64,
    pub cell_tx_power_dbm: f64,
    pub cell_noise_figure_db: f64,
    pub device_noise_figure_db: f64,
    /// SNR that real receivers lose against the ideal decoder of the error curves.
    pub implementation_loss_db: f64,
}

/// TR 38.901 scenario of the path loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    Uma,
    Umi,
    Rma,
    /// Indoor, open office.
    InhOpen,
    /// Indoor, mixed office.
    InhMixed,
    FreeSpace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Fading {
    /// Path loss and shadowing only.
    None,
    Rayleigh,
    Rician {
        k_factor_db: f64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellSpec {
    pub name: String,
    pub position_m: [f64; 2],
    pub antenna_height_m: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EdgeServerSpec {
    pub name: String,
    /// A name of `deft list hardware`.
    pub hardware: String,
    /// How many of them serve the queue.
    pub accelerators: usize,
}

/// The wired side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkSpec {
    /// Nodes that only forward.
    pub routers: Vec<String>,
    pub links: Vec<LinkSpec>,
    pub route_by: Routing,
}

/// A link that carries both directions at the full rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkSpec {
    pub from: String,
    pub to: String,
    pub rate_gbit_per_s: f64,
    pub latency_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    Latency,
    Rate,
    Hops,
}

/// What a run costs, in US dollars.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prices {
    pub edge_usd_per_accelerator_hour: f64,
    pub radio_usd_per_gb: f64,
    pub energy_usd_per_kwh: f64,
}
