//! The clock of one run: what instant it is, how many events led here, and a digest of all of them.

use super::time::SimTime;

/// 2^64 over the golden ratio, and a multiplier of SplitMix64 (Steele, Lea, Flood 2014): odd, with well-spread bits.
const TIME_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const SEQUENCE_FACTOR: u64 = 0xBF58_476D_1CE4_E5B9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    now: SimTime,
    events: u64,
    digest: u64,
}

impl Default for Clock {
    fn default() -> Self {
        // Not zero, which a first event at time zero would leave as it is.
        Self { now: SimTime::ZERO, events: 0, digest: TIME_FACTOR }
    }
}

impl Clock {
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Events executed so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Fingerprint of every executed (time, insertion number), in order. Two runs that differ in one event differ
    /// here, but for a chance of 2^-64; it is no defence against somebody who wants them to agree.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Moves to the event that fires next.
    #[inline]
    pub fn execute(&mut self, time: SimTime, sequence: u64) {
        debug_assert!(time >= self.now, "the clock ran backwards, from {} to {time}", self.now);
        self.now = time;
        self.events += 1;
        let word = time.as_nanos() ^ sequence.wrapping_mul(SEQUENCE_FACTOR);
        self.digest = (self.digest.rotate_left(23) ^ word).wrapping_mul(TIME_FACTOR);
    }

    /// Lets time pass without an event.
    pub fn idle_until(&mut self, time: SimTime) {
        self.now = self.now.max(time);
    }
}
