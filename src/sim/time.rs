//! Virtual time: whole nanoseconds, so that the order of events never depends on rounding.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

const NANOS_PER_SECOND: f64 = 1e9;

/// An instant: nanoseconds since the start of the simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

/// A span of virtual time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimDuration(u64);

/// Rounding rule of the whole emulator: up to the next nanosecond, saturating at `u64::MAX` (584 years).
///
/// Up, so that what takes any time at all never ends in the instant in which it began.
fn nanos_from_seconds(seconds: f64) -> u64 {
    debug_assert!(seconds >= 0.0, "negative or undefined time: {seconds} s");
    let nanos = seconds * NANOS_PER_SECOND;
    if (0.0..WHOLE / 2.0).contains(&nanos) {
        // Adding 2^52 rounds to a whole number, which is then the mantissa: what `ceil` and a conversion would give, which are
        // long-winded where a processor is not known to have them.
        let shifted = nanos + WHOLE;
        let whole = shifted.to_bits() & ((1 << 52) - 1);
        return whole + u64::from(shifted - WHOLE < nanos);
    }
    nanos.ceil() as u64
}

/// 2^52: floats from here on are whole numbers.
const WHOLE: f64 = 4_503_599_627_370_496.0;

fn seconds_from_nanos(nanos: u64) -> f64 {
    // One instruction for signed numbers.
    let whole = i64::try_from(nanos).map_or(nanos as f64, |nanos| nanos as f64);
    whole / NANOS_PER_SECOND
}

impl SimTime {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `seconds` after the start, rounded up to a nanosecond.
    pub fn from_seconds(seconds: f64) -> Self {
        Self(nanos_from_seconds(seconds))
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    pub fn as_seconds(self) -> f64 {
        seconds_from_nanos(self.0)
    }

    /// Time elapsed since `earlier`; zero if `earlier` lies in the future.
    pub const fn since(self, earlier: Self) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
}

impl SimDuration {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A span of `seconds`, rounded up to a nanosecond.
    pub fn from_seconds(seconds: f64) -> Self {
        Self(nanos_from_seconds(seconds))
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    pub fn as_seconds(self) -> f64 {
        seconds_from_nanos(self.0)
    }
}

impl Add<SimDuration> for SimTime {
    type Output = SimTime;
    fn add(self, d: SimDuration) -> SimTime {
        SimTime(self.0.saturating_add(d.0))
    }
}

impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, d: SimDuration) {
        *self = *self + d;
    }
}

impl Sub for SimTime {
    type Output = SimDuration;
    fn sub(self, earlier: SimTime) -> SimDuration {
        self.since(earlier)
    }
}

impl Add for SimDuration {
    type Output = SimDuration;
    fn add(self, other: SimDuration) -> SimDuration {
        SimDuration(self.0.saturating_add(other.0))
    }
}

impl AddAssign for SimDuration {
    fn add_assign(&mut self, other: SimDuration) {
        *self = *self + other;
    }
}

impl std::iter::Sum for SimDuration {
    fn sum<I: Iterator<Item = SimDuration>>(parts: I) -> SimDuration {
        parts.fold(SimDuration::ZERO, |a, b| a + b)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_seconds())
    }
}

impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_up_and_saturate() {
        assert_eq!(SimDuration::from_seconds(0.0), SimDuration::ZERO);
        assert_eq!(SimDuration::from_seconds(1e-12).as_nanos(), 1);
        assert_eq!(SimDuration::from_seconds(1.5).as_nanos(), 1_500_000_000);
        assert_eq!(SimDuration::from_seconds(f64::INFINITY), SimDuration::MAX);
        let whole = 4_503_599_627_370_496.0;
        for nanos in [
            0.0,
            1e-9,
            0.4,
            7.5,
            7.500_000_1,
            1e15 + 0.5,
            whole / 2.0 - 0.25,
            whole / 2.0 + 0.5,
            whole - 0.5,
            whole,
            1e19,
            1e20,
        ] {
            let seconds = nanos / 1e9;
            assert_eq!(SimDuration::from_seconds(seconds).as_nanos(), (seconds * 1e9).ceil() as u64);
            let back = SimTime::from_seconds(seconds);
            assert_eq!(back.as_seconds(), back.as_nanos() as f64 / 1e9);
        }
        assert_eq!(SimTime::MAX + SimDuration::from_nanos(1), SimTime::MAX);
        assert_eq!(SimTime::from_nanos(3) - SimTime::from_nanos(5), SimDuration::ZERO);
    }
}
