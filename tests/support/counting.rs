//! A backend that computes nothing and counts what a real one would have to multiply.
//!
//! The passes of the learning plane run on it as they do on any other: which product they ask for, over how many rows, with
//! which trainable terms and whether an input's gradient is wanted is theirs. An entry of a buffer has no value here, and a
//! control flow that depended on one would fail loudly.

use deft::backend::{
    Activation, Adapted, AdaptedGradient, AdapterCache, AdapterSlot, AttentionGradient, AttentionInput, AttentionSaved,
    AttentionShape, Backend, Content, Embedding, EmbeddingSlots, Epilogue, GradientEpilogue, HeadGradient, HeadSlot,
    Linear, LinearSlots, Norm, NormCache, NormSlots, Packing, Rotary, ScaleSlot, SequenceOutcome, Targets, Trainable,
};
use std::sync::Mutex;

/// FLOPs of products, 2 m n k each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Each product once, whatever a kernel does for masks, padding or memory.
    pub products: f64,
    /// Scores that the gradient of a fused attention computes again.
    pub recomputed: f64,
}

#[derive(Debug, Default)]
pub struct Counting {
    counts: Mutex<Counts>,
}

impl Counting {
    /// What was counted since the last time.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut self.counts.lock().expect("no counter panics"))
    }

    fn product(&self, m: usize, n: usize, k: usize) {
        self.counts.lock().expect("no counter panics").products += 2.0 * m as f64 * n as f64 * k as f64;
    }
}

/// Queries times keys, prefix included, summed over sequences; masked pairs count as the others.
fn pairs(packing: &Packing, input: &AttentionInput<'_, Counting>) -> usize {
    let prefix = input.prefix.map_or(0, |slot| slot.tokens);
    let of = |s: usize| packing.sequence_rows(s).len() * (input.keys.sequence_rows(s).len() + prefix);
    (0..packing.sequences()).map(of).sum()
}

impl Counting {
    /// The products of low-rank terms that the forward pass takes.
    fn terms(&self, packing: &Packing, slots: &LinearSlots) {
        for slot in &slots.lora {
            self.product(packing.rows(), slot.rank, slot.inputs);
            self.product(packing.rows(), slot.outputs, slot.rank);
            if slot.magnitude.is_some() {
                // The norms of the rows of W + BA take BA, for each client.
                packing.segments().iter().for_each(|_| self.product(slot.outputs, slot.inputs, slot.rank));
            }
        }
    }
}

#[allow(clippy::too_many_arguments)]
impl Backend for Counting {
    type Buffer = Vec<f32>;
    type Matrix = ();

    fn chunk_tokens(&self) -> usize {
        usize::MAX / 4
    }

    fn write(&self, values: &[f32], buffer: &mut Vec<f32>) {
        *buffer = values.to_vec();
    }

    fn read(&self, _: &Vec<f32>, len: usize) -> Vec<f32> {
        vec![f32::NAN; len]
    }

    fn zero(&self, _: &mut Vec<f32>, _: usize) {}

    fn copy(&self, _: &Vec<f32>, _: usize, _: &mut Vec<f32>) {}

    fn add(&self, _: &Vec<f32>, _: usize, _: &mut Vec<f32>) {}

    fn multiply(&self, _: &Vec<f32>, _: usize, _: &mut Vec<f32>) {}

    fn matrix(&self, _: &[f32], _: usize, _: usize) {}

    fn embed(
        &self,
        _: &Packing,
        _: Content<'_, Self>,
        _: &Embedding<Self>,
        _: &EmbeddingSlots,
        _: Trainable<'_, Self>,
        _: &mut Vec<f32>,
    ) {
    }

    fn embed_gradient(
        &self,
        _: &Packing,
        _: Content<'_, Self>,
        _: &EmbeddingSlots,
        _: bool,
        _: usize,
        _: &Vec<f32>,
        _: usize,
        _: &mut Vec<f32>,
        _: Option<&mut Vec<f32>>,
    ) {
    }

    fn linear(
        &self,
        packing: &Packing,
        _: &Vec<f32>,
        layer: &Linear<Self>,
        adapted: Adapted<'_, Self>,
        _: Epilogue<'_, Self>,
        _: &mut Vec<f32>,
    ) {
        self.product(packing.rows(), layer.outputs, layer.inputs);
        self.terms(packing, adapted.slots);
    }

    fn linear_gradient(
        &self,
        packing: &Packing,
        _: &Vec<f32>,
        layer: &Linear<Self>,
        adapted: AdaptedGradient<'_, Self>,
        epilogue: GradientEpilogue<'_, Self>,
        _: &mut Vec<f32>,
    ) {
        let (rows, input_wanted) = (packing.rows(), !matches!(epilogue, GradientEpilogue::Skip));
        if input_wanted {
            self.product(rows, layer.inputs, layer.outputs);
        }
        if adapted.slots.weight.is_some() {
            self.product(layer.outputs, layer.inputs, rows);
        }
        for slot in &adapted.slots.lora {
            // Of B, of what A gave, of A, of the input.
            self.product(slot.outputs, slot.rank, rows);
            self.product(rows, slot.rank, slot.outputs);
            self.product(slot.rank, slot.inputs, rows);
            if input_wanted {
                self.product(rows, slot.inputs, slot.rank);
            }
        }
    }

