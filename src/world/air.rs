//! Over-the-air superposition in time: everybody transmits at once, each cell hears the sum of its own devices.

use super::account::{Content, Flow, FlowDirection, FlowOutcome};
use super::{DeviceId, World};
use crate::network;
use crate::radio::aircomp::{ChannelState, Superposition, TruncatedInversion};
use crate::radio::{Direction, LinkId};
use crate::sim::{SimDuration, SimTime, join_all};

const MILLIWATTS_PER_WATT: f64 = 1e3;

/// What the edge heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Whether each device took part, in the order asked.
    pub participates: Vec<bool>,
    /// Standard deviation of the noise on each entry of the sum of inputs of unit variance.
    pub noise_std_of_sum: f64,
}

impl World {
    /// Lets `devices` send their device-side parameters as analog symbols at once, with truncated channel inversion.
    ///
    /// Each cell sums its own devices; the sums travel to the first edge server over the wires and are added there. The
    /// air time depends on the number of parameters, not of devices.
    pub async fn superpose(&self, devices: &[DeviceId], truncation_threshold: f64, average_power_dbm: f64) -> Heard {
        let mut heard = Heard { participates: vec![false; devices.len()], noise_std_of_sum: 0.0 };
        // The reader of scenarios admits positive thresholds only.
        let Ok(scheme) = TruncatedInversion::new(truncation_threshold) else { return heard };
        let start = self.now();
        let limit_watts = 10f64.powf(average_power_dbm / 10.0) / MILLIWATTS_PER_WATT;
        let mut cells = vec![];
        for cell in 0..self.cells.len() {
            let here: Vec<usize> =
                (0..devices.len()).filter(|&i| self.serving_cell(self.device(devices[i])) == cell).collect();
            if !here.is_empty() {
                cells.push(self.realise(cell, here, devices, &scheme, limit_watts));
            }
        }
        let mut noise_variance = 0.0;
        for c in &cells {
            for (i, sends) in c.members.iter().zip(&c.superposition.participants) {
                heard.participates[*i] = *sends;
            }
            if c.superposition.scale > 0.0 {
                noise_variance += (c.superposition.noise_std / c.superposition.scale).powi(2);
            }
        }
        heard.noise_std_of_sum = noise_variance.sqrt();
        let bytes = self.demand.device_side_bytes();
        join_all(cells.iter().map(|c| self.sound_and_forward(c, bytes))).await;
        let senders = heard.participates.iter().filter(|p| **p).count() as u64;
        for c in &cells {
            self.note_superposition(c, devices, start, bytes / senders.max(1));
        }
        heard
    }

    /// Draws who of `members` transmits in `cell` now, and how noisy their sum is.
    fn realise(
        &self,
        cell: usize,
        members: Vec<usize>,
        devices: &[DeviceId],
        scheme: &TruncatedInversion,
        limit_watts: f64,
    ) -> CellSum {
        let links: Vec<LinkId> = members.iter().map(|&i| self.link(self.device(devices[i]), cell)).collect();
        let (states, air) = self.cells[cell].air.with(|a| (a.air_state(&links, self.now()), a.air_interface()));
        let limited: Vec<ChannelState> =
            states.iter().map(|s| ChannelState { power_watts: s.power_watts.min(limit_watts), ..*s }).collect();
        let superposition = scheme.realise(&limited, &air);
        let seconds = air.round_seconds(self.demand.device_side_parameters(), scheme.values_per_symbol);
        let on_air_seconds = seconds * air.time_share;
        let tx_watts = superposition.mean_tx_watts.iter().map(|w| w * f64::from(air.subcarriers)).collect();
        CellSum {
            cell,
            members,
            links,
            superposition,
            air: SimDuration::from_seconds(seconds),
            on_air_seconds,
            tx_watts,
        }
    }

    async fn sound_and_forward(&self, sum: &CellSum, bytes: u64) {
        self.sim.sleep(sum.air).await;
        let (from, to) = (self.cells[sum.cell].host, self.servers[0].host);
        self.wires.transfer(network::Request { from, to, bytes }).await;
    }

    /// Books the round of one cell. A superposition carries its payload once, however many take part: its bytes are
    /// shared out evenly.
    fn note_superposition(&self, sum: &CellSum, devices: &[DeviceId], start: SimTime, bytes_each: u64) {
        for (position, &member) in sum.members.iter().enumerate() {
            let device = self.device(devices[member]);
            let sends = sum.superposition.participants[position];
            let spent = self.now() - start;
            let tx_joules = sum.tx_watts[position] * sum.on_air_seconds;
            let joules = if sends { self.radio_joules(tx_joules, sum.on_air_seconds) } else { 0.0 };
            device.drain(joules);
            let (allocation, budget) =
                self.cells[sum.cell].air.with(|a| a.rate_now(self.now(), sum.links[position], Direction::Uplink, 1.0));
            let bytes = if sends { bytes_each } else { 0 };
            let mut account = self.account.borrow_mut();
            let books = account.device(device.id);
            // Who stays silent waits.
            if sends {
                books.activity.uplink += spent;
            }
            books.radio_joules += joules;
            books.uplink_bytes += bytes;
            account.flows.push(Flow {
                round: self.round.get(),
                device: device.id,
                direction: FlowDirection::OverTheAir,
                content: Content::AnalogUpdate,
                outcome: FlowOutcome::Delivered,
                bytes,
                lost_bytes: 0,
                start,
                end: self.now(),
                radio: sum.air,
                wired: SimDuration::from_nanos(spent.as_nanos() - sum.air.as_nanos().min(spent.as_nanos())),
                cell: sum.cell,
                server: 0,
                budget,
                mean_snr_db: allocation.snr_db,
                mean_mcs: None,
                mean_share: 1.0,
                mean_rate_bit_per_s: bytes as f64 * 8.0 / sum.air.as_seconds().max(f64::MIN_POSITIVE),
                tx_joules: if sends { tx_joules } else { 0.0 },
            });
            drop(account);
            if self.trace().is_enabled() && sends {
                self.trace().span(&device.name, "analog update", start, self.now(), &[]);
            }
        }
    }
}

/// One cell's part in a superposition.
struct CellSum {
    cell: usize,
    /// Positions in the list of devices asked.
    members: Vec<usize>,
    links: Vec<LinkId>,
    superposition: Superposition,
    air: SimDuration,
    /// Part of `air` in which the uplink has the carrier.
    on_air_seconds: f64,
    /// Mean transmit power of each member over the whole band.
    tx_watts: Vec<f64>,
}
