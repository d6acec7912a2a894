//! The highest rate over one's own average first: everybody is served when its channel is good for its kind.

use super::best_first::deal_best_first;
use super::{Candidate, Scheduler, Use};

/// Below this average a candidate counts as never served.
const UNSERVED_BITS: f64 = 1.0;

/// Rate expected now over the rate served on average (Jalali, Padovani, Pankaj 2000, from memory).
#[derive(Debug)]
pub struct ProportionalFair {
    window_slots: f64,
    done: Vec<bool>,
}

impl ProportionalFair {
    pub fn new(window_slots: f64) -> Self {
        Self { window_slots, done: Vec::new() }
    }
}

impl Scheduler for ProportionalFair {
    fn deal(&mut self, blocks: u32, ready: &[Candidate], serve: &mut dyn FnMut(usize, u32) -> Use) {
        let metric = |c: &Candidate| c.bits_per_block / c.average_bits.max(UNSERVED_BITS);
        deal_best_first(blocks, ready, &mut self.done, metric, serve);
    }

    fn window_slots(&self) -> Option<f64> {
        Some(self.window_slots)
    }
}

#[cfg(test)]
mod tests {
    use super::super::best_first::tests::{candidates, dealt};
    use super::*;

    #[test]
    fn the_metric_is_rate_over_average() {
        let mut ready = candidates(&[10.0, 30.0]);
        (ready[0].average_bits, ready[1].average_bits) = (100.0, 400.0);
        assert_eq!(dealt(&mut ProportionalFair::new(100.0), 6, &ready, u32::MAX), [6, 0]);
        ready[1].average_bits = 200.0;
        assert_eq!(dealt(&mut ProportionalFair::new(100.0), 6, &ready, u32::MAX), [0, 6]);
    }
}
