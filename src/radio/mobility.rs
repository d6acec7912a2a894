//! How terminals move.
//!
//! A trajectory is a pure function of its stream and of time: legs are computed when first needed and kept, so the
//! order in which instants are asked for does not matter.

use super::error::{RadioError, require};
use super::geometry::{Area, Position};
use crate::random::CounterStream;
use crate::sim::SimTime;

#[derive(Clone, Debug, PartialEq)]
pub enum Trajectory {
    Static(Position),
    RandomWaypoint(RandomWaypoint),
}

impl Trajectory {
    /// Where the terminal is at `time`.
    pub fn position_at(&mut self, time: SimTime) -> Position {
        match self {
            Self::Static(position) => *position,
            Self::RandomWaypoint(walk) => walk.position_at(time.as_seconds()),
        }
    }

    /// Whether the position can change.
    pub fn is_mobile(&self) -> bool {
        matches!(self, Self::RandomWaypoint(_))
    }
}

/// Random waypoint (Johnson and Maltz 1996): go straight to a uniform point of the area at a uniform speed, pause,
/// repeat. It starts at the given position with a move, not in its stationary law; a minimum speed above zero keeps
/// the mean speed from decaying (Yoon, Liu, Noble 2003).
#[derive(Clone, Debug, PartialEq)]
pub struct RandomWaypoint {
    area: Area,
    speed_mps: (f64, f64),
    pause_s: f64,
    stream: CounterStream,
    legs: Vec<Leg>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Leg {
    from: Position,
    to: Position,
    departs_s: f64,
    arrives_s: f64,
}

impl RandomWaypoint {
    /// A walk from `start` over `area` with speeds uniform in `speed_mps` (lowest, highest).
    ///
    /// # Errors
    /// Speeds must satisfy 0 < lowest <= highest, the pause must not be negative, the area must not be empty.
    pub fn new(
        start: Position,
        area: Area,
        speed_mps: (f64, f64),
        pause_s: f64,
        stream: CounterStream,
    ) -> Result<Self, RadioError> {
        area.validate()?;
        require("lowest speed (m/s)", speed_mps.0, speed_mps.0 > 0.0, "a positive speed")?;
        require("highest speed (m/s)", speed_mps.1, speed_mps.1 >= speed_mps.0, "at least the lowest speed")?;
        require("pause (s)", pause_s, pause_s >= 0.0, "0 or more")?;
        let mut walk = Self { area, speed_mps, pause_s, stream, legs: Vec::new() };
        walk.legs.push(walk.leg(0, start, 0.0));
        Ok(walk)
    }

    fn leg(&self, number: u64, from: Position, departs_s: f64) -> Leg {
        let draw = |i: u64| self.stream.uniform(3 * number + i);
        let to = self.area.uniform_point([draw(0), draw(1)], from.z_m);
        let speed = self.speed_mps.0 + draw(2) * (self.speed_mps.1 - self.speed_mps.0);
        Leg { from, to, departs_s, arrives_s: departs_s + from.distance_3d_m(&to) / speed }
    }

    fn position_at(&mut self, time_s: f64) -> Position {
        let mut last = self.legs[self.legs.len() - 1];
        while last.arrives_s + self.pause_s <= time_s {
            last = self.leg(self.legs.len() as u64, last.to, last.arrives_s + self.pause_s);
            self.legs.push(last);
        }
        let after = self.legs.partition_point(|leg| leg.departs_s <= time_s);
        let leg = self.legs[after.saturating_sub(1)];
        let fraction = (time_s - leg.departs_s) / (leg.arrives_s - leg.departs_s);
        // A pause lies behind the leg's end: stay there.
        leg.from.towards(&leg.to, fraction.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(pause_s: f64) -> Trajectory {
        let area = Area::Rectangle { centre: Position::default(), width_m: 100.0, depth_m: 100.0 };
        let start = Position::new(0.0, 0.0, 1.5);
        Trajectory::RandomWaypoint(
            RandomWaypoint::new(start, area, (0.5, 1.5), pause_s, CounterStream::new(3, 4)).unwrap(),
        )
    }

    #[test]
    fn the_order_of_questions_does_not_matter() {
        let times: Vec<SimTime> = [900.0, 3.0, 450.0, 0.0, 899.0].map(SimTime::from_seconds).to_vec();
        let forwards: Vec<_> = times.iter().map(|t| walk(2.0).position_at(*t)).collect();
        let mut one = walk(2.0);
        let asked_in_turn: Vec<_> = times.iter().map(|t| one.position_at(*t)).collect();
        assert_eq!(forwards, asked_in_turn);
        assert_eq!(asked_in_turn[3], Position::new(0.0, 0.0, 1.5));
    }

    #[test]
    fn nobody_moves_faster_than_allowed_or_leaves() {
        let mut w = walk(0.0);
        let mut before = w.position_at(SimTime::ZERO);
        for i in 1..2000 {
            let here = w.position_at(SimTime::from_seconds(i as f64 * 0.5));
            assert!(before.distance_3d_m(&here) <= 0.75 + 1e-9);
            assert!(here.x_m.abs() <= 50.0 && here.y_m.abs() <= 50.0);
            before = here;
        }
    }

    #[test]
    fn a_zero_speed_is_refused() {
        let area = Area::Rectangle { centre: Position::default(), width_m: 1.0, depth_m: 1.0 };
        assert!(RandomWaypoint::new(Position::default(), area, (0.0, 1.0), 0.0, CounterStream::new(0, 0)).is_err());
    }
}
