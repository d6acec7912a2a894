//! Devices that hold slices of blocks: what they hear from the edge, what they compute, and how their sums come back.

use super::account::{Content, Flow, FlowDirection, FlowOutcome};
use super::{DeviceId, Lost, World};
use crate::compute::Work;
use crate::fomo::BatchShape;
use crate::network;
use crate::radio::aircomp::slices::{AntennaLink, ReceiveBeam, UniformForcing, draw_channel, estimate_channel};
use crate::radio::aircomp::{AirInterface, ValuesPerSymbol};
use crate::radio::{Direction, LinkId, LinkLayer, Outcome, TransferRequest};
use crate::scenario::ReceiveCombining;
use crate::sim::{SimDuration, SimTime, join_all};

const MILLIWATTS_PER_WATT: f64 = 1e3;

/// The scenario's choices about antennas and power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceAir {
    pub receive_antennas: usize,
    pub transmit_antennas: usize,
    pub receive_beam: ReceiveCombining,
    pub average_power_dbm: f64,
    /// Variance of a channel estimate's error over the channel's power.
    pub channel_error: f64,
}

/// How sums over the slices of some devices are heard while the channels stand still.
#[derive(Clone, Debug)]
pub struct SliceSum {
    /// The real gain with which each device's values arrive, in the order asked.
    pub gains: Vec<f64>,
    /// Standard deviation of the noise on an entry of the sum of values of unit variance.
    pub noise_std: f64,
    /// Received power of each device's values over the noise, after combining, all cells' noise together.
    pub snr: f64,
    cells: Vec<CellSum>,
}

/// What one cell hears.
#[derive(Clone, Debug)]
struct CellSum {
    cell: usize,
    /// Positions in the list of devices asked.
    members: Vec<usize>,
    links: Vec<LinkId>,
    interface: AirInterface,
    /// Mean transmit power of each member over the whole band.
    tx_watts: Vec<f64>,
}

impl World {
    /// Sounds the channels from `devices` to the antennas of their cells and sets the beams: for the whole round, in which
    /// they are taken to stand still. Each cell sums its own devices and has noise of its own.
    pub fn sound(&self, devices: &[DeviceId], air: SliceAir) -> SliceSum {
        let mut sum = SliceSum { gains: vec![1.0; devices.len()], noise_std: 0.0, snr: f64::INFINITY, cells: vec![] };
        let (mut noise_variance, mut leak_variance) = (0.0, 0.0);
        for (cell, members) in self.by_cell(devices) {
            let links: Vec<LinkId> = members.iter().map(|&i| self.link(self.device(devices[i]), cell)).collect();
            let (states, interface) =
                self.cells[cell].air.with(|a| (a.site().air_state(&links, self.now()), a.site().air_interface()));
            let limit_watts = 10f64.powf(air.average_power_dbm / 10.0) / MILLIWATTS_PER_WATT;
            let truth: Vec<AntennaLink> = members
                .iter()
                .zip(&states)
                .map(|(&i, s)| AntennaLink {
                    channel: draw_channel(
                        s.law,
                        air.receive_antennas,
                        air.transmit_antennas,
                        &self.antenna_draw(devices[i], cell, "antennas"),
                    ),
                    path_gain: s.path_gain,
                    power_watts: s.power_watts.min(limit_watts) / f64::from(interface.subcarriers),
                })
                .collect();
            let known = members.iter().zip(&truth).map(|(&i, link)| {
                let draw = self.antenna_draw(devices[i], cell, "channel estimate");
                AntennaLink { channel: estimate_channel(&link.channel, air.channel_error, &draw), ..link.clone() }
            });
            let beam = match air.receive_beam {
                ReceiveCombining::AntennaSelection => ReceiveBeam::AntennaSelection,
                ReceiveCombining::Eigenvector => ReceiveBeam::Eigenvector,
                ReceiveCombining::MaxMin => ReceiveBeam::MaxMin,
            };
            let beams = UniformForcing::new(&known.collect::<Vec<_>>(), beam);
            noise_variance += 1.0 / beams.snr(interface.noise_watts);
            if air.channel_error > 0.0 {
                for (&i, gain) in members.iter().zip(beams.gains(&truth)) {
                    sum.gains[i] = gain.re;
                    leak_variance += gain.im.powi(2);
                }
            }
            let tx_watts = beams.transmit.iter().map(|v| v.norm_squared() * f64::from(interface.subcarriers)).collect();
            sum.cells.push(CellSum { cell, members, links, interface, tx_watts });
        }
        sum.snr = 1.0 / noise_variance;
        sum.noise_std = (noise_variance + leak_variance).sqrt();
        sum
    }

