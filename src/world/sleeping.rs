//! What a device's radio draws between its transfers, and when it hears what comes down, under discontinuous reception.

use super::{Device, World};
use crate::radio::drx::Drx;
use crate::sim::{SimDuration, SimTime};

/// A device's radio between transfers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    /// Transfers under way.
    transfers: usize,
    last_traffic: SimTime,
    /// Until when the books have what it draws.
    booked_until: SimTime,
}

/// A transfer that keeps a radio awake.
pub(super) struct Awake<'a> {
    world: &'a World,
    device: &'a Device,
}

impl<'a> Awake<'a> {
    pub fn begin(world: &'a World, device: &'a Device) -> Self {
        world.book_idle_radio(device);
        let mut idle = device.idle.get();
        idle.transfers += 1;
        device.idle.set(idle);
        Self { world, device }
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        let mut idle = self.device.idle.get();
        idle.transfers -= 1;
        (idle.last_traffic, idle.booked_until) = (self.world.now(), self.world.now());
        self.device.idle.set(idle);
    }
}

impl World {
    /// Books what the device's radio has drawn since it was last booked, if it had no traffic.
    pub(super) fn book_idle_radio(&self, device: &Device) {
        let (Some(drx), mut idle) = (&self.drx, device.idle.get()) else { return };
        let now = self.now();
        if idle.transfers == 0 {
            let joules = drx.joules(idle.last_traffic, idle.booked_until, now, self.phase(drx, device));
            device.drain(joules);
            self.account.borrow_mut().device(device.id).radio_joules += joules;
        }
        idle.booked_until = now;
        device.idle.set(idle);
    }

    /// Lets the books of the device's idle radio begin now: outside of rounds nobody is charged.
    pub(super) fn begin_idle_radio(&self, device: &Device) {
        device.idle.set(Idle { booked_until: self.now(), ..device.idle.get() });
    }

    /// Waits until the device hears what the cell has for it.
    pub(super) async fn until_it_listens(&self, device: &Device) {
        if let (Some(drx), Idle { transfers: 0, last_traffic, .. }) = (&self.drx, device.idle.get()) {
            let at = drx.next_listening(last_traffic, self.now(), self.phase(drx, device));
            if at > self.now() {
                self.sim.sleep_until(at).await;
            }
        }
    }

    /// Cycles of different devices begin at different times.
    fn phase(&self, drx: &Drx, device: &Device) -> SimDuration {
        SimDuration::from_nanos(self.streams.counter(&device.name, "drx").bits(0) % drx.cycle.as_nanos())
    }
}
