//! The emulated system: devices, edge servers, cells and wires, built from a scenario, in virtual time.
//!
//! A protocol tells the world who computes what and who sends how many bytes; the world lets the time pass that this
//! takes on that hardware, over that channel, beside everybody else, and keeps account of seconds, bytes, joules and
//! memory. It ties `radio`, `network` and `compute` together, none of which knows the others; it must not know what is
//! learnt. Start with [`World`] (`build.rs` makes one, `computing.rs` and `transferring.rs` are what it does).

mod account;
mod air;
mod analog;
mod analog_link;
mod auto_cut;
mod blocks;
mod build;
mod computing;
mod cut;
mod cut_error;
mod demand;
mod device;
mod drawing;
mod gradients;
mod handover;
mod memo;
mod nearest;
mod overlap;
mod peft_shape;
mod prompts;
mod rounds;
mod sending;
mod serving;
mod shared_uplink;
mod sidelink;
mod sleeping;
mod slice_demand;
mod slices;
mod transferring;
mod underway;

pub use account::{Content, DeviceTotals, Flow, FlowDirection, FlowOutcome, RoundTotals};
pub use air::{Arrival, Heard, Transmission};
pub use computing::EdgePasses;
pub use cut::{CutForm, Lengths};
pub use cut_error::expected_error;
pub use demand::Demand;
pub use device::{Device, DeviceId};
pub use drawing::Draw;
pub use sidelink::Neighbour;
pub use slices::{SliceAir, SliceSum};

use crate::network::WiredNetwork;
use crate::radio::CellModel;
use crate::random::{CounterStream, Streams};
use crate::scenario::Prices;
use crate::sim::{Fluid, Sim, SimTime, Trace};
use account::Account;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Why a device's part in a round came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    BatteryEmpty,
    /// No modulation got through for so long that the radio gave up.
    LinkOutage,
    /// The round's deadline passed.
    TooLate,
}

/// What can stop a world from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    #[error(transparent)]
    Radio(#[from] crate::radio::RadioError),
    #[error(transparent)]
    Network(#[from] crate::network::NetworkError),
    #[error("{kind} `{name}` is not known")]
    Unknown { kind: &'static str, name: String },
}

/// Devices' sides at an edge server: the number of their cut, the ranks that they hold, and the server.
type EdgeSides = (usize, Option<usize>, usize);

/// The system in which a protocol plays.
pub struct World {
    sim: Sim,
    demand: Demand,
    /// One a split point where devices have their own, else none.
    demands: Vec<Demand>,
    devices: Vec<Device>,
    servers: Vec<EdgeServer>,
    cells: Vec<RadioCell>,
    nearest: nearest::NearestPlace,
    /// The edge server that works with the devices of each cell.
    server_of_cell: Vec<usize>,
    /// Where devices change cells by measurement.
    handovers: Option<handover::Handovers>,
    wires: Fluid<WiredNetwork>,
    /// Where what servers have gathered comes together.
    hub: crate::network::NodeId,
    /// Where a technique uses one.
    sidelink: Option<sidelink::SidelinkAir>,
    prices: Prices,
    /// Where radios sleep between transfers.
    drx: Option<crate::radio::drx::Drx>,
    streams: Streams,
    account: Rc<RefCell<Account>>,
    /// Whether a server has memory for its devices' sides.
    edge_fits: RefCell<HashMap<EdgeSides, bool>>,
    round: Cell<usize>,
}

/// An edge server.
pub(crate) struct EdgeServer {
    pub name: String,
    pub hardware: std::sync::Arc<crate::compute::HardwareProfile>,
    pub accelerators: usize,
    /// Share of the profile's clock at which they run.
    pub clock_share: f64,
    pub line: serving::Line,
    /// Devices that it works with.
    pub devices: usize,
    pub host: crate::network::NodeId,
}

/// A cell and where it meets the wires.
pub(crate) struct RadioCell {
    pub name: String,
    pub position_m: [f64; 2],
    pub air: Fluid<CellModel>,
    pub host: crate::network::NodeId,
}

impl World {
    pub fn now(&self) -> SimTime {
        self.sim.now()
    }

    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    pub fn device_name(&self, id: DeviceId) -> &str {
        &self.device(id).name
    }

    pub fn cell_name(&self, cell: usize) -> &str {
        &self.cells[cell].name
    }

    pub fn server_name(&self, server: usize) -> &str {
        &self.servers[server].name
    }

    /// Blocks of the model: the largest split point.
    pub fn blocks(&self) -> usize {
        self.demand.blocks()
    }

    /// What the model asks of hardware and network.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// What the model asks of this device and of the edge for it.
    pub fn demand_of(&self, device: DeviceId) -> &Demand {
        let device = self.device(device);
        self.demands.get(device.cut_plan.get()).unwrap_or(&self.demand).of_rank(device.lora_rank)
    }

    /// Ranks of low-rank pairs that a device holds, at most; `None` for all.
    pub fn lora_rank_of(&self, device: DeviceId) -> Option<usize> {
        self.device(device).lora_rank
    }

    pub fn trace(&self) -> &Trace {
        self.sim.trace()
    }

    /// Events executed so far and the digest of their order.
    pub fn events_and_digest(&self) -> (u64, u64) {
        (self.sim.events(), self.sim.digest())
    }

    /// The receiver noise of this round's superposition: the same in every trial with the same seed and replication.
    pub fn air_noise(&self) -> CounterStream {
        self.streams.counter("air", "receiver noise").child(self.round.get() as u64)
    }

    /// What decides the draws of a device's compression in this round: the same in every trial with the same seed and
    /// replication.
    pub fn compression_noise(&self, id: DeviceId) -> CounterStream {
        self.streams.counter(&self.device(id).name, "compression").child(self.round.get() as u64)
    }

    /// The receiver noise of this round's sums over slices, and that of its tests, drawn alike in every trial.
    pub fn connection_noise(&self, purpose: &str) -> CounterStream {
        self.streams.counter("connections", purpose).child(self.round.get() as u64)
    }
}
