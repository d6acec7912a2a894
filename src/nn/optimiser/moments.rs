//! What an optimiser remembers between steps.

use super::LossScale;
use crate::backend::Numbers;
use std::ops::Range;

/// The optimiser's memory, which may lie where steps are taken. Each vector has the layout's length once something needs it, and is empty before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// AdamW's running mean of the gradient; SGD's velocity.
    pub m: Numbers,
    /// AdamW's running mean of the gradient's square.
    pub v: Numbers,
    /// AdaLoRA's smoothed sensitivity of each parameter.
    pub sensitivity: Numbers,
    /// AdaLoRA's smoothed distance of the sensitivity from its mean.
    pub uncertainty: Numbers,
    /// Steps that this memory comes from.
    pub step: u32,
    /// Steps of the run, which AdaLoRA's budget follows: more than `step` where the optimiser starts anew in each round.
    pub run_step: u32,
    /// Of runs in half precision.
    pub loss_scale: LossScale,
}

/// Both step counts, good steps, scale.
const HEAD_BYTES: usize = 16;
const VECTORS: usize = 4;

impl Moments {
    /// Nothing remembered after `run_step` steps of the run.
    pub fn anew(run_step: u32) -> Self {
        Self { run_step, ..Self::default() }
    }

    /// `vector`, zeros of length `len` if nothing is in it yet.
    ///
    /// # Panics
    /// If it holds the memory of another layout.
    pub(in super::super) fn ready(vector: &mut Numbers, len: usize) -> &mut [f32] {
        let vector = vector.make_mut();
        if vector.is_empty() {
            vector.resize(len, 0.0);
        }
        assert_eq!(vector.len(), len, "moments of another layout");
        vector
    }

    /// This memory with that of the entries in `ranges` from `other`, for a layout of `len` entries. Steps are counted and
    /// losses scaled as `other` does.
    pub fn with_ranges_of(mut self, other: &Self, ranges: &[Range<usize>], len: usize) -> Self {
        let mut splice = |own: fn(&mut Self) -> &mut Numbers, others: &[f32]| {
            let own = own(&mut self);
            if own.is_empty() && others.is_empty() {
                return;
            }
            let own = Self::ready(own, len);
            for range in ranges {
                match others.is_empty() {
                    true => own[range.clone()].fill(0.0),
                    false => own[range.clone()].copy_from_slice(&others[range.clone()]),
                }
            }
        };
        splice(|own| &mut own.m, &other.m);
        splice(|own| &mut own.v, &other.v);
        splice(|own| &mut own.sensitivity, &other.sensitivity);
        splice(|own| &mut own.uncertainty, &other.uncertainty);
        Self { step: other.step, run_step: other.run_step, loss_scale: other.loss_scale, ..self }
    }

    /// A flat form that does not change between versions, little endian: `step`, `run_step` and `good_steps` (u32), `scale` (f32),
    /// four lengths (u64), then `m`, `v`, `sensitivity` and `uncertainty` (f32).
    pub fn to_bytes(&self) -> Vec<u8> {
        let vectors = [&self.m, &self.v, &self.sensitivity, &self.uncertainty];
        let values = vectors.iter().map(|v| v.len()).sum::<usize>();
        let mut out = Vec::with_capacity(HEAD_BYTES + 8 * VECTORS + 4 * values);
        out.extend(self.step.to_le_bytes());
        out.extend(self.run_step.to_le_bytes());
        out.extend(self.loss_scale.good_steps.to_le_bytes());
        out.extend(self.loss_scale.scale.to_le_bytes());
        vectors.iter().for_each(|v| out.extend((v.len() as u64).to_le_bytes()));
        vectors.iter().flat_map(|v| v.iter()).for_each(|x| out.extend(x.to_le_bytes()));
        out
    }

    /// What [`to_bytes`](Self::to_bytes) was given; `None` if the bytes are not of that form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let word = |i: usize| head[4 * i..][..4].try_into().expect("four bytes");
        let loss_scale = LossScale { good_steps: u32::from_le_bytes(word(2)), scale: f32::from_le_bytes(word(3)) };
        let (lengths, mut values) = rest.split_at_checked(8 * VECTORS)?;
        let mut vectors: [Vec<f32>; VECTORS] = Default::default();
        for (vector, length) in vectors.iter_mut().zip(lengths.as_chunks::<8>().0) {
            let bytes = usize::try_from(u64::from_le_bytes(*length)).ok()?.checked_mul(4)?;
            let (own, later) = values.split_at_checked(bytes)?;
            *vector = own.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
            values = later;
        }
        let [m, v, sensitivity, uncertainty] = vectors.map(Numbers::from);
        let (step, run_step) = (u32::from_le_bytes(word(0)), u32::from_le_bytes(word(1)));
        values.is_empty().then_some(Self { m, v, sensitivity, uncertainty, step, run_step, loss_scale })
    }
}
