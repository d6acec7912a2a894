//! Which cell serves a moving device: the nearest as each transfer begins, or, with handover, the one to which event A3 has
//! led, also in the midst of a transfer. With the cell the edge server may change, and the device's state there follows.

use super::{Device, DeviceId, World};
use crate::network::Request;
use crate::radio::handover::{A3Event, A3State};
use crate::radio::{Position, Site};
use crate::sim::{SimDuration, SimTime};
use std::cell::RefCell;

/// The rules of handover, and how far each device has come.
pub(super) struct Handovers {
    pub event: A3Event,
    /// From one measurement to the next.
    pub period: SimDuration,
    /// For which a device that changes cells can neither send nor receive.
    pub interruption: SimDuration,
    /// Whether the edge server changes too.
    pub migrate: bool,
    /// The cells once more, to be measured without waking them.
    pub sites: Vec<Site>,
    /// The cells that a device of each cell listens for.
    pub neighbours: Vec<Vec<usize>>,
    pub tracked: RefCell<Vec<Tracked>>,
}

/// How far one device has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracked {
    /// Measurements taken so far.
    measured: u64,
    state: A3State,
    handovers: usize,
    /// Until when its last change of cells interrupts it.
    interrupted_until: SimTime,
    /// The edge server that still holds its state.
    state_at: Option<usize>,
}

impl Handovers {
    /// When measurement number `n` is taken.
    fn instant(&self, n: u64) -> SimTime {
        SimTime::from_nanos(self.period.as_nanos().saturating_mul(n))
    }

    fn hear(&self, cell: usize, place: &Position, device: &Device) -> f64 {
        -self.sites[cell].loss_db(place, device.radio.indoor.as_ref())
    }
}

impl World {
    /// The cell that serves the device now.
    pub(super) fn serving_cell(&self, device: &Device) -> usize {
        let mut trajectory = device.trajectory.borrow_mut();
        if self.cells.len() > 1 && trajectory.is_mobile() {
            match &self.handovers {
                None => {
                    let here = trajectory.position_at(self.now());
                    device.cell.set(self.nearest_cell([here.x_m, here.y_m]));
                }
                Some(handovers) => {
                    drop(trajectory);
                    self.measure_until_now(handovers, device);
                }
            }
        }
        device.cell.get()
    }

    /// Takes the measurements that are due, and the changes of cells to which they lead.
    fn measure_until_now(&self, handovers: &Handovers, device: &Device) {
        let tracked = &mut handovers.tracked.borrow_mut()[device.id.index()];
        while handovers.instant(tracked.measured) <= self.now() {
            let instant = handovers.instant(tracked.measured);
            tracked.measured += 1;
            let place = device.trajectory.borrow_mut().position_at(instant);
            let serving = device.cell.get();
            let hear = |cell: &usize| (*cell, handovers.hear(*cell, &place, device));
            let heard: Vec<(usize, f64)> = handovers.neighbours[serving].iter().map(hear).collect();
            let own = handovers.hear(serving, &place, device);
            if let Some(cell) = tracked.state.measure(&handovers.event, instant, own, &heard) {
                device.cell.set(cell);
                tracked.handovers += 1;
                tracked.interrupted_until = instant + handovers.interruption;
                let (from, to) = (device.server.get(), self.server_of_cell[cell]);
                if handovers.migrate && from != to {
                    device.server.set(to);
                    // Its state is where it was last, however many servers it has passed since; back there, it need not move.
                    tracked.state_at = Some(tracked.state_at.unwrap_or(from)).filter(|at| *at != to);
                }
            }
        }
    }

    /// Whether the device may change cells in the midst of a transfer.
    pub(super) fn may_be_handed_over(&self, device: &Device) -> bool {
        self.handovers.is_some() && self.cells.len() > 1 && device.trajectory.borrow().is_mobile()
    }

    /// Waits until another cell than `cell` serves the device.
    pub(super) async fn handed_over(&self, device: &Device, cell: usize) {
        let Some(handovers) = &self.handovers else { return std::future::pending().await };
        while self.serving_cell(device) == cell {
            let measured = handovers.tracked.borrow()[device.id.index()].measured;
            self.sim.sleep_until(handovers.instant(measured)).await;
        }
    }

    /// Waits until a change of cells no longer interrupts the device.
    pub(super) async fn ready_in_cell(&self, device: &Device) {
        if let Some(handovers) = &self.handovers {
            let until = handovers.tracked.borrow()[device.id.index()].interrupted_until;
            if until > self.now() {
                self.sim.sleep_until(until).await;
            }
        }
    }

    /// Brings the device's state to its edge server, where a change of cells has left it at another.
    pub(super) async fn fetch_state(&self, id: DeviceId) {
        let device = self.device(id);
        self.serving_cell(device);
        let Some(handovers) = &self.handovers else { return };
        let from = handovers.tracked.borrow_mut()[id.index()].state_at.take();
        let bytes = self.demand_of(id).edge_state_bytes();
        if let Some(from) = from.filter(|_| bytes > 0) {
            let (from, to) = (self.servers[from].host, self.servers[device.server.get()].host);
            self.wires.transfer(Request { from, to, bytes }).await;
        }
    }

    /// Changes of cells of a device so far, where there is handover.
    pub fn handovers(&self, id: DeviceId) -> usize {
        self.handovers.as_ref().map_or(0, |h| h.tracked.borrow()[id.index()].handovers)
    }
}
