//! The highest rate first: the most bits a slot, and nothing for those at the edge while others send.

use super::best_first::deal_best_first;
use super::{Candidate, Scheduler, Use};

#[derive(Debug, Default)]
pub struct MaxRate {
    done: Vec<bool>,
}

impl Scheduler for MaxRate {
    fn deal(&mut self, blocks: u32, ready: &[Candidate], serve: &mut dyn FnMut(usize, u32) -> Use) {
        deal_best_first(blocks, ready, &mut self.done, |c| c.bits_per_block, serve);
    }
}

#[cfg(test)]
mod tests {
    use super::super::best_first::tests::{candidates, dealt};
    use super::*;

    #[test]
    fn the_best_takes_all_it_can_use() {
        let ready = candidates(&[1.0, 5.0, 3.0]);
        assert_eq!(dealt(&mut MaxRate::default(), 10, &ready, u32::MAX), [0, 10, 0]);
        assert_eq!(dealt(&mut MaxRate::default(), 10, &ready, 7), [0, 7, 3]);
        assert_eq!(dealt(&mut MaxRate::default(), 30, &ready, 7), [7, 7, 7]);
    }
}
