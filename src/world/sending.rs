//! One transfer from its first byte to its last, or to wherever it was cut off.

use super::account::{Content, Flow, FlowDirection, FlowOutcome};
use super::overlap::Doing;
use super::underway::{Occupied, Token};
use super::{Device, Lost, World};
use crate::radio::{Direction, Outcome, TransferReport, TransferRequest};
use crate::sim::{SimDuration, SimTime, Withdrawn};

/// A transfer under way. Dropped when it ends or is cut off: either way time, energy and bytes were spent, and the books
/// say so then.
pub(super) struct Sending<'a> {
    world: &'a World,
    device: &'a Device,
    direction: FlowDirection,
    content: Content,
    cell: usize,
    start: SimTime,
    outcome: FlowOutcome,
    /// The radio part, once it is over.
    radio: Option<Box<TransferReport>>,
    /// The radio part, if it is cut off.
    withdrawn: Option<Withdrawn<Box<TransferReport>>>,
    token: Token,
}

impl<'a> Sending<'a> {
    pub fn begin(
        world: &'a World,
        device: &'a Device,
        direction: FlowDirection,
        content: Content,
        cell: usize,
    ) -> Self {
        let (start, outcome) = (world.now(), FlowOutcome::CutOff);
        let doing = match direction {
            FlowDirection::Downlink => Doing::Downlink,
            FlowDirection::Uplink | FlowDirection::OverTheAir | FlowDirection::Sidelink { .. } => Doing::Uplink,
        };
        let token = world.account.borrow_mut().begin(Occupied::Device(device.id, doing), start);
        Self { world, device, direction, content, cell, start, outcome, radio: None, withdrawn: None, token }
    }

    /// Moves `bytes` between device and cell.
    pub async fn over_the_radio(&mut self, direction: Direction, bytes: u64) -> Result<(), Lost> {
        let link = self.world.link(self.device, self.cell);
        let air = &self.world.cells[self.cell].air;
        let withdrawn = &*self.withdrawn.insert(Withdrawn::default());
        let report = air.transfer(TransferRequest { link, direction, bytes }).leaving(withdrawn).await;
        let outage = matches!(report.outcome, Outcome::Outage { .. });
        self.crossed(report);
        if outage {
            self.outcome = FlowOutcome::Outage;
            return Err(Lost::LinkOutage);
        }
        Ok(())
    }

    /// The radio part is over, by whatever way the bytes took.
    pub fn crossed(&mut self, report: Box<TransferReport>) {
        self.radio = Some(report);
    }

    /// The last byte is where it should be.
    pub fn arrive(mut self) {
        self.outcome = FlowOutcome::Delivered;
    }

    fn book(&self, radio: &TransferReport) {
        let (world, device) = (self.world, self.device);
        let joules = world.radio_joules(radio.tx_energy_joules, radio.on_air_seconds);
        device.drain(joules);
        let bytes = radio.sent_bytes();
        let lost_bytes = if self.outcome == FlowOutcome::Delivered { 0 } else { bytes };
        let radio_time = radio.end - radio.start;
        let mut account = world.account.borrow_mut();
        if !account.in_a_round() {
            return;
        }
        let books = account.device(device.id);
        books.radio_joules += joules;
        books.lost_bytes += lost_bytes;
        if self.direction == FlowDirection::Uplink {
            books.uplink_bytes += bytes;
            books.uplink_snr_db_sum += radio.mean_snr_db;
            books.uplinks += 1;
        } else {
            books.downlink_bytes += bytes;
        }
        if !account.lists(device.id) {
            return;
        }
        account.note(Flow {
            round: world.round.get(),
            device: device.id,
            direction: self.direction,
            content: self.content,
            outcome: self.outcome,
            bytes,
            lost_bytes,
            start: self.start,
            end: world.now(),
            radio: radio_time,
            wired: SimDuration::from_nanos((world.now() - self.start).as_nanos() - radio_time.as_nanos()),
            cell: self.cell,
            server: device.server,
            budget: radio.budget,
            mean_snr_db: radio.mean_snr_db,
            mean_mcs: radio.mean_mcs,
            mean_share: radio.mean_share,
            mean_rate_bit_per_s: radio.mean_rate_bps,
            tx_joules: radio.tx_energy_joules,
            link_layer: radio.link_layer,
        });
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let world = self.world;
        world.account.borrow_mut().end(self.token, world.now());
        // Cut off on the wires before it reached the air, or before the cell admitted it, a transfer has no radio part.
        let withdrawn = || self.withdrawn.as_ref().and_then(|place| place.borrow_mut().take());
        if let Some(radio) = self.radio.take().or_else(withdrawn) {
            self.book(&radio);
        }
        if world.trace().is_enabled() {
            let name = format!("{} {}", self.direction.name(), self.content.name());
            world.trace().span(&self.device.name, &name, self.start, world.now(), &[]);
        }
    }
}