    fn antenna_draw(&self, device: DeviceId, cell: usize, purpose: &str) -> crate::random::CounterStream {
        let name = format!("{}/{}", self.cells[cell].name, self.device(device).name);
        self.streams.counter(&name, purpose).child(self.round.get() as u64)
    }

    /// Positions in `devices` by serving cell.
    fn by_cell(&self, devices: &[DeviceId]) -> Vec<(usize, Vec<usize>)> {
        let cells: Vec<usize> = devices.iter().map(|d| self.serving_cell(self.device(*d))).collect();
        let members = |cell: usize| (0..devices.len()).filter(|i| cells[*i] == cell).collect::<Vec<usize>>();
        (0..self.cells.len()).map(|cell| (cell, members(cell))).filter(|(_, m)| !m.is_empty()).collect()
    }

    /// Lets `devices` send `values` numbers each at once, two a symbol over the whole uplink band; the sums go on as `bytes`
    /// over the wires to the edge server of `owner`. The time does not depend on how many send.
    pub async fn superpose_slices(
        &self,
        sum: &SliceSum,
        devices: &[DeviceId],
        owner: DeviceId,
        (values, bytes): (u64, u64),
        content: Content,
    ) -> Result<(), Lost> {
        let to = self.servers[self.device(owner).server.get()].host;
        let each = |c| self.hear_cell(c, devices, to, (values, bytes), content);
        join_all(sum.cells.iter().map(each)).await;
        self.all_have_charge(devices)
    }

    async fn hear_cell(
        &self,
        sum: &CellSum,
        devices: &[DeviceId],
        to: network::NodeId,
        (values, bytes): (u64, u64),
        content: Content,
    ) {
        let start = self.now();
        let seconds = sum.interface.round_seconds(values, ValuesPerSymbol::Two);
        let radio = SimDuration::from_seconds(seconds);
        let on_air_seconds = seconds * sum.interface.time_share;
        self.sim.sleep(radio).await;
        let from = self.cells[sum.cell].host;
        let no_route = self.wires.transfer(network::Request { from, to, bytes }).await.stalled;
        let shares = even_shares(bytes, sum.members.len());
        for (position, (&member, bytes)) in sum.members.iter().zip(shares).enumerate() {
            let sent = Sent {
                device: devices[member],
                cell: sum.cell,
                link: sum.links[position],
                direction: FlowDirection::OverTheAir,
                content,
                outcome: FlowOutcome::Delivered,
                bytes,
                start,
                radio,
                no_route,
                on_air_seconds,
                tx_joules: sum.tx_watts[position] * on_air_seconds,
            };
            self.note_sent(&sent);
        }
    }

    /// Sends `bytes` from the edge server of `owner` to all `devices` at once: each cell transmits them once, at the rate of
    /// the weakest of its own.
    pub async fn broadcast(
        &self,
        devices: &[DeviceId],
        owner: DeviceId,
        bytes: u64,
        content: Content,
    ) -> Result<(), Lost> {
        if bytes == 0 {
            return Ok(());
        }
        let from = self.servers[self.device(owner).server.get()].host;
        let cells = self.by_cell(devices);
        let sends = cells.iter().map(|(cell, members)| {
            self.broadcast_in_cell(*cell, members.iter().map(|&i| devices[i]).collect(), from, bytes, content)
        });
        join_all(sends).await.into_iter().collect::<Result<Vec<()>, Lost>>()?;
        self.all_have_charge(devices)
    }

    async fn broadcast_in_cell(
        &self,
        cell: usize,
        members: Vec<DeviceId>,
        from: network::NodeId,
        bytes: u64,
        content: Content,
    ) -> Result<(), Lost> {
        let start = self.now();
        let no_route = self.wires.transfer(network::Request { from, to: self.cells[cell].host, bytes }).await.stalled;
        let links: Vec<LinkId> = members.iter().map(|d| self.link(self.device(*d), cell)).collect();
        let air = &self.cells[cell].air;
        let rate =
            |link: &LinkId| air.with(|a| a.site().rate_now(self.now(), *link, Direction::Downlink, 1.0)).0.rate_bps;
        let rates: Vec<f64> = links.iter().map(rate).collect();
        let weakest = (0..links.len()).min_by(|a, b| rates[*a].total_cmp(&rates[*b])).unwrap_or(0);
        let report =
            air.transfer(TransferRequest { link: links[weakest], direction: Direction::Downlink, bytes }).await;
        let lost = matches!(report.outcome, Outcome::Outage { .. });
        let outcome = if lost { FlowOutcome::Outage } else { FlowOutcome::Delivered };
        let shares = even_shares(report.sent_bytes(), members.len());
        for ((device, link), bytes) in members.iter().zip(&links).zip(shares) {
            self.note_sent(&Sent {
                device: *device,
                cell,
                link: *link,
                direction: FlowDirection::Downlink,
                content,
                outcome,
                bytes,
                start,
                radio: report.end - report.start,
                no_route,
                on_air_seconds: report.on_air_seconds,
                tx_joules: 0.0,
            });
        }
        if lost { Err(Lost::LinkOutage) } else { Ok(()) }
    }

