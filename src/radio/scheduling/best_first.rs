//! The loop that schedulers with a metric share: the best candidate takes all it can use, then the next best.

use super::{Candidate, Use};

/// Serves candidates by falling `metric`, equal ones by rising key, until the blocks are dealt. Sorts nothing: as a
/// rule the first takes everything.
pub(super) fn deal_best_first(
    blocks: u32,
    ready: &[Candidate],
    done: &mut Vec<bool>,
    metric: impl Fn(&Candidate) -> f64,
    serve: &mut dyn FnMut(usize, u32) -> Use,
) {
    done.clear();
    done.resize(ready.len(), false);
    let mut left = blocks;
    while left > 0 {
        let mut best: Option<(f64, usize)> = None;
        for (i, candidate) in ready.iter().enumerate().filter(|(i, _)| !done[*i]) {
            let value = metric(candidate);
            if best.is_none_or(|(highest, _)| value > highest) {
                best = Some((value, i));
            }
        }
        let Some((_, i)) = best else { return };
        done[i] = true;
        left -= serve(i, left).blocks.min(left);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Candidate, Scheduler, Use};

    /// Candidates with these expected bits per block and an average of one.
    pub fn candidates(bits_per_block: &[f64]) -> Vec<Candidate> {
        let of = |(key, bits): (usize, &f64)| Candidate {
            key: key as u64,
            bits_per_block: *bits,
            average_bits: 1.0,
            reserved_share: None,
        };
        bits_per_block.iter().enumerate().map(of).collect()
    }

    /// Blocks that each candidate uses if nobody can use more than `limit`.
    pub fn dealt(scheduler: &mut dyn Scheduler, blocks: u32, ready: &[Candidate], limit: u32) -> Vec<u32> {
        let mut used = vec![0; ready.len()];
        scheduler.deal(blocks, ready, &mut |i, grant| {
            assert_eq!(used[i], 0, "served twice");
            used[i] = grant.min(limit);
            Use { blocks: used[i], satisfied: false }
        });
        used
    }
}
