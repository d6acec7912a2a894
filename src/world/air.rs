//! Over-the-air superposition in time: everybody transmits at once, each cell hears the sum of its own devices.
//!
//! `analog.rs` decides with what power each device sends and how it arrives; this file lets the time pass and books it.

use super::account::{Content, Flow, FlowDirection, FlowOutcome};
use super::analog::{CellSum, Member};
use super::{DeviceId, World};
use crate::network;
use crate::radio::units::linear_to_db;
use crate::radio::{Direction, LinkLayer};
use crate::scenario::{AirImperfections, AirPowerControl, AirScheduling};
use crate::sim::{SimDuration, SimTime, join_all};

/// What devices do when they transmit at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transmission<'a> {
    pub power_control: AirPowerControl,
    pub average_power_dbm: f64,
    pub imperfections: AirImperfections,
    pub scheduling: AirScheduling,
    /// By what each device multiplies its input of unit variance, in the order of devices: above 0, at most 1.
    pub weights: &'a [f64],
    pub content: Content,
    /// Payload of the superposition, however many send.
    pub bytes: u64,
}

/// How one device arrives at the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrival {
    pub sends: bool,
    /// Share of its weight with which it means to arrive: 1 where its power is enough, 0 if silent.
    pub intended: f64,
    /// Share of its weight with which it does arrive.
    pub amplitude: f64,
    /// Its phase at the centre of the band, 0 if aligned.
    pub radians: f64,
    /// Change of the phase from one subcarrier to the next.
    pub radians_per_subcarrier: f64,
}

/// What the edge heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// In the order asked.
    pub arrivals: Vec<Arrival>,
    /// Standard deviation of the noise on each entry of the sum of weighted inputs of unit variance.
    pub noise_std_of_sum: f64,
    /// Received power of a device of weight 1 over the noise, in the worst of the cells that heard somebody.
    pub receive_snr_db: Option<f64>,
    /// Over which the symbols are spread.
    pub subcarriers: u32,
}

impl World {
    /// Lets `devices` send their device-side parameters as analog symbols at once.
    ///
    /// Each cell sums its own devices; the sums travel over the wires to where servers' parts come together and are added
    /// there. The
    /// air time depends on the number of parameters, not of devices.
    pub async fn superpose(&self, devices: &[DeviceId], sent: &Transmission<'_>) -> Heard {
        let start = self.now();
        let scheduled = self.scheduled(devices, sent.scheduling);
        let mut cells = vec![];
        for cell in 0..self.cells.len() {
            let here: Vec<usize> =
                (0..devices.len()).filter(|&i| self.serving_cell(self.device(devices[i])) == cell).collect();
            if !here.is_empty() {
                cells.push(self.realise(cell, &here, devices, &scheduled, sent));
            }
        }
        let silent = Arrival::default();
        let mut heard = Heard {
            arrivals: vec![silent; devices.len()],
            noise_std_of_sum: cells.iter().map(|c| c.noise_to_power).sum::<f64>().sqrt(),
            receive_snr_db: None,
            subcarriers: cells.iter().map(|c| c.subcarriers).max().unwrap_or(1),
        };
        for c in &cells {
            for m in &c.members {
                heard.arrivals[m.position] = m.arrival;
            }
        }
        let worst = cells.iter().map(|c| c.noise_to_power).fold(0.0, f64::max);
        if worst > 0.0 {
            heard.receive_snr_db = Some(-linear_to_db(worst));
        }
        let no_route = join_all(cells.iter().map(|c| self.sound_and_forward(c, sent.bytes))).await;
        let senders = heard.arrivals.iter().filter(|a| a.sends).count() as u64;
        for (c, no_route) in cells.iter().zip(no_route) {
            self.note_superposition(c, devices, (start, no_route), sent.content, sent.bytes / senders.max(1));
        }
        heard
    }

    /// Returns for how long no wires led on.
    async fn sound_and_forward(&self, sum: &CellSum, bytes: u64) -> SimDuration {
        self.sim.sleep(sum.air).await;
        let (from, to) = (self.cells[sum.cell].host, self.hub);
        self.wires.transfer(network::Request { from, to, bytes }).await.stalled
    }

    /// Books the round of one cell. A superposition carries its payload once, however many take part: its bytes are
    /// shared out evenly.
    fn note_superposition(
        &self,
        sum: &CellSum,
        devices: &[DeviceId],
        (start, no_route): (SimTime, SimDuration),
        content: Content,
        bytes_each: u64,
    ) {
        for &Member { position, link, arrival: Arrival { sends, .. }, tx_watts } in &sum.members {
            let device = self.device(devices[position]);
            let spent = self.now() - start;
            let tx_joules = tx_watts * sum.on_air_seconds;
            let joules = if sends { self.radio_joules(tx_joules, sum.on_air_seconds) } else { 0.0 };
            device.drain(joules);
            let (allocation, budget) =
                self.cells[sum.cell].air.with(|a| a.site().rate_now(self.now(), link, Direction::Uplink, 1.0));
            let bytes = if sends { bytes_each } else { 0 };
            let mut account = self.account.borrow_mut();
            let books = account.device(device.id);
            // Who stays silent waits.
            if sends {
                books.activity.uplink += spent;
            }
            books.radio_joules += joules;
            books.uplink_bytes += bytes;
            account.note(Flow {
                round: self.round.get(),
                device: device.id,
                direction: FlowDirection::OverTheAir,
                content,
                outcome: FlowOutcome::Delivered,
                bytes,
                lost_bytes: 0,
                start,
                end: self.now(),
                radio: sum.air,
                wired: SimDuration::from_nanos(spent.as_nanos() - sum.air.as_nanos().min(spent.as_nanos())),
                no_route,
                cell: sum.cell,
                server: 0,
                budget,
                mean_snr_db: allocation.snr_db,
                mean_mcs: None,
                mean_share: 1.0,
                mean_rate_bit_per_s: bytes as f64 * 8.0 / sum.air.as_seconds().max(f64::MIN_POSITIVE),
                tx_joules: if sends { tx_joules } else { 0.0 },
                link_layer: LinkLayer::default(),
            });
            drop(account);
            if self.trace().is_enabled() && sends {
                self.trace().span(&device.name, content.name(), start, self.now(), &[]);
            }
        }
    }
}
