//! What crosses the cut of a split model, in bytes and in values, and the work on its sides.
//!
//! A sample is packed on its own: bytes of a mini-batch are the sum over its samples.

use super::Demand;
use super::cut_error::{expected_error, within};
use crate::compute::Work;
use crate::fomo::cost::kept;
use crate::fomo::{BatchShape, Segment};
use crate::scenario::{CutCompression, LabelPlace, QuantiserScale};

/// Lengths of a sample's sequence (encoder or only stack, decoder).
pub type Lengths = (usize, usize);

const FP16_BYTES: u64 = 2;
/// A quantiser's scale, or the power by which analog values were normalised.
const SCALE_BYTES: u64 = 4;
/// Up to this width the place of a value in its token takes two bytes, beyond it four.
const NARROW_WIDTH: u64 = 1 << 16;

/// In what form a token's values cross the cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutForm {
    /// Share of the values that cross.
    pub kept_share: f64,
    /// Of each that does.
    pub bits: u64,
    /// Expected squared error over the values' squares; 0 where nothing is lost.
    pub expected_error: f64,
}

impl Demand {
    /// How what crosses the cut is made smaller.
    pub fn cut_compression(&self) -> CutCompression {
        self.cut.compression
    }

    /// In what form it crosses, where that was chosen by an error bound.
    pub fn cut_form(&self) -> CutForm {
        let width = self.cost.architecture().hidden as u64;
        let (kept_share, bits) = match self.cut.compression {
            CutCompression::Fp16 => (1.0, 16),
            CutCompression::SparseQuantised { kept_fraction, bits } => {
                (kept(kept_fraction, width) as f64 / width as f64, u64::from(bits))
            }
            _ => (1.0, 8 * self.precision().bytes()),
        };
        CutForm { kept_share, bits, expected_error: expected_error(self.cut.compression, width) }
    }

    /// Every way to make what crosses smaller that the scenario admits: the one it names, or all within its bound.
    pub(super) fn admitted_compressions(&self) -> Vec<CutCompression> {
        match self.largest_cut_error {
            Some(error) => within(error, self.cost.architecture().hidden as u64, 8 * self.precision().bytes()),
            None => vec![self.cut.compression],
        }
    }

    /// The samples by which memory and traffic are planned.
    pub fn nominal_samples(&self) -> Vec<Lengths> {
        let batch = self.nominal_batch();
        let each = |sum: u64| (sum / batch.sequences.max(1)) as usize;
        vec![(each(batch.tokens), each(batch.decoder_tokens)); batch.sequences as usize]
    }

    /// Activations that go up through the cut, and labels with them where the edge has the head.
    pub fn smashed_bytes(&self, samples: &[Lengths]) -> u64 {
        let groups = |vectors: u64| match self.cut.compression {
            // One bit a token says where a group begins.
            CutCompression::MergeTokens { .. } => vectors.div_ceil(8),
            _ => 0,
        };
        let bytes = |sample: &BatchShape| self.crossing_bytes(sample) + groups(self.vectors(sample));
        sum(samples, bytes) + self.label_bytes(samples)
    }

    /// Labels that go up; none where they stay on the device.
    pub fn label_bytes(&self, samples: &[Lengths]) -> u64 {
        match self.cut.labels {
            LabelPlace::Edge => sum(samples, |sample| self.cost.label_bytes(sample)),
            LabelPlace::Device => 0,
        }
    }

    /// Gradient that comes back through the cut; 0 if nothing below it trains.
    pub fn gradient_bytes(&self, samples: &[Lengths]) -> u64 {
        if self.gradient_crosses() { sum(samples, |sample| self.crossing_bytes(sample)) } else { 0 }
    }

    /// Whether anything comes back through the cut.
    pub fn gradient_crosses(&self) -> bool {
        self.cost.gradient_crosses(self.split_point)
    }

    /// Numbers in the activations of `samples`: what an analog channel carries.
    pub fn smashed_values(&self, samples: &[Lengths]) -> u64 {
        sum(samples, |sample| self.vectors(sample) * self.cost.architecture().hidden as u64)
    }

