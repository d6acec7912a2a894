//! Cells, servers, wires, what they cost, and what the tables say of them.

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
    /// Whether obstacles spread losses around their mean.
    pub shadowing: bool,
    pub line_of_sight: LineOfSight,
    /// Of devices' transmissions.
    pub power_control: UplinkPower,
    /// Slots of the frame, one letter each: `D`, `S`, `U`. `None`: the preset's shares of time.
    pub tdd_pattern: Option<String>,
    /// Interference of other cells as a constant rise over thermal noise, in both directions.
    pub interference_margin_db: f64,
    /// Share of resource blocks on which other cells of the scenario send and so disturb the downlink.
    pub neighbour_load: f64,
    #[serde(skip_serializing_if = "NeighboursSend::is_always")]
    pub neighbours_send: NeighboursSend,
    pub gas_absorption: bool,
    pub rain_mm_per_h: f64,
    /// Walls around indoor devices.
    pub building: Building,
    pub glass_loss: GlassLoss,
    pub fidelity: RadioFidelity,
    /// Of `fidelity: flow`.
    #[serde(skip_serializing_if = "LinkLayerModel::is_assumed")]
    pub link_layer: LinkLayerModel,
    /// With `fidelity: slot` or `link_layer: expected` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotSpec>,
    /// `None`: a radio draws nothing between transfers and hears at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drx: Option<DrxSpec>,
    /// `None`: nobody walks through a line of sight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blockage: Option<BlockageSpec>,
}

/// People who walk through lines of sight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BlockageSpec {
    pub blockers_per_m2: f64,
    pub speed_m_per_s: f64,
    pub height_m: f64,
    /// Of one blockage.
    pub mean_duration_s: f64,
    /// While one lasts.
    pub loss_db: f64,
}

/// Discontinuous reception between transfers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DrxSpec {
    /// For which a device listens after its last traffic.
    pub inactivity_ms: f64,
    /// For which it then listens in every cycle.
    pub on_duration_ms: f64,
    pub cycle_ms: f64,
    pub listening_w: f64,
    pub sleeping_w: f64,
}

/// How closely a cell is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RadioFidelity {
    /// Bytes as fluid.
    #[default]
    Flow,
    /// Slot by slot.
    Slot,
}

/// When other cells send on their share of resource blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighboursSend {
    #[default]
    Always,
    /// While they have downlink transfers.
    WithTraffic,
}

impl NeighboursSend {
    fn is_always(&self) -> bool {
        *self == Self::Always
    }
}

/// What `fidelity: flow` takes off rates for blocks that fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkLayerModel {
    /// A tenth.
    #[default]
    Assumed,
    /// What slots under round robin would lose on the average.
    Expected,
}

impl LinkLayerModel {
    pub(super) fn is_assumed(&self) -> bool {
        *self == Self::Assumed
    }
}

/// What decides how slots are played.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlotSpec {
    pub scheduler: SlotScheduler,
    /// A device reports its channel so often, and the scheduler knows so much later.
    pub cqi_period_slots: u32,
    pub cqi_delay_slots: u32,
    /// Share of first transmissions that outer-loop link adaptation lets fail.
    pub target_bler: f64,
    /// By how much a failure lowers its estimate; 0 turns it off.
    pub outer_loop_step_db: f64,
    pub harq_processes: u32,
    /// From a transmission to its repetition at the earliest.
    pub harq_round_trip_slots: u32,
    pub max_transmissions: u32,
    pub harq_combining: HarqCombining,
}

/// Who gets the resource blocks of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SlotScheduler {
    RoundRobin,
    ProportionalFair { window_slots: f64 },
    MaxRate,
}

/// What a receiver makes of several transmissions of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarqCombining {
    None,
    Chase,
    IncrementalRedundancy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineOfSight {
    /// With the propagation model's probability.
    Drawn,
    Always,
    Never,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum UplinkPower {
    /// As much as the device may.
    Full,
    /// TS 38.213 clause 7.1.1, open loop.
    Fractional { p0_dbm: f64, alpha: f64 },
}

/// TR 38.901 table 7.4.3-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Building {
    LowLoss,
    HighLoss,
}

/// Which edition of TR 38.901 infrared-reflecting glass follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GlassLoss {
    #[serde(rename = "edition_16_1")]
    Edition16,
    #[serde(rename = "edition_19_2")]
    Edition19,
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
    /// Indoor factory: sparse or dense clutter, base station among it (low) or above it (high).
    InfSl,
    InfDl,
    InfSh,
    InfDh,
    FreeSpace,
}

impl Propagation {
    /// Whether buildings stand in it that devices can be in.
    pub fn has_outside(self) -> bool {
        matches!(self, Self::Uma | Self::Umi | Self::Rma)
    }
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
    /// Tapped delay lines of TR 38.901 clause 7.7.2: links have a response over the band. The delay spread is the
    /// root mean square.
    TdlA {
        delay_spread_ns: f64,
    },
    TdlC {
        delay_spread_ns: f64,
    },
    TdlD {
        delay_spread_ns: f64,
    },
}

impl Fading {
    /// As scenarios write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rayleigh => "rayleigh",
            Self::Rician { .. } => "rician",
            Self::TdlA { .. } => "tdl_a",
            Self::TdlC { .. } => "tdl_c",
            Self::TdlD { .. } => "tdl_d",
        }
    }

    /// Whether the band does not fade as one.
    pub fn is_selective(&self) -> bool {
        matches!(self, Self::TdlA { .. } | Self::TdlC { .. } | Self::TdlD { .. })
    }
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
    #[serde(flatten, skip_serializing_if = "EdgeSharing::is_fifo")]
    pub sharing: EdgeSharing,
    /// Share of the profile's clock at which they run, in (0, 1].
    #[serde(skip_serializing_if = "is_one")]
    pub clock_share: f64,
}

/// How a server deals with several requests at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "sharing")]
pub enum EdgeSharing {
    /// An accelerator for each, first come, first served.
    #[default]
    Fifo,
    /// All at once, with equal shares.
    ProcessorSharing,
    /// Those that wait and are alike as one pass.
    Batched {
        /// Requests in a pass at most.
        batch_requests: usize,
        /// How long a free accelerator waits for more of them.
        batch_wait_ms: f64,
    },
}

impl EdgeSharing {
    pub fn is_fifo(&self) -> bool {
        *self == Self::Fifo
    }
}

/// Values that say nothing new are left out of the complete scenario.
pub(super) fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// The wired side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkSpec {
    /// Nodes that only forward.
    pub routers: Vec<String>,
    pub links: Vec<LinkSpec>,
    pub route_by: Routing,
    /// Where what several servers have gathered comes together; `None`: at the first server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate_at: Option<String>,
}

/// A link that carries both directions at the full rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkSpec {
    pub from: String,
    pub to: String,
    pub rate_gbit_per_s: f64,
    pub latency_ms: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub failures: Option<LinkFailures>,
}

/// When a link is out of service, both ways.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LinkFailures {
    /// From when to when, ascending and apart.
    Stated { outages_s: Vec<[f64; 2]> },
    /// Up and down in turn, for exponential times with these means.
    Random { mean_time_to_failure_s: f64, mean_time_to_repair_s: f64 },
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

/// What the tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResultsSpec {
    /// Devices whose transfers are listed one by one, spread evenly over all devices.
    pub flow_devices: usize,
}
