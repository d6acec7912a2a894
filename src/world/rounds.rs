//! Rounds: who takes part, when a part is over, and what a round came to.

use super::{DeviceId, DeviceTotals, Draw, Flow, Lost, RoundTotals, World};
use crate::sim::{SimDuration, SimTime};
use std::future::Future;

const JOULES_PER_KWH: f64 = 3.6e6;
const SECONDS_PER_HOUR: f64 = 3600.0;
const BYTES_PER_GB: f64 = 1e9;

impl World {
    /// Starts a round and draws its devices among those with charge and memory for the task, in ascending order.
    pub fn begin_round(&self, round: usize, wanted: usize) -> Vec<DeviceId> {
        self.begin_round_beside(round, wanted, &[], &Draw::Uniform)
    }

    /// Starts a round in which the `busy` go on with what they began before, and draws others so that `wanted` take part.
    /// Returns those drawn, in ascending order.
    pub fn begin_round_beside(&self, round: usize, wanted: usize, busy: &[DeviceId], draw: &Draw) -> Vec<DeviceId> {
        self.round.set(round);
        let able = |d: &&super::Device| !d.battery_is_empty() && self.fits(d.id) && !busy.contains(&d.id);
        let able = self.devices.iter().filter(able).map(|d| d.id).collect();
        let ids = self.draw(round, wanted.saturating_sub(busy.len()), able, draw);
        let mut participants = [busy, &ids].concat();
        participants.sort_unstable();
        self.open_books(&participants);
        ids
    }

    /// Starts a round of those among `wanted` who have charge and memory for the task, in the order given.
    pub fn begin_round_of(&self, round: usize, wanted: &[DeviceId]) -> Vec<DeviceId> {
        self.round.set(round);
        let able = |id: &&DeviceId| !self.device(**id).battery_is_empty() && self.fits(**id);
        let ids: Vec<DeviceId> = wanted.iter().filter(able).copied().collect();
        self.open_books(&ids);
        ids
    }

    fn open_books(&self, participants: &[DeviceId]) {
        self.account.borrow_mut().begin_round(self.now(), participants);
        participants.iter().for_each(|d| self.begin_idle_radio(self.device(*d)));
    }

    /// Lets `playing` go on until `seconds` after `start` at most.
    pub async fn within<T>(
        &self,
        start: SimTime,
        seconds: f64,
        playing: impl Future<Output = Result<T, Lost>>,
    ) -> Result<T, Lost> {
        let deadline = start + SimDuration::from_seconds(seconds);
        self.sim.deadline(deadline, playing).await.unwrap_or(Err(Lost::TooLate))
    }

    /// Ends the round and settles what it cost. Waiting devices draw idle power until now.
    pub fn end_round(&self, round: usize, delivered: &[DeviceId]) -> RoundTotals {
        let now = self.now();
        let participants = self.account.borrow().participants.clone();
        for &d in &participants {
            self.book_idle_radio(self.device(d));
        }
        let mut account = self.account.borrow_mut();
        let start = account.round_start;
        let length = now - start;
        for (d, spent) in account.cut_underway(now) {
            account.device(d).compute_joules += self.device(d).spend_computing(spent);
        }
        for &d in &participants {
            let device = &self.devices[d.index()];
            account.settle_overlaps(d);
            let books = account.device(d);
            let idle = SimDuration::from_nanos(
                length.as_nanos() - books.activity.device_compute.as_nanos().min(length.as_nanos()),
            );
            let joules = device.hardware.energy_joules(SimDuration::ZERO, idle);
            books.compute_joules += joules;
            device.drain(joules);
        }
        let (busy, extra) = (account.edge_busy.clone(), account.edge_extra_joules);
        let books = account.end_round(now, delivered);
        let n = books.len().max(1) as f64;
        let mean =
            |part: &dyn Fn(&DeviceTotals) -> SimDuration| books.iter().map(|b| part(b).as_seconds()).sum::<f64>() / n;
        let mut totals = RoundTotals {
            round,
            start,
            end: now,
            participants: books.len(),
            device_compute_s: mean(&|b| b.activity.device_compute),
            uplink_s: mean(&|b| b.activity.uplink),
            edge_compute_s: mean(&|b| b.activity.edge_compute),
            downlink_s: mean(&|b| b.activity.downlink),
            waiting_s: mean(&|b| b.waiting),
            uplink_bytes: books.iter().map(|b| b.uplink_bytes).sum(),
            downlink_bytes: books.iter().map(|b| b.downlink_bytes).sum(),
            lost_bytes: books.iter().map(|b| b.lost_bytes).sum(),
            device_joules: books.iter().map(|b| b.compute_joules + b.radio_joules).sum(),
            edge_joules: self.edge_joules(length, &busy) + extra,
            cost_usd: 0.0,
            peak_device_memory_bytes: books.iter().map(|b| b.peak_memory_bytes).max().unwrap_or(0),
        };
        totals.cost_usd = self.cost_usd(&totals);
        totals
    }

    /// Accelerators draw active power while they serve and idle power otherwise.
    fn edge_joules(&self, length: SimDuration, busy: &[SimDuration]) -> f64 {
        let joules = |(server, busy): (&super::EdgeServer, &SimDuration)| {
            let held = length.as_seconds() * server.accelerators as f64;
            let idle = SimDuration::from_seconds((held - busy.as_seconds()).max(0.0));
            server.hardware.energy_joules(*busy, idle)
        };
        self.servers.iter().zip(busy).map(joules).sum()
    }

    /// Rent of all accelerators for the round's length, radio traffic by volume, energy at the meter.
    fn cost_usd(&self, t: &RoundTotals) -> f64 {
        let accelerators: usize = self.servers.iter().map(|s| s.accelerators).sum();
        let hours = (t.end - t.start).as_seconds() / SECONDS_PER_HOUR;
        let gigabytes = (t.uplink_bytes + t.downlink_bytes) as f64 / BYTES_PER_GB;
        let kwh = (t.device_joules + t.edge_joules) / JOULES_PER_KWH;
        self.prices.edge_usd_per_accelerator_hour * hours * accelerators as f64
            + self.prices.radio_usd_per_gb * gigabytes
            + self.prices.energy_usd_per_kwh * kwh
    }

    /// What a device has spent on anything but waiting in all finished rounds.
    pub fn active_time(&self, device: DeviceId) -> SimDuration {
        self.account.borrow().totals()[device.index()].activity.total()
    }

    /// The books of all finished rounds, by device.
    pub fn device_totals(&self) -> Vec<DeviceTotals> {
        self.account.borrow().totals().to_vec()
    }

    /// Hands over the finished transfers of the devices that are listed, in the order in which they ended.
    pub fn take_flows(&self) -> Vec<Flow> {
        self.account.borrow_mut().take_flows()
    }
}
