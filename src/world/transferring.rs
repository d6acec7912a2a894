//! Transfers between devices and edge servers: the air first, then the wires, and back.
//!
//! A transfer is a message: it crosses the air as a whole and then the wires as a whole (store and forward), or the
//! other way round. Backhauls are far faster than cells, so the sum is close to what a stream would take.

use super::account::{Content, FlowDirection};
use super::sending::Sending;
use super::{Device, DeviceId, Lost, World};
use crate::network;
use crate::radio::{Direction, LinkId};

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

    /// Brings together what several edge servers have gathered and spreads the result: each sends its part to where
    /// they come together, the first of them unless a scenario says otherwise, and gets the whole back.
    pub async fn synchronise_servers(&self) {
        let bytes = self.demand.server_update_bytes();
        let elsewhere = self.servers.iter().filter(|server| server.host != self.hub);
        for back in [false, true] {
            let transfers = elsewhere.clone().map(|s| {
                let (from, to) = if back { (self.hub, s.host) } else { (s.host, self.hub) };
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
        let cell = self.serving_cell(device);
        let mut sending = Sending::begin(self, device, direction, content, cell);
        if direction == FlowDirection::Uplink {
            sending.over_the_radio(Direction::Uplink, bytes).await?;
            // Where it ended, if it changed cells on its way.
            let (from, to) = (self.cells[sending.cell()].host, self.servers[device.server.get()].host);
            sending.over_the_wires(from, to, bytes).await;
        } else {
            let (from, to) = (self.servers[device.server.get()].host, self.cells[cell].host);
            sending.over_the_wires(from, to, bytes).await;
            sending.over_the_radio(Direction::Downlink, bytes).await?;
        }
        sending.arrive();
        if device.battery_is_empty() { Err(Lost::BatteryEmpty) } else { Ok(()) }
    }

    /// What a phone's radio draws for radiating `tx_joules` while `on_air_seconds` on the air.
    pub(super) fn radio_joules(&self, tx_joules: f64, on_air_seconds: f64) -> f64 {
        tx_joules / POWER_AMPLIFIER_EFFICIENCY + on_air_seconds * RADIO_CIRCUIT_WATTS
    }

    /// The device's link in `cell`, made when it first transmits there.
    pub(super) fn link(&self, device: &Device, cell: usize) -> LinkId {
        if let Some((_, link)) = device.link.get().filter(|(c, _)| *c == cell) {
            return link;
        }
        let known = device.links.borrow().iter().find(|(c, _)| *c == cell).map(|(_, link)| *link);
        let link = known.unwrap_or_else(|| {
            let trajectory = device.trajectory.borrow().clone();
            let link = self.cells[cell].air.with(|air| air.site().attach(&device.name, device.radio, trajectory));
            device.links.borrow_mut().push((cell, link));
            link
        });
        device.link.set(Some((cell, link)));
        link
    }

    pub(super) fn nearest_cell(&self, position_m: [f64; 2]) -> usize {
        self.nearest.to(position_m)
    }
}