    /// What goes beside analog values of `samples` as bits: the power by which each was normalised.
    pub fn analog_scale_bytes(&self, samples: &[Lengths]) -> u64 {
        SCALE_BYTES * samples.len() as u64
    }

    /// Hidden states that come down to a head on the device.
    pub fn last_hidden_bytes(&self, samples: &[Lengths]) -> u64 {
        sum(samples, |sample| self.cost.boundary_bytes(self.blocks(), sample))
    }

    /// Their gradient, which goes up; 0 if nothing below the head trains.
    pub fn last_gradient_bytes(&self, samples: &[Lengths]) -> u64 {
        if self.cost.needs_input_gradient(crate::fomo::Part::Head) { self.last_hidden_bytes(samples) } else { 0 }
    }

    /// All that crosses in one step, both ways; of an analog channel the labels and what bits would take.
    pub fn step_bytes(&self, samples: &[Lengths]) -> u64 {
        let around_head = match self.label_place() {
            LabelPlace::Edge => 0,
            LabelPlace::Device => self.last_hidden_bytes(samples) + self.last_gradient_bytes(samples),
        };
        self.smashed_bytes(samples) + self.gradient_bytes(samples) + around_head
    }

    /// Forward pass of the blocks below the cut.
    pub fn forward_below(&self, batch: &BatchShape) -> Work {
        self.forward(&self.cost.device_side(self.split_point), batch)
    }

    /// Backward pass of the blocks below the cut.
    pub fn backward_below(&self, batch: &BatchShape) -> Work {
        self.backward(&self.cost.device_side(self.split_point), batch)
    }

    /// Forward and backward pass of a head on the device.
    pub fn head_on_device(&self, batch: &BatchShape) -> [Work; 2] {
        let head = Segment { embedding: false, blocks: 0..0, head: true };
        [self.forward(&head, batch), self.backward(&head, batch)]
    }

    fn vectors(&self, sample: &BatchShape) -> u64 {
        self.cost.boundary_vectors(self.split_point, sample)
    }

    /// One sample's activations, or their gradient, as the scenario packs them.
    fn crossing_bytes(&self, sample: &BatchShape) -> u64 {
        let (width, number) = (self.cost.architecture().hidden as u64, self.precision().bytes());
        let vectors = self.vectors(sample);
        match self.cut.compression {
            CutCompression::None => vectors * width * number,
            CutCompression::Fp16 => vectors * width * FP16_BYTES,
            CutCompression::Quantise { bits, scale } => {
                let scales = match scale {
                    QuantiserScale::Token => vectors,
                    QuantiserScale::Sample => 1 + u64::from(self.cost.boundary_has_two_stacks(self.split_point)),
                };
                (vectors * width * u64::from(bits)).div_ceil(8) + SCALE_BYTES * scales
            }
            CutCompression::TopK { kept_fraction } => {
                let place = if width <= NARROW_WIDTH { 2 } else { 4 };
                vectors * kept(kept_fraction, width) * (number + place)
            }
            CutCompression::MergeTokens { kept_fraction } => kept(kept_fraction, vectors) * width * number,
            CutCompression::SparseQuantised { kept_fraction, bits } => {
                let kept = kept(kept_fraction, width);
                let place = if width <= NARROW_WIDTH { 2 } else { 4 };
                // Places as a list or as one bit a value, whichever is shorter.
                let places = if kept == width { 0 } else { (kept * place).min(width.div_ceil(8)) };
                vectors * ((kept * u64::from(bits)).div_ceil(8) + places + SCALE_BYTES)
            }
            CutCompression::Auto { .. } => unreachable!("a form within the bound was put in its place"),
        }
    }
}

fn sum(samples: &[Lengths], of: impl Fn(&BatchShape) -> u64) -> u64 {
    samples.iter().map(|&sample| of(&BatchShape::from_length_pairs([sample]))).sum()
}
