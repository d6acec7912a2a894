//! Devices: what they are, where they are, what is left in their battery.

use super::sleeping::Idle;
use crate::compute::{Battery, HardwareProfile};
use crate::radio::{LinkId, Trajectory, UeRadio};
use crate::sim::SimDuration;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Number of a device, in the order of the scenario's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceId(pub(super) u32);

impl DeviceId {
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub fn number(self) -> u32 {
        self.0
    }
}

/// One device.
pub struct Device {
    pub id: DeviceId,
    pub name: String,
    pub group: String,
    pub hardware: Arc<HardwareProfile>,
    /// Share of the hardware's speed that fine-tuning gets.
    pub compute_share: f64,
    /// Share of the hardware's clock at which it computes.
    pub clock_share: f64,
    pub memory_limit_bytes: u64,
    /// Ranks of low-rank pairs that it holds, at most; `None` for all.
    pub lora_rank: Option<usize>,
    /// The edge server that works with this device.
    pub server: Cell<usize>,
    /// Where the model is cut for this device, under a split technique.
    pub split_point: Cell<usize>,
    /// Number of the device's demand among those of all cuts and forms, where these were chosen.
    pub(super) cut_plan: Cell<usize>,
    /// Whether it and its server have memory for the technique, once that was asked.
    pub(super) fits: Cell<Option<bool>>,
    /// Speed of the edge server for this device, as a share of its profile's.
    pub edge_speed: Cell<f64>,
    pub(super) battery: RefCell<Option<Battery>>,
    pub(super) radio: UeRadio,
    pub(super) trajectory: RefCell<Trajectory>,
    /// The cell that serves it now, and its link there once it has transmitted.
    pub(super) cell: Cell<usize>,
    pub(super) links: RefCell<Vec<(usize, LinkId)>>,
    /// The one of its links that was asked for last.
    pub(super) link: Cell<Option<(usize, LinkId)>>,
    pub(super) idle: Cell<Idle>,
}

impl Device {
    pub fn cell(&self) -> usize {
        self.cell.get()
    }

    /// Charge left, in percent; `None` for hardware on mains.
    pub fn battery_percent(&self) -> Option<f64> {
        self.battery.borrow().as_ref().map(Battery::percent)
    }

    pub(super) fn battery_is_empty(&self) -> bool {
        self.battery.borrow().as_ref().is_some_and(Battery::exhausted)
    }

    /// What it draws while it computes, beside what others draw from it; power follows the cube of the clock (Mei et al. in
    /// docs/deft/split_auto.md).
    pub(super) fn computing_watts(&self) -> f64 {
        self.hardware.active_w * self.compute_share * self.clock_share.powi(3)
    }

    /// Takes the energy of `spent` seconds of work out of the battery; in joules.
    pub(super) fn spend_computing(&self, spent: SimDuration) -> f64 {
        let at_full_clock = self.hardware.energy_joules(spent, SimDuration::ZERO) * self.compute_share;
        let joules = at_full_clock * self.clock_share.powi(3);
        self.drain(joules);
        joules
    }

    pub(super) fn drain(&self, joules: f64) {
        if let Some(battery) = self.battery.borrow_mut().as_mut() {
            battery.drain(joules);
        }
    }
}
