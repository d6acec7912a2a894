//! Which of many links fills first, where no link that comes fills before those that have left.

use std::cmp::Reverse;

/// Buckets for the levels of one filling, a power of two.
const BUCKETS: usize = 2048;
const WORD: usize = u64::BITS as usize;
/// Ends a bucket.
const NONE: u32 = u32::MAX;

/// A link and the common rate at which it fills.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Level {
    /// Above zero.
    pub rate: f64,
    pub link: u32,
    /// Whatever who adds it wants to know of the link when it leaves; not a part of the order.
    pub note: u32,
}

impl Level {
    /// The order as one number: bits of positive floats are ordered as they are.
    fn key(self) -> u128 {
        u128::from(self.rate.to_bits()) << 64 | u128::from(self.link)
    }
}

/// A bucket queue (Dial 1969): links by level, the lowest first; among equals the link of the lowest number.
///
/// Upper bits of a level choose its bucket, which makes the buckets' widths nearly equal in its logarithm.
#[derive(Clone, Debug)]
pub(super) struct LevelQueue {
    lowest: u64,
    shift: u32,
    /// The link that came to each bucket last; by link its level and who came there before it.
    heads: Vec<u32>,
    nodes: Vec<Node>,
    /// A bit for each bucket that is not empty, and the word of the lowest.
    occupied: [u64; BUCKETS / WORD],
    word: usize,
    /// What a bucket held that had more than one link, the first one last; what comes to that bucket or below joins it.
    front: Vec<Level>,
    front_bucket: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    rate: f64,
    before: u32,
    note: u32,
}

impl LevelQueue {
    /// For links of numbers below `links`.
    pub fn new(links: usize) -> Self {
        Self {
            lowest: 0,
            shift: 0,
            heads: vec![NONE; BUCKETS],
            nodes: vec![Node { rate: 0.0, before: NONE, note: 0 }; links],
            occupied: [0; BUCKETS / WORD],
            word: 0,
            front: vec![],
            front_bucket: 0,
        }
    }

    /// Starts with `levels`, after everything else has left.
    pub fn start(&mut self, levels: &[Level]) {
        let ends = levels.iter().fold((u64::MAX, 0), |(lowest, highest), level| {
            let bits = level.rate.to_bits();
            (bits.min(lowest), bits.max(highest))
        });
        self.lowest = ends.0;
        let range = ends.1.saturating_sub(ends.0);
        self.shift = (u64::BITS - range.leading_zeros()).saturating_sub(BUCKETS.trailing_zeros());
        self.word = 0;
        for level in levels {
            self.put(self.bucket_of(level.rate), *level);
        }
    }

    /// Adds a link that is not here, at a level no lower than those that have left.
    #[inline]
    pub fn add(&mut self, level: Level) {
        let bucket = self.bucket_of(level.rate);
        if self.front.is_empty() || bucket > self.front_bucket {
            return self.put(bucket, level);
        }
        let before = self.front.iter().rev().take_while(|first| **first < level).count();
        self.front.insert(self.front.len() - before, level);
    }

    #[inline]
    fn bucket_of(&self, rate: f64) -> usize {
        let above = rate.to_bits().saturating_sub(self.lowest) >> self.shift;
        above.min(BUCKETS as u64 - 1) as usize
    }

    #[inline]
    fn put(&mut self, bucket: usize, Level { rate, link, note }: Level) {
        self.occupied[bucket / WORD] |= 1 << (bucket % WORD);
        let before = std::mem::replace(&mut self.heads[bucket], link);
        self.nodes[link as usize] = Node { rate, before, note };
    }

    /// Takes out the first.
    #[inline]
    pub fn pop(&mut self) -> Option<Level> {
        if let Some(first) = self.front.pop() {
            return Some(first);
        }
        while *self.occupied.get(self.word)? == 0 {
            self.word += 1;
        }
        let bucket = self.word * WORD + self.occupied[self.word].trailing_zeros() as usize;
        self.occupied[self.word] &= self.occupied[self.word] - 1;
        let link = std::mem::replace(&mut self.heads[bucket], NONE);
        let Node { rate, before, note } = self.nodes[link as usize];
        if before == NONE {
            return Some(Level { rate, link, note });
        }
        self.bring_to_front(bucket, link);
        self.front.pop()
    }

    fn bring_to_front(&mut self, bucket: usize, mut link: u32) {
        self.front_bucket = bucket;
        while link != NONE {
            let Node { rate, before, note } = self.nodes[link as usize];
            self.front.push(Level { rate, link, note });
            link = before;
        }
        self.front.sort_unstable_by_key(|level| Reverse(level.key()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    #[test]
    fn links_leave_in_the_order_of_a_sorted_list() {
        for case in 0..300 {
            let draws = CounterStream::new(41, 43).child(case);
            let links = 1 + draws.bits(0) as u32 % 200;
            // Few levels, many that are near each other, or all of one size.
            let levels = [3, 1000, 1 << 40][case as usize % 3];
            let level = |link: u32, n: u64| {
                let bits = draws.child(n).bits(u64::from(link));
                Level {
                    rate: 1.0 + (bits % levels) as f64 / [1.0, 1e12][(bits >> 60) as usize % 2],
                    link,
                    note: link + 1,
                }
            };
            let mut queue = LevelQueue::new(links as usize);
            for round in 1..4 {
                let mut oracle: Vec<Level> = (0..links).map(|link| level(link, round)).collect();
                queue.start(&oracle);
                let mut n = 10 * round;
                loop {
                    oracle.sort_by(|a, b| b.partial_cmp(a).unwrap());
                    let first = oracle.pop();
                    assert_eq!(queue.pop(), first);
                    let Some(first) = first else { break };
                    n += 1;
                    let higher = Level { rate: first.rate + level(first.link, n).rate - 1.0, ..first };
                    if n % 3 > 0 && n < 1000 {
                        oracle.push(higher);
                        queue.add(higher);
                    }
                }
            }
        }
    }
}
