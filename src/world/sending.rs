//! One transfer from its first byte to its last, or to wherever it was cut off.

use super::account::{Content, Flow, FlowDirection, FlowOutcome};
use super::overlap::Doing;
use super::sleeping::Awake;
use super::underway::{Occupied, Token};
use super::{Device, Lost, World};
use crate::network::{NodeId, Request};
use crate::radio::{Direction, Outcome, TransferReport, TransferRequest};
use crate::sim::{Either, SimDuration, SimTime, Withdrawn, select};

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
    /// How long no wires led to the receiver.
    no_route: SimDuration,
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
        let no_route = SimDuration::ZERO;
        Self { world, device, direction, content, cell, start, outcome, radio: None, withdrawn: None, no_route, token }
    }

    /// The cell that carries it.
    pub fn cell(&self) -> usize {
        self.cell
    }

    /// Moves `bytes` between device and cell; a device that changes cells goes on in the next with what is left.
    pub async fn over_the_radio(&mut self, direction: Direction, bytes: u64) -> Result<(), Lost> {
        let (world, device) = (self.world, self.device);
        if direction == Direction::Downlink {
            world.until_it_listens(device).await;
        }
        let _awake = Awake::begin(world, device);
        let withdrawn = self.withdrawn.insert(Withdrawn::default()).clone();
        let mut left = bytes;
        let report = loop {
            let (link, air) = (world.link(device, self.cell), &world.cells[self.cell].air);
            let transfer = air.transfer(TransferRequest { link, direction, bytes: left }).leaving(&withdrawn);
            if !world.may_be_handed_over(device) {
                break transfer.await;
            }
            match select(transfer, world.handed_over(device, self.cell)).await {
                Either::Left(report) => break report,
                Either::Right(()) => {
                    self.cell = device.cell.get();
                    if let Some(part) = withdrawn.take() {
                        left -= part.sent_bytes();
                        self.crossed(part);
                    }
                    world.ready_in_cell(device).await;
                }
            }
        };
        let outage = matches!(report.outcome, Outcome::Outage { .. });
        self.crossed(report);
        if outage {
            self.outcome = FlowOutcome::Outage;
            return Err(Lost::LinkOutage);
        }
        Ok(())
    }

    /// The radio part, or a further part of it, is over, by whatever way the bytes took.
    pub fn crossed(&mut self, report: Box<TransferReport>) {
        self.radio = Some(match self.radio.take() {
            Some(before) => Box::new(before.followed_by(*report)),
            None => report,
        });
    }

    /// Moves `bytes` between cell and server, or the other way.
    pub async fn over_the_wires(&mut self, from: NodeId, to: NodeId, bytes: u64) {
        let report = self.world.wires.transfer(Request { from, to, bytes }).await;
        self.no_route += report.stalled;
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
            no_route: self.no_route,
            cell: self.cell,
            server: device.server.get(),
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
        let part = self.withdrawn.take().and_then(|place| place.take());
        if let Some(part) = part {
            self.crossed(part);
        }
        if let Some(radio) = self.radio.take() {
            self.book(&radio);
        }
        if world.trace().is_enabled() {
            let name = format!("{} {}", self.direction.name(), self.content.name());
            world.trace().span(&self.device.name, &name, self.start, world.now(), &[]);
        }
    }
}
