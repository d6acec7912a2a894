//! Transfers between devices and edge servers: the air first, then the wires, and back.
//!
//! A transfer is a message: it crosses the air as a whole and then the wires as a whole (store and forward), or the
//! other way round. Backhauls are far faster than cells, so the sum is close to what a stream would take.

use super::account::{Content, Flow, FlowDirection};
use super::overlap::Doing;
use super::{Device, DeviceId, Lost, World};
use crate::network;
use crate::radio::{Direction, LinkId, Outcome, TransferReport, TransferRequest};
use crate::sim::{SimDuration, SimTime};

/// Radiated over consumed power of a phone's power amplifier. Assumed: typical of class-AB amplifiers at back-off.
const POWER_AMPLIFIER_EFFICIENCY: f64 = 0.3;
/// What a phone's radio draws beside the amplifier while on the air, in watts. Assumed.
const RADIO_CIRCUIT_WATTS: f64 = 0.5;

impl World {
    /// Sends `bytes` from the device to its edge server.
    pub async fn upload(&self, id: DeviceId, bytes: u64, content: Content) -> Result<(), Lost> {
        self.transfer(id, FlowDirection::Uplink, bytes, content).await
    }

    /// Sends `bytes` from the device's edge server to the device.
    pub async fn download(&self, id: DeviceId, bytes: u64, content: Content) -> Result<(), Lost> {
        self.transfer(id, FlowDirection::Downlink, bytes, content).await
    }

    /// Brings together what several edge servers have gathered and spreads the result: each but the first sends
    /// its part to the first and gets the whole back.
    pub async fn synchronise_servers(&self) {
        let bytes = self.demand.server_update_bytes();
        let first = self.servers[0].host;
        for back in [false, true] {
            let transfers = self.servers[1..].iter().map(|s| {
                let (from, to) = if back { (first, s.host) } else { (s.host, first) };
                self.wires.transfer(network::Request { from, to, bytes })
            });
            crate::sim::join_all(transfers).await;
        }
    }

    async fn transfer(&self, id: DeviceId, direction: FlowDirection, bytes: u64, content: Content) -> Result<(), Lost> {
        if bytes == 0 {
            return Ok(());
        }
        let device = self.device(id);
        let sending = Sending { world: self, device, direction, content, start: self.now() };
        let cell = self.serving_cell(device);
        let (from, to) = (self.cells[cell].host, self.servers[device.server].host);
        let uplink = direction == FlowDirection::Uplink;
        let (radio, wired) = if uplink {
            let radio = self.over_the_radio(device, cell, Direction::Uplink, bytes).await?;
            let wired_from = self.now();
            self.wires.transfer(network::Request { from, to, bytes }).await;
            (radio, self.now() - wired_from)
        } else {
            self.wires.transfer(network::Request { from: to, to: from, bytes }).await;
            let wired = self.now() - sending.start;
            (self.over_the_radio(device, cell, Direction::Downlink, bytes).await?, wired)
        };
        let start = sending.start;
        drop(sending);
        self.note_transfer(device, direction, content, cell, start, &radio, wired);
        if device.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }

    async fn over_the_radio(
        &self,
        device: &Device,
        cell: usize,
        direction: Direction,
        bytes: u64,
    ) -> Result<TransferReport, Lost> {
        let link = self.link(device, cell);
        let report = self.cells[cell].air.transfer(TransferRequest { link, direction, bytes }).await;
        let joules = self.radio_joules(report.tx_energy_joules, report.on_air_seconds);
        self.account.borrow_mut().device(device.id).radio_joules += joules;
        device.drain(joules);
        match report.outcome {
            Outcome::Delivered => Ok(report),
            Outcome::Outage { .. } => Err(Lost::LinkOutage),
        }
    }

    /// What a phone's radio draws for radiating `tx_joules` while `on_air_seconds` on the air.
    pub(super) fn radio_joules(&self, tx_joules: f64, on_air_seconds: f64) -> f64 {
        tx_joules / POWER_AMPLIFIER_EFFICIENCY + on_air_seconds * RADIO_CIRCUIT_WATTS
    }

    #[allow(clippy::too_many_arguments)] // one row of flows.csv
    pub(super) fn note_transfer(
        &self,
        device: &Device,
        direction: FlowDirection,
        content: Content,
        cell: usize,
        start: SimTime,
        radio: &TransferReport,
        wired: SimDuration,
    ) {
        let mut account = self.account.borrow_mut();
        let books = account.device(device.id);
        if direction == FlowDirection::Uplink {
            books.uplink_bytes += radio.bytes;
            books.uplink_snr_db_sum += radio.mean_snr_db;
            books.uplinks += 1;
        } else {
            books.downlink_bytes += radio.bytes;
        }
        account.flows.push(Flow {
            round: self.round.get(),
            device: device.id,
            direction,
            content,
            bytes: radio.bytes,
            start,
            end: self.now(),
            radio: radio.end - radio.start,
            wired,
            cell,
            server: device.server,
            budget: radio.budget,
            mean_snr_db: radio.mean_snr_db,
            mean_mcs: radio.mean_mcs,
            mean_share: radio.mean_share,
            mean_rate_bit_per_s: radio.mean_rate_bps,
            tx_joules: radio.tx_energy_joules,
        });
    }

    /// The device's link in `cell`, made when it first transmits there.
    pub(super) fn link(&self, device: &Device, cell: usize) -> LinkId {
        let known = device.links.borrow().iter().find(|(c, _)| *c == cell).map(|(_, link)| *link);
        known.unwrap_or_else(|| {
            let trajectory = device.trajectory.borrow().clone();
            let link = self.cells[cell].air.with(|air| air.attach(&device.name, device.radio, trajectory));
            device.links.borrow_mut().push((cell, link));
            link
        })
    }

    /// The nearest cell now. A transfer stays with the cell in which it began.
    pub(super) fn serving_cell(&self, device: &Device) -> usize {
        let mut trajectory = device.trajectory.borrow_mut();
        if self.cells.len() > 1 && trajectory.is_mobile() {
            let here = trajectory.position_at(self.now());
            device.cell.set(self.nearest_cell([here.x_m, here.y_m]));
        }
        device.cell.get()
    }

    pub(super) fn nearest_cell(&self, [x, y]: [f64; 2]) -> usize {
        let distance = |c: &super::RadioCell| (c.position_m[0] - x).hypot(c.position_m[1] - y);
        let nearest =
            (0..self.cells.len()).min_by(|a, b| distance(&self.cells[*a]).total_cmp(&distance(&self.cells[*b])));
        nearest.expect("a scenario has at least one cell")
    }
}

/// A transfer under way. Dropped when it ends or is cut off: either way the time was spent.
pub(super) struct Sending<'a> {
    pub world: &'a World,
    pub device: &'a Device,
    pub direction: FlowDirection,
    pub content: Content,
    pub start: SimTime,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let world = self.world;
        let doing = match self.direction {
            FlowDirection::Downlink => Doing::Downlink,
            FlowDirection::Uplink | FlowDirection::OverTheAir => Doing::Uplink,
        };
        world.account.borrow_mut().spent(self.device.id, doing, self.start, world.now());
        if world.trace().is_enabled() {
            let name = format!("{} {}", self.direction.name(), self.content.name());
            world.trace().span(&self.device.name, &name, self.start, world.now(), &[]);
        }
    }
}
