//! Discontinuous reception: a terminal without traffic listens now and then and sleeps in between (3GPP TS 38.321 clause 5.7,
//! from memory, with one length of cycle).
//!
//! After traffic it listens for the inactivity time; then, in each cycle, for the on-duration at its beginning.

use crate::sim::{SimDuration, SimTime};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drx {
    pub inactivity: SimDuration,
    pub on_duration: SimDuration,
    /// At least the on-duration, and above zero.
    pub cycle: SimDuration,
    pub listening_watts: f64,
    pub sleeping_watts: f64,
}

impl Drx {
    /// Joules from `from` to `until`, in which there is no traffic, of a terminal that last had some at `traffic`; its cycles
    /// begin at `phase` and whole cycles after that.
    pub fn joules(&self, traffic: SimTime, from: SimTime, until: SimTime, phase: SimDuration) -> f64 {
        let asleep_from = traffic + self.inactivity;
        let whole = (until - from).as_seconds();
        let after_traffic = (until.min(asleep_from) - from).as_seconds();
        let (a, b) = (from.max(asleep_from), until.max(asleep_from));
        let in_cycles = (self.listened(b, phase) - self.listened(a, phase)) as f64 / 1e9;
        let listening = after_traffic + in_cycles;
        listening * self.listening_watts + (whole - listening) * self.sleeping_watts
    }

    /// When a terminal that last had traffic at `traffic` listens next, at `now` or later.
    pub fn next_listening(&self, traffic: SimTime, now: SimTime, phase: SimDuration) -> SimTime {
        let into = self.place_in_cycle(now, phase).1;
        if now < traffic + self.inactivity || into < self.on_duration.as_nanos() {
            return now;
        }
        now + SimDuration::from_nanos(self.cycle.as_nanos() - into)
    }

    /// Nanoseconds of on-durations before `time`, from a cycle before the first on.
    fn listened(&self, time: SimTime, phase: SimDuration) -> u64 {
        let (cycles, into) = self.place_in_cycle(time, phase);
        cycles * self.on_duration.as_nanos() + into.min(self.on_duration.as_nanos())
    }

    /// Whole cycles before `time`, and how far it is into its own.
    fn place_in_cycle(&self, time: SimTime, phase: SimDuration) -> (u64, u64) {
        let cycle = self.cycle.as_nanos();
        let since = time.as_nanos() + cycle - phase.as_nanos() % cycle;
        (since / cycle, since % cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    fn ms(n: u64) -> SimDuration {
        SimDuration::from_nanos(n * 1_000_000)
    }

    fn at(n: u64) -> SimTime {
        SimTime::ZERO + ms(n)
    }

    const LISTENING: f64 = 0.5;
    const SLEEPING: f64 = 0.01;

    fn drx() -> Drx {
        Drx {
            inactivity: ms(100),
            on_duration: ms(10),
            cycle: ms(160),
            listening_watts: LISTENING,
            sleeping_watts: SLEEPING,
        }
    }

    #[test]
    fn joules_are_those_of_a_look_at_every_millisecond() {
        let (drx, draws) = (drx(), CounterStream::new(3, 9));
        for case in 0..200 {
            let draw = |i: u64, limit: u64| draws.child(case).bits(i) % limit;
            let (traffic, phase) = (draw(0, 500), draw(1, 160));
            let from = traffic + draw(2, 300);
            let until = from + draw(3, 2000);
            let listens = |t: u64| t < traffic + 100 || (t + 160 - phase) % 160 < 10;
            let watts = |t: u64| if listens(t) { LISTENING } else { SLEEPING };
            let expected: f64 = (from..until).map(|t| watts(t) * 1e-3).sum();
            let found = drx.joules(at(traffic), at(from), at(until), ms(phase));
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}: {traffic} {phase} {from} {until}");
            let next = (from..).find(|t| listens(*t)).expect("it listens again");
            assert_eq!(drx.next_listening(at(traffic), at(from), ms(phase)), at(next));
        }
    }

    #[test]
    fn a_cycle_of_listening_alone_never_sleeps() {
        let always = Drx { on_duration: ms(160), ..drx() };
        assert_eq!(always.next_listening(at(0), at(12_345), ms(7)), at(12_345));
        assert!((always.joules(at(0), at(0), at(1000), ms(7)) - LISTENING).abs() < 1e-12);
    }
}