    fn attention(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        _: &mut Vec<f32>,
        _: &mut Vec<f32>,
    ) {
        (0..2).for_each(|_| self.product(pairs(packing, input), shape.width(), 1));
    }

    fn attention_gradient(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        _: AttentionSaved<'_, Self>,
        _: &Vec<f32>,
        _: AttentionGradient<'_, Self>,
    ) {
        let pairs = pairs(packing, input);
        (0..4).for_each(|_| self.product(pairs, shape.width(), 1));
        self.counts.lock().expect("no counter panics").recomputed += 2.0 * pairs as f64 * shape.width() as f64;
    }

    fn rotate(&self, _: &Packing, _: &Rotary, _: usize, _: bool, _: &mut Vec<f32>, _: usize, _: usize) {}

    fn norm(
        &self,
        _: &Packing,
        _: &Vec<f32>,
        _: Option<&Vec<f32>>,
        _: &Norm<Self>,
        _: NormSlots,
        _: Trainable<'_, Self>,
        _: &mut Vec<f32>,
        _: Option<&mut NormCache<Self>>,
    ) {
    }

    fn norm_gradient(
        &self,
        _: &Packing,
        _: &Vec<f32>,
        _: &Norm<Self>,
        _: &NormCache<Self>,
        _: NormSlots,
        _: Trainable<'_, Self>,
        _: &mut Vec<f32>,
        _: bool,
        _: &mut Vec<f32>,
    ) {
    }

    fn gate(&self, _: &Packing, _: &Vec<f32>, _: usize, _: Activation, _: &mut Vec<f32>) {}

    fn gate_gradient(&self, _: &Packing, _: &Vec<f32>, _: usize, _: Activation, _: &Vec<f32>, _: &mut Vec<f32>) {}

    fn scale(
        &self,
        _: &Packing,
        _: ScaleSlot,
        _: Trainable<'_, Self>,
        _: &mut Vec<f32>,
        _: usize,
        _: usize,
        _: Option<&mut Vec<f32>>,
    ) {
    }

    fn scale_gradient(
        &self,
        _: &Packing,
        _: ScaleSlot,
        _: Trainable<'_, Self>,
        _: &Vec<f32>,
        _: &mut Vec<f32>,
        _: &mut Vec<f32>,
        _: usize,
        _: usize,
    ) {
    }

    fn adapter(
        &self,
        packing: &Packing,
        _: &Vec<f32>,
        slot: AdapterSlot,
        _: Trainable<'_, Self>,
        _: &mut AdapterCache<Self>,
        _: &mut Vec<f32>,
    ) {
        (0..2).for_each(|_| self.product(packing.rows(), slot.bottleneck, slot.width));
    }

    fn adapter_gradient(
        &self,
        packing: &Packing,
        _: &Vec<f32>,
        _: &Vec<f32>,
        slot: AdapterSlot,
        _: Trainable<'_, Self>,
        _: &AdapterCache<Self>,
        _: &mut Vec<f32>,
        _: &mut Vec<f32>,
        dx: Option<&mut Vec<f32>>,
    ) {
        let products = if dx.is_some() { 4 } else { 3 };
        (0..products).for_each(|_| self.product(packing.rows(), slot.bottleneck, slot.width));
    }

    fn classify(
        &self,
        packing: &Packing,
        _: &Vec<f32>,
        slot: HeadSlot,
        _: Trainable<'_, Self>,
        _: Targets<'_>,
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        let products = if gradient.is_some() { 3 } else { 1 };
        (0..products).for_each(|_| self.product(packing.sequences(), slot.outputs, slot.width));
        vec![SequenceOutcome::default(); packing.sequences()]
    }

    fn predict_tokens(
        &self,
        packing: &Packing,
        _: &Vec<f32>,
        output: &Linear<Self>,
        weight: Option<usize>,
        _: f64,
        _: Trainable<'_, Self>,
        targets: &[u32],
        gradient: Option<HeadGradient<'_, Self>>,
    ) -> Vec<SequenceOutcome> {
        let predicted = targets.iter().filter(|target| **target != u32::MAX).count();
        let of_gradient = gradient.map_or(0, |_| 1 + usize::from(weight.is_some()));
        (0..1 + of_gradient).for_each(|_| self.product(predicted, output.outputs, output.inputs));
        vec![SequenceOutcome::default(); packing.sequences()]
    }
}
