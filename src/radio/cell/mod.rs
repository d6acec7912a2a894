//! One cell: what it is asked, what it answers, and the parts of which every fidelity is made.
//!
//! `config` describes the cell, `propagation` turns a place into large-scale loss, `carrier` turns loss and fading into
//! SNR, scheme and rate; `site` holds the terminals. Two fidelities stand on them with the same requests, reports and
//! channels: `flow`, a fluid model, and `slot`, which plays every slot. [`CellModel`] is either.

mod carrier;
mod config;
mod flow;
mod link;
mod model;
mod propagation;
mod report;
mod response;
mod site;
mod slot;
#[cfg(test)]
mod tests;

pub use carrier::Allocation;
pub use config::{CellConfig, Indoor, LosRule, Neighbour, PowerControl, Sending, UeRadio};
pub use flow::FlowCell;
pub use model::CellModel;
pub use site::Site;
pub use slot::{SchedulerKind, SlotCell, SlotConfig};

use super::aircomp::AirInterface;
use super::link_budget::LinkBudget;
use crate::sim::SimTime;

/// A terminal attached to a cell; valid for the cell that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Uplink,
    Downlink,
}

/// A link that carries analog symbols on its own part of the band.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalogLink {
    /// Of a symbol, and so of each of the two values in it.
    pub snr: f64,
    /// Of the terminal while on the air; 0 in the downlink.
    pub tx_power_watts: f64,
    pub grid: AirInterface,
    pub budget: LinkBudget,
}

/// So many bytes to move between a terminal and the base station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    pub link: LinkId,
    pub direction: Direction,
    pub bytes: u64,
}

/// What the link layer did over a transfer, as means over its time with a usable scheme. `None` where there is no such thing: a
/// fidelity without slots has no channel-quality index, analog symbols have no blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkLayer {
    pub cqi: Option<f64>,
    /// Of the schemes in use, over all layers; `None` where the band is flat, as it is the SNR then.
    pub effective_snr_db: Option<f64>,
    pub layers: Option<f64>,
    /// In use, of those granted.
    pub resource_blocks: Option<f64>,
    /// Share of first transmissions that failed.
    pub block_error_rate: Option<f64>,
    /// Transmissions of a block until it got through.
    pub transmissions: Option<f64>,
    /// Time in which the transmitter was on the air, and in which no scheme was usable.
    pub on_air_s: Option<f64>,
    pub outage_s: Option<f64>,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// The link supported no scheme for the cell's outage limit in a row, and the cell gave up.
    Outage {
        undelivered_bytes: u64,
    },
    /// Whoever asked for it withdrew it on its way.
    Withdrawn {
        undelivered_bytes: u64,
    },
}

impl TransferReport {
    /// Bytes that crossed the air.
    pub fn sent_bytes(&self) -> u64 {
        match self.outcome {
            Outcome::Delivered => self.bytes,
            Outcome::Outage { undelivered_bytes } | Outcome::Withdrawn { undelivered_bytes } => {
                self.bytes - undelivered_bytes
            }
        }
    }
}

/// What a transfer took and why. Means are over the transfer's duration unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferReport {
    pub link: LinkId,
    pub direction: Direction,
    pub bytes: u64,
    pub start: SimTime,
    pub end: SimTime,
    pub outcome: Outcome,
    /// Delivered bits per second of duration.
    pub mean_rate_bps: f64,
    /// Part of the band granted.
    pub mean_share: f64,
    /// Mean of the SNR in dB.
    pub mean_snr_db: f64,
    /// Mean index of the scheme over the time in which one was usable; `None` if none ever was.
    pub mean_mcs: Option<f64>,
    /// The link when the transfer began, on the part of the band used then.
    pub budget: LinkBudget,
    pub link_layer: LinkLayer,
    /// Time in which the transmitter was on the air for this transfer.
    pub on_air_seconds: f64,
    /// Time in which no scheme was usable.
    pub outage_seconds: f64,
    /// Energy radiated by the terminal; 0 for a downlink.
    pub tx_energy_joules: f64,
    /// What became of the transport blocks, where they are played one by one.
    pub blocks: Option<BlockCounts>,
}

/// The transport blocks of a transfer under per-slot scheduling.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockCounts {
    /// Blocks put on the air for the first time, and how many of these transmissions failed.
    pub blocks: u64,
    pub failed_blocks: u64,
    /// Later transmissions of them.
    pub repetitions: u64,
    /// Blocks that failed to the last and whose bytes were sent anew.
    pub given_up: u64,
}

impl BlockCounts {
    /// Share of first transmissions that failed.
    pub fn bler(&self) -> f64 {
        if self.blocks == 0 { 0.0 } else { self.failed_blocks as f64 / self.blocks as f64 }
    }
}
