//! Optimisers on the device: gradients are summed, unscaled and checked where they are, masters take AdamW's step in single
//! precision, and what AdamW remembers stays there until the host looks at it.

use super::arena::{Block, Purpose};
use super::backend::must;
use super::buffer::{Buffer, Kind};
use super::launch::{AccumulateArguments, AdamWArguments, UnscaleArguments};
use super::tables::{bytes_of, bytes_of_mut};
use super::{Address, Cuda};
use crate::backend::{AdamWRun, AdamWStep, Numbers, OnDevice, Underway, Updated};
use std::sync::Arc;

/// `len` single-precision numbers.
struct Kept {
    block: Block,
    len: usize,
}

impl OnDevice for Kept {
    fn read(&self) -> Vec<f32> {
        let mut values = vec![0.0f32; self.len];
        must(self.block.read(bytes_of_mut(&mut values)));
        values
    }
}

impl Cuda {
    /// Of its memory, what optimisers may remember on the device: one part in so many. What is beyond goes to the host.
    pub const MOMENTS_SHARE: usize = 8;

    pub(super) fn accumulate(&self, gradient: &Buffer, at: usize, len: usize, sums: &Buffer) {
        let x = gradient.singles(at + len).singles(at);
        self.run(AccumulateArguments { x, y: sums.singles(len), len: len as i64 }.launch());
    }

    pub(super) fn adamw_step(
        &self,
        step: &AdamWStep,
        gradient: &Buffer,
        inverse_scale: f32,
        parameters: &[f32],
        moments: [&Numbers; 2],
    ) -> Underway {
        let len = parameters.len();
        let gradient = gradient.singles(len);
        // One read brings both.
        let block = self.working(Kind::Single, len + 1);
        let (masters, overflow) = (block.address(), block.address().singles(len));
        self.write_bytes(masters, bytes_of(parameters));
        self.write_bytes(overflow, bytes_of(&[0i32]));
        self.run(UnscaleArguments { gradient, overflow, len: len as i64, inverse_scale, unused: 0 }.launch());
        // States before this one are kept as they were: a step starts from a copy.
        let [m, v] = moments.map(|numbers| self.own_copy(numbers, len));
        for AdamWRun { range, decay, size } in &step.runs {
            let of_run = |first: Address| first.singles(range.start);
            let arguments = AdamWArguments {
                parameters: of_run(masters),
                m: of_run(m.block.address()),
                v: of_run(v.block.address()),
                gradient: of_run(gradient),
                copy: Address::NULL,
                overflow,
                len: range.len() as i64,
                decay: *decay,
                size: *size,
                fresh1: step.fresh1,
                beta2: step.beta2,
                fresh2: step.fresh2,
                correction2_root: step.correction2_root,
                epsilon: step.epsilon,
                unused: 0,
            };
            self.run(arguments.launch());
        }
        let within = self.arena().held(Purpose::Moments) <= self.arena().capacity() / Self::MOMENTS_SHARE;
        let cuda = self.clone();
        let rest = move || {
            let mut parameters: Vec<f32> = cuda.fetched(block.address(), len + 1);
            let overflowed = parameters.pop().is_some_and(|flag| flag.to_bits() != 0);
            let kept = |numbers: Kept| match within {
                true => Numbers::on_device(Arc::new(numbers)),
                false => Numbers::from(numbers.read()),
            };
            Updated { parameters, moments: (!overflowed).then(|| [kept(m), kept(v)]) }
        };
        if within {
            return Underway::new(rest);
        }
        // Its memory is wanted for the next client's.
        let updated = rest();
        Underway::new(|| updated)
    }

    fn own_copy(&self, numbers: &Numbers, len: usize) -> Kept {
        let bytes = Kind::Single.bytes() * len;
        let block = self.take(bytes, Purpose::Moments);
        let here = numbers.device::<Kept>().filter(|kept| kept.block.is_of(self.arena()));
        match here {
            Some(kept) => {
                assert_eq!(kept.len, len, "moments of another layout");
                self.copy_bytes(kept.block.address(), block.address(), bytes);
            }
            None if numbers.is_empty() => self.zero_bytes(block.address(), bytes),
            None => {
                assert_eq!(numbers.len(), len, "moments of another layout");
                self.write_bytes(block.address(), bytes_of(numbers));
            }
        }
        Kept { block, len }
    }
}
