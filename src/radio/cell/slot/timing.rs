//! When slots begin, and in which of them a link measures its channel.

use super::config::SlotConfig;
use crate::radio::cell::site::Site;
use crate::sim::{SimDuration, SimTime};

/// Slots, and those between two reports of a channel and until one is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub slot: SimDuration,
    pub period: u64,
    pub delay: u64,
}

impl Timing {
    pub fn new(site: &Site, config: &SlotConfig) -> Self {
        let slot = SimDuration::from_seconds(site.carrier.numerology.slot_seconds());
        Self { slot, period: u64::from(config.cqi_period_slots), delay: u64::from(config.cqi_delay_slots) }
    }

    /// The end of time for slots beyond it.
    pub fn start(&self, slot: u64) -> SimTime {
        SimTime::from_nanos(slot.saturating_mul(self.slot.as_nanos()))
    }

    /// Slots in which a link of this `phase` measures its channel: the last one up to `slot`, 0 before the first, and the next.
    pub fn measurements(&self, slot: u64, phase: u64) -> (u64, u64) {
        let since = (slot + self.period - phase % self.period) % self.period;
        (slot.saturating_sub(since), slot + self.period - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_measure_in_slots_of_their_phase_from_the_start_of_time_on() {
        let timing = Timing { slot: SimDuration::from_nanos(500_000), period: 40, delay: 8 };
        for phase in [0, 7, 39, 67] {
            let measures = |slot: &u64| slot % 40 == phase % 40;
            for slot in 0..200 {
                let last = (0..=slot).rev().find(measures).unwrap_or(0);
                let next = (slot + 1..).find(measures).unwrap();
                assert_eq!(timing.measurements(slot, phase), (last, next), "slot {slot}, phase {phase}");
            }
        }
    }
}
