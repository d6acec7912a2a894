//! Named random streams: every draw of an experiment belongs to a (seed, replication, entity, purpose).
//!
//! Deriving streams from names, never from the order of creation, keeps draws apart: adding a device does not
//! shift another's, and two trials that differ in one knob see the same fading (common random numbers).
//! Both planes use this module; it knows neither time nor tensors.

mod counter;

pub use counter::CounterStream;
use rand::SeedableRng as _;
use sha2::{Digest, Sha256};

/// A sequential generator (PCG XSL 128/64, O'Neill 2014). Use it with the traits of `rand` and `rand_distr`.
pub type Stream = rand_pcg::Pcg64;

/// The family of streams of one replication of one experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
    replication: u64,
}

impl Streams {
    pub fn new(seed: u64, replication: u64) -> Self {
        Self { seed, replication }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn replication(&self) -> u64 {
        self.replication
    }

    /// The sequential stream of `entity` (say `"device/3"`) for `purpose` (say `"placement"`).
    pub fn stream(&self, entity: &str, purpose: &str) -> Stream {
        Stream::from_seed(self.digest(entity, purpose))
    }

    /// A generator whose n-th value can be asked for in any order: for what is indexed by time or by element.
    pub fn counter(&self, entity: &str, purpose: &str) -> CounterStream {
        let d = self.digest(entity, purpose);
        let word = |i: usize| u64::from_le_bytes(d[8 * i..8 * i + 8].try_into().expect("eight bytes"));
        CounterStream::new(word(0), word(1))
    }

    /// SHA-256 of the four parts, each preceded by its length so that no two tuples share an encoding.
    fn digest(&self, entity: &str, purpose: &str) -> [u8; 32] {
        let mut h = Sha256::new();
        h.update(self.seed.to_le_bytes());
        h.update(self.replication.to_le_bytes());
        for part in [entity, purpose] {
            h.update((part.len() as u64).to_le_bytes());
            h.update(part.as_bytes());
        }
        h.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn a_name_decides_its_stream_and_nothing_else_does() {
        let s = Streams::new(1, 0);
        let first = s.stream("device/0", "fading").next_u64();
        let _other = s.stream("device/1", "fading").next_u64();
        assert_eq!(first, s.stream("device/0", "fading").next_u64());
        assert_ne!(first, s.stream("device/0", "placement").next_u64());
        assert_ne!(first, Streams::new(1, 1).stream("device/0", "fading").next_u64());
        assert_ne!(first, Streams::new(2, 0).stream("device/0", "fading").next_u64());
        // The length prefix keeps ("ab", "c") and ("a", "bc") apart.
        assert_ne!(s.stream("ab", "c").next_u64(), s.stream("a", "bc").next_u64());
    }
}
