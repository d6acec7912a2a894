//! What a per-slot cell needs to know beside what every cell does.

use crate::radio::error::{RadioError, require};
use crate::radio::harq::Combining;
use crate::radio::link_adaptation::TARGET_BLER;
use crate::radio::presets::Duplex;
use crate::radio::scheduling::{MaxRate, ProportionalFair, RoundRobin, Scheduler};
use crate::radio::tdd::Frame;

#[derive(Clone, Debug, PartialEq)]
pub struct SlotConfig {
    pub frame: Frame,
    pub scheduler: SchedulerKind,
    /// A terminal measures its channel every so many slots, and the scheduler knows so many slots later.
    pub cqi_period_slots: u32,
    pub cqi_delay_slots: u32,
    /// Share of first transmissions that the outer loop lets fail.
    pub target_bler: f64,
    /// By how much a failure lowers the estimate of the SNR; 0 leaves the outer loop out.
    pub outer_loop_step_db: f64,
    pub harq_processes: u32,
    /// From a transmission to its repetition at the earliest.
    pub harq_round_trip_slots: u32,
    /// Of one block, the first included.
    pub max_transmissions: u32,
    pub combining: Combining,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SchedulerKind {
    RoundRobin,
    ProportionalFair { window_slots: f64 },
    MaxRate,
}

impl SchedulerKind {
    pub fn build(self) -> Box<dyn Scheduler> {
        match self {
            Self::RoundRobin => Box::<RoundRobin>::default(),
            Self::ProportionalFair { window_slots } => Box::new(ProportionalFair::new(window_slots)),
            Self::MaxRate => Box::<MaxRate>::default(),
        }
    }
}

impl SlotConfig {
    /// Round robin, reports every 5 slots that are known 4 slots later, 16 HARQ processes (8 in LTE) with a round trip
    /// of 8 slots and up to 4 transmissions: assumed, within what TS 38.214 and 36.213 allow.
    pub fn new(duplex: Duplex) -> Self {
        Self {
            frame: Frame::of(duplex),
            scheduler: SchedulerKind::RoundRobin,
            cqi_period_slots: 5,
            cqi_delay_slots: 4,
            target_bler: TARGET_BLER,
            outer_loop_step_db: 0.5,
            harq_processes: if duplex == Duplex::Fdd { 8 } else { 16 },
            harq_round_trip_slots: 8,
            max_transmissions: 4,
            combining: Combining::IncrementalRedundancy,
        }
    }

    /// # Errors
    /// Names the first field whose value makes no cell.
    pub fn validate(&self) -> Result<(), RadioError> {
        for (field, count) in [
            ("CQI period (slots)", self.cqi_period_slots),
            ("HARQ processes", self.harq_processes),
            ("HARQ round trip (slots)", self.harq_round_trip_slots),
            ("transmissions of a block", self.max_transmissions),
        ] {
            require(field, f64::from(count), count > 0, "at least 1")?;
        }
        let (bler, step) = (self.target_bler, self.outer_loop_step_db);
        require("target block error rate", bler, bler > 0.0 && bler < 1.0, "a share between 0 and 1")?;
        require("outer loop step (dB)", step, step >= 0.0, "0 or more")?;
        if let SchedulerKind::ProportionalFair { window_slots } = self.scheduler {
            require("proportional-fair window (slots)", window_slots, window_slots >= 1.0, "at least 1")?;
        }
        Ok(())
    }
}
