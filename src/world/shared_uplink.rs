//! A dedicated uplink round: devices that are all ready hand in at once, in turns or side by side, at Shannon's rate.
//!
//! The channel is the one at the moment when the round begins and stands for the whole of it. Each cell serves its own
//! devices on its whole uplink band; a device's bytes go over the wires as soon as they are through the air.

use super::account::{Content, FlowDirection};
use super::sending::Sending;
use super::{DeviceId, Lost, World};
use crate::radio::units::linear_to_db;
use crate::radio::uplink_access::{Sender, equal_bandwidths, fdma_seconds, optimal_bandwidths, tdma_seconds};
use crate::radio::{Direction, LinkId, LinkLayer, Outcome, TransferReport};
use crate::scenario::UplinkAccess;
use crate::sim::{SimDuration, join_all};

/// One device's part.
struct Slot {
    device: DeviceId,
    cell: usize,
    link: LinkId,
    /// Before its turn.
    waits_seconds: f64,
    /// Of the clock; the uplink's share of it is spent on the air.
    seconds: f64,
    on_air_seconds: f64,
    share_of_band: f64,
    snr_db: f64,
    watts: f64,
}

impl World {
    /// Lets all `devices` hand in `bytes` each. What became of each, in order.
    ///
    /// [`UplinkAccess::Cell`] is not a round of its own: there, everybody has handed in already.
    pub async fn upload_together(
        &self,
        devices: &[DeviceId],
        bytes: u64,
        access: UplinkAccess,
        content: Content,
    ) -> Vec<Result<(), Lost>> {
        if bytes == 0 || access == UplinkAccess::Cell {
            return vec![Ok(()); devices.len()];
        }
        let mut slots: Vec<Option<Slot>> = devices.iter().map(|_| None).collect();
        for cell in 0..self.cells.len() {
            let here: Vec<usize> =
                (0..devices.len()).filter(|&i| self.serving_cell(self.device(devices[i])) == cell).collect();
            for (position, slot) in here.iter().zip(self.slots(cell, &here, devices, bytes, access)) {
                slots[*position] = Some(slot);
            }
        }
        join_all(slots.iter().flatten().map(|slot| self.hand_in(slot, bytes, content))).await
    }

    fn slots(&self, cell: usize, here: &[usize], devices: &[DeviceId], bytes: u64, access: UplinkAccess) -> Vec<Slot> {
        let links: Vec<LinkId> = here.iter().map(|&i| self.link(self.device(devices[i]), cell)).collect();
        let (states, air, hz) = self.cells[cell]
            .air
            .with(|a| (a.site().air_state(&links, self.now()), a.site().air_interface(), a.site().subcarrier_hz()));
        let band_hz = f64::from(air.subcarriers) * hz;
        let sender = |s: &crate::radio::aircomp::ChannelState| Sender {
            bits: bytes as f64 * 8.0,
            snr_hz: s.power_watts * s.path_gain * s.fading_power / (air.noise_watts / hz),
        };
        let senders: Vec<Sender> = states.iter().map(sender).collect();
        let (bandwidths, seconds) = match access {
            UplinkAccess::Cell | UplinkAccess::Tdma => (vec![band_hz; senders.len()], tdma_seconds(band_hz, &senders)),
            UplinkAccess::FdmaEqual | UplinkAccess::FdmaOptimal if senders.is_empty() => (vec![], vec![]),
            UplinkAccess::FdmaEqual => {
                let parts = equal_bandwidths(band_hz, &senders);
                (parts.clone(), fdma_seconds(&parts, &senders))
            }
            UplinkAccess::FdmaOptimal => {
                let parts = optimal_bandwidths(band_hz, &senders);
                (parts.clone(), fdma_seconds(&parts, &senders))
            }
        };
        let mut waited = 0.0;
        let mut slots = Vec::with_capacity(here.len());
        for (k, &position) in here.iter().enumerate() {
            slots.push(Slot {
                device: devices[position],
                cell,
                link: links[k],
                waits_seconds: waited,
                seconds: seconds[k] / air.time_share,
                on_air_seconds: seconds[k],
                share_of_band: bandwidths[k] / band_hz,
                snr_db: linear_to_db(senders[k].snr_hz / bandwidths[k]),
                watts: states[k].power_watts,
            });
            if access == UplinkAccess::Tdma {
                waited += seconds[k] / air.time_share;
            }
        }
        slots
    }

    async fn hand_in(&self, slot: &Slot, bytes: u64, content: Content) -> Result<(), Lost> {
        let device = self.device(slot.device);
        self.sim.sleep(SimDuration::from_seconds(slot.waits_seconds)).await;
        let start = self.now();
        let mut sending = Sending::begin(self, device, FlowDirection::Uplink, content, slot.cell);
        let (_, budget) = self.cells[slot.cell]
            .air
            .with(|a| a.site().rate_now(start, slot.link, Direction::Uplink, slot.share_of_band));
        self.sim.sleep(SimDuration::from_seconds(slot.seconds)).await;
        let (end, tx_energy_joules) = (self.now(), slot.watts * slot.on_air_seconds);
        sending.crossed(Box::new(TransferReport {
            link: slot.link,
            direction: Direction::Uplink,
            bytes,
            start,
            end,
            outcome: Outcome::Delivered,
            mean_rate_bps: bytes as f64 * 8.0 / slot.seconds,
            mean_share: slot.share_of_band,
            mean_snr_db: slot.snr_db,
            mean_mcs: None,
            budget,
            link_layer: LinkLayer { on_air_s: Some(slot.on_air_seconds), ..LinkLayer::default() },
            on_air_seconds: slot.on_air_seconds,
            outage_seconds: 0.0,
            tx_energy_joules,
            blocks: None,
        }));
        let (from, to) = (self.cells[slot.cell].host, self.servers[device.server.get()].host);
        sending.over_the_wires(from, to, bytes).await;
        sending.arrive();
        if device.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }
}
