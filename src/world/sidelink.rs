//! Messages from device to device, without cell and wires.
//!
//! One pair transmits at a time and has the whole band: devices are half-duplex, and neither end can be in two
//! conversations. Both ends pay: the sender radiates, the receiver listens.

use super::account::{Content, Flow, FlowDirection, FlowOutcome};
use super::{Device, DeviceId, Lost, World};
use crate::radio::sidelink::{Crossing, Sidelink, SidelinkChannel};
use crate::radio::{Fading, LinkBudget, LinkLayer, Position};
use crate::sim::{Resource, SimDuration, SimTime};

/// The sidelink of all devices.
pub(super) struct SidelinkAir {
    pub radio: Sidelink,
    pub fading: Fading,
    /// Whose turn it is.
    pub band: Resource,
}

/// A device within range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub device: DeviceId,
    pub distance_m: f64,
}

impl World {
    /// Those `among` others that `to` hears now, when fading neither helps nor harms; the nearest first.
    pub fn neighbours(&self, to: DeviceId, among: &[DeviceId]) -> Vec<Neighbour> {
        let Some(air) = &self.sidelink else { return vec![] };
        let mut heard: Vec<Neighbour> = among
            .iter()
            .filter(|from| **from != to && !self.device(**from).battery_is_empty())
            .filter_map(|&from| {
                let channel = self.sidelink_channel(air, from, to);
                let reaches = air.radio.reaches(&channel, self.device(from).radio.power_dbm);
                reaches.then_some(Neighbour { device: from, distance_m: channel.distance_2d_m })
            })
            .collect();
        heard.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m).then(a.device.cmp(&b.device)));
        heard
    }

    /// One of `neighbours` at random: the same for `newcomer` in every trial with the same seed and replication.
    pub fn draw_neighbour(&self, newcomer: DeviceId, neighbours: &[Neighbour]) -> Option<DeviceId> {
        let draw = self.streams.counter(&self.device(newcomer).name, "choice of a donor").uniform(0);
        neighbours.get((draw * neighbours.len() as f64) as usize).map(|n| n.device)
    }

    /// Sends `bytes` from one device to another, in turn with all others.
    pub async fn send_to_device(&self, from: DeviceId, to: DeviceId, bytes: u64, content: Content) -> Result<(), Lost> {
        let Some(air) = &self.sidelink else { return Err(Lost::LinkOutage) };
        if bytes == 0 {
            return Ok(());
        }
        let _turn = air.band.acquire(0).await;
        let (sender, receiver) = (self.device(from), self.device(to));
        let start = self.now();
        let channel = self.sidelink_channel(air, from, to);
        let power_dbm = sender.radio.power_dbm;
        let crossing = air.radio.cross(&channel, &air.fading, power_dbm, bytes, start);
        let budget = air.radio.budget(&channel, power_dbm, 1.0, 1.0);
        self.sim.sleep(crossing.duration).await;
        self.note_conversation(sender, receiver, &crossing, start, content);
        self.note_sidelink_flow(sender, to, &crossing, content, start, budget);
        if !crossing.delivered {
            return Err(Lost::LinkOutage);
        }
        if sender.battery_is_empty() || receiver.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }

    fn sidelink_channel(&self, air: &SidelinkAir, from: DeviceId, to: DeviceId) -> SidelinkChannel {
        let (first, second) = (self.device(from.min(to)), self.device(from.max(to)));
        let pair = self.streams.counter(&format!("{} and {}", first.name, second.name), "sidelink");
        air.radio.channel(&pair, &self.position(first), &self.position(second), &air.fading)
    }

    fn position(&self, device: &Device) -> Position {
        device.trajectory.borrow_mut().position_at(self.now())
    }

    /// Books seconds and joules of both ends: sending is uplink time, listening downlink time.
    fn note_conversation(
        &self,
        sender: &Device,
        receiver: &Device,
        crossing: &Crossing,
        start: SimTime,
        content: Content,
    ) {
        let on_air = crossing.on_air_seconds;
        let ends = [
            (sender, self.radio_joules(crossing.tx_joules, on_air), "send"),
            (receiver, self.radio_joules(0.0, on_air), "receive"),
        ];
        for (device, joules, what) in ends {
            let mut account = self.account.borrow_mut();
            let books = account.device(device.id);
            let activity = &mut books.activity;
            let seconds = if what == "send" { &mut activity.uplink } else { &mut activity.downlink };
            *seconds += crossing.duration;
            books.radio_joules += joules;
            drop(account);
            device.drain(joules);
            if self.trace().is_enabled() {
                let name = format!("sidelink {what} {}", content.name());
                self.trace().span(&device.name, &name, start, self.now(), &[]);
            }
        }
    }

    fn note_sidelink_flow(
        &self,
        sender: &Device,
        to: DeviceId,
        crossing: &Crossing,
        content: Content,
        start: SimTime,
        budget: LinkBudget,
    ) {
        let lost_bytes = if crossing.delivered { 0 } else { crossing.sent_bytes };
        let mut account = self.account.borrow_mut();
        account.device(sender.id).lost_bytes += lost_bytes;
        account.note(Flow {
            round: self.round.get(),
            device: sender.id,
            direction: FlowDirection::Sidelink { to },
            content,
            outcome: if crossing.delivered { FlowOutcome::Delivered } else { FlowOutcome::Outage },
            bytes: crossing.sent_bytes,
            lost_bytes,
            start,
            end: self.now(),
            radio: self.now() - start,
            wired: SimDuration::ZERO,
            no_route: SimDuration::ZERO,
            cell: sender.cell.get(),
            server: sender.server.get(),
            budget,
            mean_snr_db: crossing.mean_snr_db,
            mean_mcs: crossing.mean_mcs,
            mean_share: crossing.mean_share,
            mean_rate_bit_per_s: crossing.mean_rate_bps,
            tx_joules: crossing.tx_joules,
            link_layer: LinkLayer::default(),
        });
    }
}