    /// All `devices` at work on their slices at once.
    pub async fn compute_slices(
        &self,
        devices: &[DeviceId],
        what: &str,
        work: Work,
        batch: &BatchShape,
    ) -> Result<(), Lost> {
        let work = [work];
        let memory = self.demand.device_memory_bytes(batch);
        let each = devices.iter().map(|d| self.compute_on_device(*d, what, &work, memory));
        join_all(each).await.into_iter().collect()
    }

    /// Forward and backward pass of what the edge holds whole, at the edge server of `owner`.
    pub async fn train_edge_rest(&self, owner: DeviceId, batch: &BatchShape) {
        let work = self.demand.edge_work(batch);
        self.work_at_edge(self.device(owner).server.get(), &[owner], &work).await;
    }

    fn all_have_charge(&self, devices: &[DeviceId]) -> Result<(), Lost> {
        let empty = devices.iter().any(|d| self.device(*d).battery_is_empty());
        if empty { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }

    /// Books one device's part in what many sent or heard together.
    fn note_sent(&self, sent: &Sent) {
        let device = self.device(sent.device);
        let now = self.now();
        let up = sent.direction != FlowDirection::Downlink;
        let link_direction = if up { Direction::Uplink } else { Direction::Downlink };
        let (allocation, budget) =
            self.cells[sent.cell].air.with(|a| a.site().rate_now(now, sent.link, link_direction, 1.0));
        let joules = self.radio_joules(sent.tx_joules, sent.on_air_seconds);
        device.drain(joules);
        let spent = now - sent.start;
        let lost_bytes = if sent.outcome == FlowOutcome::Delivered { 0 } else { sent.bytes };
        let mut account = self.account.borrow_mut();
        let books = account.device(sent.device);
        books.radio_joules += joules;
        books.lost_bytes += lost_bytes;
        if up {
            books.activity.uplink += spent;
            books.uplink_bytes += sent.bytes;
        } else {
            books.activity.downlink += spent;
            books.downlink_bytes += sent.bytes;
        }
        account.note(Flow {
            round: self.round.get(),
            device: sent.device,
            direction: sent.direction,
            content: sent.content,
            outcome: sent.outcome,
            bytes: sent.bytes,
            lost_bytes,
            start: sent.start,
            end: now,
            radio: sent.radio,
            wired: SimDuration::from_nanos(spent.as_nanos() - sent.radio.as_nanos().min(spent.as_nanos())),
            no_route: sent.no_route,
            cell: sent.cell,
            server: device.server.get(),
            budget,
            mean_snr_db: allocation.snr_db,
            mean_mcs: if up { None } else { allocation.mcs.map(f64::from) },
            mean_share: 1.0,
            mean_rate_bit_per_s: sent.bytes as f64 * 8.0 / sent.radio.as_seconds().max(f64::MIN_POSITIVE),
            tx_joules: sent.tx_joules,
            link_layer: LinkLayer::default(),
        });
        drop(account);
        if self.trace().is_enabled() {
            let name = format!("{} {}", sent.direction.name(), sent.content.name());
            self.trace().span(&device.name, &name, sent.start, now, &[]);
        }
    }
}

/// One device's part in what many sent or heard together.
struct Sent {
    device: DeviceId,
    cell: usize,
    link: LinkId,
    direction: FlowDirection,
    content: Content,
    outcome: FlowOutcome,
    bytes: u64,
    start: SimTime,
    radio: SimDuration,
    no_route: SimDuration,
    on_air_seconds: f64,
    tx_joules: f64,
}

/// `bytes` dealt to `count` as evenly as whole bytes can be.
fn even_shares(bytes: u64, count: usize) -> impl Iterator<Item = u64> {
    let count = count as u64;
    (0..count).map(move |i| bytes / count + u64::from(i < bytes % count))
}
