//! Event A3 (3GPP TS 38.331 clause 5.5.4.4, from memory): a neighbour becomes better than the serving cell by an offset.
//!
//! With the measurements M in dB, the hysteresis H and the offset O, a neighbour enters when M_n - H > M_s + O and leaves when
//! M_n + H < M_s + O. One that has not left for the time to trigger since it entered is reported.

use crate::sim::{SimDuration, SimTime};

/// When a neighbour is worth a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct A3Event {
    pub offset_db: f64,
    pub hysteresis_db: f64,
    pub time_to_trigger: SimDuration,
}

/// What a terminal has seen of its neighbours since it came to its serving cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct A3State {
    /// Neighbours that have entered and not left, and since when.
    entered: Vec<(usize, SimTime)>,
}

impl A3State {
    /// Takes measurements into account, in dB on any common scale; `neighbours` are cells and what is heard of them. Returns the
    /// neighbour to go to, the loudest of those that may be reported.
    pub fn measure(
        &mut self,
        event: &A3Event,
        now: SimTime,
        serving_db: f64,
        neighbours: &[(usize, f64)],
    ) -> Option<usize> {
        let mut loudest: Option<(f64, usize)> = None;
        for &(cell, heard_db) in neighbours {
            let above = heard_db - serving_db - event.offset_db;
            let place = self.entered.iter().position(|(c, _)| *c == cell);
            let since = match place {
                Some(place) if above + event.hysteresis_db < 0.0 => {
                    self.entered.swap_remove(place);
                    continue;
                }
                Some(place) => self.entered[place].1,
                None if above > event.hysteresis_db => {
                    self.entered.push((cell, now));
                    now
                }
                None => continue,
            };
            let reported = now >= since + event.time_to_trigger;
            if reported && loudest.is_none_or(|(db, _)| heard_db > db) {
                loudest = Some((heard_db, cell));
            }
        }
        let to = loudest.map(|(_, cell)| cell);
        if to.is_some() {
            self.entered.clear();
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SimTime {
        SimTime::from_nanos(ms * 1_000_000)
    }

    const EVENT: A3Event =
        A3Event { offset_db: 3.0, hysteresis_db: 1.0, time_to_trigger: SimDuration::from_nanos(160_000_000) };

    #[test]
    fn a_neighbour_must_be_better_for_long_enough() {
        let mut state = A3State::default();
        let mut hear = |ms, db| state.measure(&EVENT, at(ms), -90.0, &[(7, db)]);
        // Better by 4 dB is at the threshold, not beyond it.
        assert_eq!([hear(0, -86.0), hear(200, -86.0), hear(400, -85.9), hear(500, -85.9)], [None; 4]);
        // Between leaving at 2 dB and entering at 4 dB it stays as it was.
        assert_eq!(hear(559, -87.9), None);
        assert_eq!(hear(560, -87.9), Some(7));
        // A new cell starts anew.
        assert_eq!(hear(600, -80.0), None);
        assert_eq!(hear(760, -80.0), Some(7));
    }

    #[test]
    fn who_falls_back_starts_anew() {
        let mut state = A3State::default();
        let mut hear = |ms, db| state.measure(&EVENT, at(ms), -90.0, &[(7, db)]);
        assert_eq!([hear(0, -80.0), hear(100, -88.1), hear(200, -80.0), hear(300, -80.0)], [None; 4]);
        assert_eq!(hear(360, -80.0), Some(7));
    }

    #[test]
    fn of_several_the_loudest_is_taken() {
        let mut state = A3State::default();
        let heard = [(1, -80.0), (2, -79.0), (3, -95.0)];
        assert_eq!(state.measure(&EVENT, at(0), -90.0, &heard), None);
        assert_eq!(state.measure(&EVENT, at(160), -90.0, &heard), Some(2));
    }
}
