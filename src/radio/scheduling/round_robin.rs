//! Equal numbers of blocks for everybody in every slot.

use super::{Candidate, Scheduler, Use};

/// Blocks are dealt evenly; those left over from the division, and with more candidates than blocks all of them, go
/// round in turn. A candidate without power for its grant leaves the rest empty; one without data leaves it to others.
/// Candidates that all have a reserved share get that share instead.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// Whose turn it is to be among the first.
    next_key: u64,
}

impl Scheduler for RoundRobin {
    fn deal(&mut self, blocks: u32, ready: &[Candidate], serve: &mut dyn FnMut(usize, u32) -> Use) {
        if ready.is_empty() || blocks == 0 {
            return;
        }
        if ready.iter().all(|c| c.reserved_share.is_some()) {
            let mut left = blocks;
            for (i, c) in ready.iter().enumerate() {
                let own = c.reserved_share.unwrap_or(0.0) * f64::from(blocks);
                let grant = (own.round() as u32).max(1).min(left);
                if grant > 0 {
                    left -= grant;
                    serve(i, grant);
                }
            }
            return;
        }
        let count = ready.len();
        let first = ready.partition_point(|c| c.key < self.next_key) % count;
        let mut left = blocks;
        for turn in 0..count {
            let grant = left.div_ceil((count - turn) as u32);
            if grant == 0 {
                break;
            }
            let used = serve((first + turn) % count, grant);
            left -= if used.satisfied { used.blocks } else { grant };
        }
        // Those who got the odd blocks, or any at all, come last in the next slot.
        let favoured = blocks as usize % count;
        self.next_key = ready[(first + favoured) % count].key;
    }

    fn weighs_rates(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::best_first::tests::{candidates, dealt};
    use super::*;

    #[test]
    fn in_the_long_run_everybody_gets_the_same() {
        for (blocks, count) in [(273, 50), (10, 3), (5, 8), (7, 7), (1, 1)] {
            let mut scheduler = RoundRobin::default();
            let ready = candidates(&vec![1.0; count]);
            let mut totals = vec![0u32; count];
            for _ in 0..count {
                let slot = dealt(&mut scheduler, blocks, &ready, u32::MAX);
                assert_eq!(slot.iter().sum::<u32>(), blocks);
                assert!(slot.iter().max().unwrap() - slot.iter().min().unwrap() <= 1);
                slot.iter().zip(&mut totals).for_each(|(got, total)| *total += got);
            }
            assert!(totals.iter().all(|t| *t == blocks), "{totals:?}");
        }
    }

    #[test]
    fn reserved_shares_are_kept() {
        let mut ready = candidates(&[1.0, 1.0]);
        ready[0].reserved_share = Some(0.75);
        ready[1].reserved_share = Some(0.25);
        assert_eq!(dealt(&mut RoundRobin::default(), 100, &ready, u32::MAX), [75, 25]);
        ready[1].reserved_share = None;
        assert_eq!(dealt(&mut RoundRobin::default(), 100, &ready, u32::MAX), [50, 50]);
    }
}
