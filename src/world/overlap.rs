//! Who did what when several things went on at once: each moment counts once.

use super::account::Activity;
use crate::sim::{SimDuration, SimTime};

/// What a device spends its time on. Where several overlap, the first of this list gets the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    DeviceCompute,
    Uplink,
    EdgeCompute,
    Downlink,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub doing: Doing,
    pub start: SimTime,
    pub end: SimTime,
}

impl Activity {
    pub(super) fn spend(&mut self, doing: Doing, time: SimDuration) {
        let part = match doing {
            Doing::DeviceCompute => &mut self.device_compute,
            Doing::Uplink => &mut self.uplink,
            Doing::EdgeCompute => &mut self.edge_compute,
            Doing::Downlink => &mut self.downlink,
        };
        *part += time;
    }

    /// Adds up `spans`, every moment once.
    pub(super) fn spend_overlapping(&mut self, spans: &[Span]) {
        let mut edges: Vec<SimTime> = spans.iter().flat_map(|s| [s.start, s.end]).collect();
        edges.sort_unstable();
        edges.dedup();
        for pair in edges.windows(2) {
            let under_way = spans.iter().filter(|s| s.start <= pair[0] && pair[1] <= s.end);
            if let Some(first) = under_way.map(|s| s.doing).min() {
                self.spend(first, pair[1] - pair[0]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_stretches_count_every_moment_once() {
        let span = |doing, start, end| Span { doing, start: SimTime::from_nanos(start), end: SimTime::from_nanos(end) };
        let spans = [
            span(Doing::Uplink, 5, 20),
            span(Doing::DeviceCompute, 0, 10),
            span(Doing::DeviceCompute, 12, 14),
            span(Doing::EdgeCompute, 18, 30),
            span(Doing::Downlink, 40, 41),
        ];
        let mut activity = Activity::default();
        activity.spend_overlapping(&spans);
        let nanos = [activity.device_compute, activity.uplink, activity.edge_compute, activity.downlink];
        assert_eq!(nanos.map(SimDuration::as_nanos), [12, 8, 10, 1]);
    }
}
