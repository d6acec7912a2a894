//! An implicit 4-ary min-heap of unique 128-bit keys: the whole order of an event in one integer.
//!
//! Four children share a cache line and halve the depth of a binary heap (LaMarca, Ladner 1996).

/// Children of node `i` are `4i + 1` to `4i + 4`.
const ARITY: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct QuadHeap {
    keys: Vec<u128>,
}

impl QuadHeap {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub fn min(&self) -> Option<u128> {
        self.keys.first().copied()
    }

    #[inline(never)]
    pub fn push(&mut self, key: u128) {
        let mut hole = self.keys.len();
        self.keys.push(key);
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if self.keys[parent] <= key {
                break;
            }
            self.keys[hole] = self.keys[parent];
            hole = parent;
        }
        self.keys[hole] = key;
    }

    /// Puts `key` in the place of the least one: a pop and a push for the price of one descent.
    #[inline]
    pub fn replace_min(&mut self, key: u128) {
        if let [root, only] = &mut self.keys[..] {
            // Which of two comes first nobody can foretell: no branch on it.
            (*root, *only) = (key.min(*only), key.max(*only));
        } else {
            self.descend(key);
        }
    }

    /// Apart from [`Self::replace_min`], so that this is small enough to become a part of who calls it.
    #[inline(never)]
    fn descend(&mut self, key: u128) {
        let keys = self.keys.as_mut_slice();
        let mut hole = 0;
        loop {
            let first = ARITY * hole + 1;
            let (mut least, mut at) = (key, hole);
            if first + ARITY <= keys.len() {
                // A tournament of two pairs compiles to conditional moves: no branch to mispredict.
                let (a, b, c, d) = (keys[first], keys[first + 1], keys[first + 2], keys[first + 3]);
                let (left, left_at) = if b < a { (b, first + 1) } else { (a, first) };
                let (right, right_at) = if d < c { (d, first + 3) } else { (c, first + 2) };
                let (child, child_at) = if right < left { (right, right_at) } else { (left, left_at) };
                if child < key {
                    (least, at) = (child, child_at);
                }
            } else {
                for (i, &child) in keys.iter().enumerate().skip(first) {
                    if child < least {
                        (least, at) = (child, i);
                    }
                }
            }
            if at == hole {
                break;
            }
            keys[hole] = least;
            hole = at;
        }
        keys[hole] = key;
    }

    #[inline]
    pub fn remove_min(&mut self) {
        if let Some(last) = self.keys.pop()
            && !self.keys.is_empty()
        {
            self.replace_min(last);
        }
    }

    /// Hands every key to `keep`, in ascending order; it may change a key as long as the order stays, or drop it.
    pub fn retain_sorted(&mut self, keep: impl FnMut(&mut u128) -> bool) {
        self.keys.sort_unstable();
        // A sorted array is a heap.
        self.keys.retain_mut(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    #[test]
    fn agrees_with_a_sorted_list_under_random_operations() {
        let random = CounterStream::new(3, 5);
        let (mut heap, mut oracle) = (QuadHeap::default(), Vec::new());
        for n in 0..20_000u64 {
            let key = u128::from(random.bits(n)) << 64 | u128::from(n);
            match random.bits(n ^ u64::MAX) % 5 {
                0 | 1 => {
                    heap.push(key);
                    oracle.push(key);
                }
                2 if !oracle.is_empty() => {
                    heap.replace_min(key);
                    oracle[0] = key;
                }
                _ => {
                    heap.remove_min();
                    oracle.drain(..oracle.len().min(1));
                }
            }
            oracle.sort_unstable();
            assert_eq!((heap.min(), heap.len()), (oracle.first().copied(), oracle.len()));
        }
    }
}
