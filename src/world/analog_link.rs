//! Activations and gradients as analog symbols: they arrive at once and in time, with the link's noise on them.
//!
//! Every device has its own equal share of the band (FDMA) for as long as a round lasts, and keeps the channel that it
//! met at the beginning of a transfer until its end. Digital transfers beside it do not see it.

use super::account::{Content, FlowDirection};
use super::sending::Sending;
use super::{DeviceId, Lost, World};
use crate::radio::aircomp::ValuesPerSymbol;
use crate::radio::{Direction, LinkLayer, Outcome, TransferReport};
use crate::scenario::TechniqueKind;
use crate::sim::SimDuration;

impl World {
    /// Sends `values` real numbers from the device to its edge server. Returns the SNR of each of them.
    pub async fn analog_upload(&self, id: DeviceId, values: u64, content: Content) -> Result<f64, Lost> {
        self.analog(id, FlowDirection::Uplink, values, content).await
    }

    /// Sends `values` real numbers from the device's edge server to the device. Returns the SNR of each of them.
    pub async fn analog_download(&self, id: DeviceId, values: u64, content: Content) -> Result<f64, Lost> {
        self.analog(id, FlowDirection::Downlink, values, content).await
    }

    async fn analog(&self, id: DeviceId, way: FlowDirection, values: u64, content: Content) -> Result<f64, Lost> {
        let device = self.device(id);
        let cell = self.serving_cell(device);
        let mut sending = Sending::begin(self, device, way, content, cell);
        let (link, share) = (self.link(device, cell), self.analog_share(cell));
        let direction = if way == FlowDirection::Uplink { Direction::Uplink } else { Direction::Downlink };
        let air = self.cells[cell].air.with(|a| a.site().analog_link(self.now(), link, direction, share));
        let seconds = air.grid.round_seconds(values, ValuesPerSymbol::Two);
        let on_air_seconds = seconds * air.grid.time_share;
        let bytes = values * self.demand_of(id).precision().bytes();
        let (host, server) = (self.cells[cell].host, self.servers[device.server.get()].host);
        let radio_time = SimDuration::from_seconds(seconds);
        if way == FlowDirection::Downlink {
            sending.over_the_wires(server, host, bytes).await;
        }
        let start = self.now();
        self.sim.sleep(radio_time).await;
        let report = TransferReport {
            link,
            direction,
            bytes,
            start,
            end: start + radio_time,
            outcome: Outcome::Delivered,
            mean_rate_bps: bytes as f64 * 8.0 / seconds.max(f64::MIN_POSITIVE),
            mean_share: share,
            mean_snr_db: air.budget.snr_db,
            mean_mcs: None,
            budget: air.budget,
            link_layer: LinkLayer { on_air_s: Some(on_air_seconds), ..LinkLayer::default() },
            on_air_seconds,
            outage_seconds: 0.0,
            tx_energy_joules: air.tx_power_watts * on_air_seconds,
            blocks: None,
        };
        sending.crossed(Box::new(report));
        if way == FlowDirection::Uplink {
            sending.over_the_wires(host, server, bytes).await;
        }
        sending.arrive();
        if device.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(air.snr) }
    }

    /// The part of the band that is one device's: all of it where devices take turns.
    pub(super) fn analog_share(&self, cell: usize) -> f64 {
        if self.demand.kind() == TechniqueKind::Split {
            return 1.0;
        }
        let here = self.devices.iter().filter(|d| d.cell.get() == cell).count();
        1.0 / here.min(self.demand.devices_per_round()).max(1) as f64
    }
}
