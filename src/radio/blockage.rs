//! People who walk through a line of sight: a link is clear, then blocked, then clear again.
//!
//! Blockers of density lambda walk at speed v in all directions. They cut a line of length r between antennas at heights h_B and
//! h_T where it is lower than they are tall, h: on a part (h - h_T) / (h_B - h_T) of it. That happens
//! (2 / pi) lambda v r (h - h_T) / (h_B - h_T) times a second, and lasts an exponential time each (Jain, Kumar, Panwar 2019, "The
//! impact of mobile blockers on millimeter wave cellular systems", from memory; the rate as in public code). TR 38.901 clause
//! 7.6.4 has a geometric model instead, with screens that move.

use super::geometry::Position;
use super::mobility::Trajectory;
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};
use std::f64::consts::FRAC_2_PI;

/// Who walks about, and what one of them costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blockage {
    pub blockers_per_m2: f64,
    pub speed_mps: f64,
    pub height_m: f64,
    /// Of one blockage.
    pub mean_duration_s: f64,
    /// While one lasts.
    pub loss_db: f64,
}

impl Blockage {
    /// Blockages a second, while there is none, of the line between two antennas.
    pub fn onsets_hz(&self, base: &Position, terminal: &Position) -> f64 {
        let low = base.z_m.min(terminal.z_m);
        let rise_m = (base.z_m - terminal.z_m).abs();
        let below = (self.height_m - low).max(0.0);
        let part = if below >= rise_m { f64::from(below > 0.0) } else { below / rise_m };
        FRAC_2_PI * self.blockers_per_m2 * self.speed_mps * base.distance_2d_m(terminal) * part
    }
}

/// The state of one link: a pure function of time.
#[derive(Clone, Debug)]
pub(super) struct Blockers {
    blockage: Blockage,
    base: Position,
    stream: CounterStream,
    /// As it was when the link began; a walk is followed forwards only.
    whole_way: Trajectory,
    state: State,
}

#[derive(Clone, Debug)]
struct State {
    way: Trajectory,
    is_blocked: bool,
    /// When the state before this one began: reports are about channels of a while ago.
    before: SimTime,
    since: SimTime,
    until: SimTime,
    /// Of the next draw.
    number: u64,
}

impl Blockers {
    /// For a link whose draws come from `stream`.
    pub fn new(blockage: Blockage, base: Position, way: &Trajectory, stream: CounterStream) -> Self {
        let mut way_now = way.clone();
        let onsets_hz = blockage.onsets_hz(&base, &way_now.position_at(SimTime::ZERO));
        // In the long run a share a / (a + 1 / d) of time is blocked; what is left of an exponential time is as long as a whole one.
        let share = onsets_hz * blockage.mean_duration_s / (1.0 + onsets_hz * blockage.mean_duration_s);
        let is_blocked = stream.uniform(0) < share;
        let zero = SimTime::ZERO;
        let state = State { way: way_now, is_blocked, before: zero, since: zero, until: zero, number: 1 };
        let mut blockers = Self { blockage, base, stream, whole_way: way.clone(), state };
        blockers.stay();
        blockers
    }

    /// dB lost at `time`.
    pub fn loss_db(&mut self, time: SimTime) -> f64 {
        if time < self.state.before {
            // From the beginning.
            *self = Self::new(self.blockage, self.base, &self.whole_way, self.stream);
        }
        while self.state.until <= time {
            self.state.is_blocked = !self.state.is_blocked;
            self.stay();
        }
        let is_blocked = self.state.is_blocked != (time < self.state.since);
        if is_blocked { self.blockage.loss_db } else { 0.0 }
    }

    /// Draws how long the present state lasts.
    fn stay(&mut self) {
        let State { way, is_blocked, before, since, until, number } = &mut self.state;
        (*before, *since) = (*since, *until);
        let mean_s = match is_blocked {
            true => self.blockage.mean_duration_s,
            false => self.blockage.onsets_hz(&self.base, &way.position_at(*until)).recip(),
        };
        let seconds = mean_s * self.stream.exponential(*number);
        *number += 1;
        *until = if seconds.is_finite() { *until + SimDuration::from_seconds(seconds) } else { SimTime::MAX };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    const CROWD: Blockage =
        Blockage { blockers_per_m2: 0.05, speed_mps: 1.0, height_m: 1.7, mean_duration_s: 0.5, loss_db: 20.0 };

    fn place(distance_m: f64, height_m: f64) -> Position {
        Position::new(distance_m, 0.0, height_m)
    }

    /// 2 / pi x 0.05 x 1 x 100 x (1.7 - 1.5) / (10 - 1.5) = 0.0749 a second, worked out by hand.
    #[test]
    fn onsets_grow_with_the_low_part_of_the_line() {
        let at = |base_m, distance_m, terminal_m| CROWD.onsets_hz(&place(0.0, base_m), &place(distance_m, terminal_m));
        assert!((at(10.0, 100.0, 1.5) - 0.074_896_4).abs() < 1e-6);
        assert!((at(10.0, 200.0, 1.5) / at(10.0, 100.0, 1.5) - 2.0).abs() < 1e-12);
        assert_eq!(at(10.0, 100.0, 1.8), 0.0);
        // Who is as tall as both antennas cuts the whole line.
        assert!((at(1.6, 10.0, 1.5) - FRAC_2_PI * 0.05 * 10.0).abs() < 1e-12);
        assert_eq!(at(1.5, 10.0, 1.5), at(1.6, 10.0, 1.5));
    }

    /// A share a / (a + 1 / d) of time is blocked; with several links alike, from the first instant on.
    #[test]
    fn links_are_blocked_as_long_as_the_two_rates_say() {
        let (base, terminal) = (place(0.0, 3.0), place(40.0, 1.5));
        let onsets_hz = CROWD.onsets_hz(&base, &terminal);
        let expected = onsets_hz / (onsets_hz + 1.0 / CROWD.mean_duration_s);
        let link = |n| {
            let stream = Streams::new(5, n).counter("link", "blockage");
            Blockers::new(CROWD, base, &Trajectory::Static(terminal), stream)
        };
        for at_s in [0.0, 300.0] {
            let time = SimTime::from_seconds(at_s);
            let links = 4000;
            let blocked = (0..links).filter(|&n| link(n).loss_db(time) > 0.0).count() as f64 / f64::from(links as u32);
            let error = (expected * (1.0 - expected) / f64::from(links as u32)).sqrt();
            assert!((blocked - expected).abs() < 4.0 * error, "{blocked} {expected}");
        }
    }

    /// Forwards, backwards and at other steps the same.
    #[test]
    fn a_link_is_a_function_of_time() {
        let stream = Streams::new(6, 0).counter("link", "blockage");
        let new = || Blockers::new(CROWD, place(0.0, 3.0), &Trajectory::Static(place(60.0, 1.5)), stream);
        let times: Vec<SimTime> = (0..5000).map(|i| SimTime::from_seconds(0.02 * f64::from(i))).collect();
        let mut link = new();
        let forwards: Vec<f64> = times.iter().map(|t| link.loss_db(*t)).collect();
        assert!(forwards.contains(&0.0) && forwards.contains(&20.0));
        let backwards: Vec<f64> = times.iter().rev().step_by(97).map(|t| link.loss_db(*t)).collect();
        assert!(forwards.iter().rev().step_by(97).eq(&backwards));
        let mut seldom = new();
        assert!(times.iter().zip(&forwards).step_by(131).all(|(t, loss)| seldom.loss_db(*t) == *loss));
    }
}
