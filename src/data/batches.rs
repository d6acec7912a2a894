//! Which examples a device uses at which step.

use super::DataError;
use super::shuffle::shuffle;
use crate::random::{CounterStream, Streams};
use std::sync::Mutex;

/// The infinite sequence of mini-batches of one device.
///
/// Each epoch goes through the device's examples in a new order. A last batch that would be smaller is dropped, so
/// that all steps cost the same; the examples left out differ from epoch to epoch. A device with fewer examples than
/// `batch_size` uses all of them at every step. Batch `n` depends on the streams' seed and replication, the device's
/// name, its examples and `n` alone: not on which batches were asked for before.
#[derive(Debug)]
pub struct BatchStream {
    examples: Vec<usize>,
    batch_size: usize,
    orders: CounterStream,
    current: Mutex<Epoch>,
}

/// One epoch's order of the examples, kept because the next step most likely belongs to it too.
#[derive(Debug)]
struct Epoch {
    number: u64,
    order: Vec<usize>,
}

impl BatchStream {
    /// `examples` are indices into the training half, as a [`Partition`](super::Partition) dealt them to `device`.
    pub fn new(examples: Vec<usize>, batch_size: usize, streams: &Streams, device: &str) -> Result<Self, DataError> {
        let error = |cause| DataError::Batches { device: device.to_owned(), cause };
        if batch_size == 0 {
            return Err(error("the batch size is 0, expected at least 1"));
        }
        if examples.is_empty() {
            return Err(error("the device has no examples"));
        }
        let orders = streams.counter(device, "mini-batches");
        let current = Mutex::new(Epoch { number: 0, order: order(&examples, &orders, 0) });
        Ok(Self { examples, batch_size, orders, current })
    }

    /// The device's examples, as dealt.
    pub fn examples(&self) -> &[usize] {
        &self.examples
    }

    /// Examples in every batch.
    pub fn batch_len(&self) -> usize {
        self.batch_size.min(self.examples.len())
    }

    /// Steps in one pass over the device's examples.
    pub fn batches_per_epoch(&self) -> u64 {
        (self.examples.len() / self.batch_len()) as u64
    }

    /// The examples of step `step`, each at most once.
    pub fn batch_indices(&self, step: u64) -> Vec<usize> {
        let (number, place) = (step / self.batches_per_epoch(), (step % self.batches_per_epoch()) as usize);
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if current.number != number {
            *current = Epoch { number, order: order(&self.examples, &self.orders, number) };
        }
        current.order[place * self.batch_len()..][..self.batch_len()].to_vec()
    }
}

fn order(examples: &[usize], orders: &CounterStream, epoch: u64) -> Vec<usize> {
    let stream = orders.child(epoch);
    let mut order = examples.to_vec();
    shuffle(&mut order, |n| stream.bits(n));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn stream(examples: usize, batch_size: usize, device: &str) -> BatchStream {
        BatchStream::new((100..100 + examples).collect(), batch_size, &Streams::new(5, 1), device).unwrap()
    }

    #[test]
    fn an_epoch_uses_no_example_twice_and_the_next_has_another_order() {
        let s = stream(23, 5, "device/0");
        assert_eq!((s.batches_per_epoch(), s.batch_len()), (4, 5));
        let epoch = |e: u64| (4 * e..4 * e + 4).flat_map(|n| s.batch_indices(n)).collect::<Vec<_>>();
        for e in 0..20 {
            assert_eq!(epoch(e).iter().collect::<BTreeSet<_>>().len(), 20);
            assert_ne!(epoch(e), epoch(e + 1));
        }
        let seen: BTreeSet<usize> = (0..20).flat_map(epoch).collect();
        assert_eq!(seen, (100..123).collect());
    }

    #[test]
    fn a_batch_does_not_depend_on_what_was_asked_before() {
        let forward = stream(40, 8, "device/3");
        let expected: Vec<_> = (0..60).map(|n| forward.batch_indices(n)).collect();
        let backward = stream(40, 8, "device/3");
        for n in (0..60).rev() {
            assert_eq!(backward.batch_indices(n), expected[n as usize]);
        }
        assert_ne!(stream(40, 8, "device/4").batch_indices(0), expected[0]);
        assert_eq!(backward.batch_indices(u64::MAX).len(), 8);
    }

    #[test]
    fn a_small_device_uses_all_it_has() {
        let s = stream(3, 16, "device/0");
        for n in 0..5 {
            assert_eq!(s.batch_indices(n).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([100, 101, 102]));
        }
    }

    #[test]
    fn what_cannot_be_batched_is_refused() {
        assert!(BatchStream::new(vec![1], 0, &Streams::new(1, 0), "d").is_err());
        assert!(BatchStream::new(vec![], 4, &Streams::new(1, 0), "d").is_err());
    }
}
