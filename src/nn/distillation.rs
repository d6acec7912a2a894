//! How far a model's hidden states are from those of another on the same batch, and how its own weights move them closer.
//!
//! At each place, a pair of blocks before which the states of the two are compared, the distance is the mean over the
//! batch's rows and the states' entries of (h - h*)^2; the whole is the mean over places. There is no head in it and no
//! label. Chunks as in `stack.rs`: neither threads nor the size of a chunk's neighbours can be seen in the outcome.

use super::rows::Rows;
use super::{Model, ParameterLayout, Pass, Share, StepOutcome};
use crate::backend::Backend;
use crate::data::PackedBatch;

/// A model and the values of what its layout trains.
#[derive(Clone, Copy)]
pub struct Learner<'a, B: Backend> {
    pub model: &'a Model<B>,
    pub layout: &'a ParameterLayout,
    pub parameters: &'a [f32],
}

impl<B: Backend> Learner<'_, B> {
    /// The mean squared distance from the states of `teacher` at `places`: pairs of blocks, of this model and of the
    /// teacher's, ascending, before which states are compared; 0 without any.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn distance(&self, teacher: &Learner<'_, B>, batch: &PackedBatch, places: &[(usize, usize)]) -> f64 {
        self.over_chunks(teacher, batch, places, false).loss
    }

    /// The distance and its gradient by the parameters of this model, all of which are in blocks below the last place.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn distance_and_gradient(
        &self,
        teacher: &Learner<'_, B>,
        batch: &PackedBatch,
        places: &[(usize, usize)],
    ) -> StepOutcome {
        self.over_chunks(teacher, batch, places, true)
    }

    fn over_chunks(
        &self,
        teacher: &Learner<'_, B>,
        batch: &PackedBatch,
        places: &[(usize, usize)],
        training: bool,
    ) -> StepOutcome {
        let entries = self.entries(batch, places);
        let parts: Vec<StepOutcome> = self.model.over_chunks(batch, |sequences| {
            let share = Share { sequences, ..Share::whole(self.parameters, batch) };
            vec![self.chunk(teacher, &share, places, &entries, training)]
        });
        let nothing = StepOutcome { loss: 0.0, gradient: vec![0.0; if training { self.layout.len() } else { 0 }] };
        parts.into_iter().fold(nothing, |mut sum, part| {
            sum.loss += part.loss;
            sum.gradient.iter_mut().zip(part.gradient).for_each(|(sum, g)| *sum += g);
            sum
        })
    }

    /// By how many entries the squares of each place are to be divided.
    fn entries(&self, batch: &PackedBatch, places: &[(usize, usize)]) -> Vec<f64> {
        let architecture = self.model.architecture();
        let rows = Rows::new(architecture, self.layout, &[Share::whole(self.parameters, batch)]);
        let of_place = |own: usize| match &rows.decoder {
            Some(decoder) if own > architecture.encoder_layers => decoder.packing.rows(),
            _ => rows.main.packing.rows(),
        };
        places.iter().map(|(own, _)| (of_place(*own) * architecture.hidden * places.len()).max(1) as f64).collect()
    }

    fn chunk(
        &self,
        teacher: &Learner<'_, B>,
        share: &Share<'_>,
        places: &[(usize, usize)],
        entries: &[f64],
        training: bool,
    ) -> StepOutcome {
        let of_teacher = Share { parameters: teacher.parameters, ..share.clone() };
        let mut leading = teacher.model.pass(teacher.layout, std::slice::from_ref(&of_teacher), false);
        let mut following = self.model.pass(self.layout, std::slice::from_ref(share), training);
        leading.embed();
        following.embed();
        let (mut loss, mut reached) = (0.0, (0, 0));
        let mut pulls = Vec::with_capacity(places.len());
        for (&(own, of_full), entries) in places.iter().zip(entries) {
            leading.forward_blocks(reached.1..of_full);
            following.forward_blocks(reached.0..own);
            reached = (own, of_full);
            let (mut pull, wanted) = (following.own_hidden(), leading.own_hidden());
            let mut squares = 0.0;
            for (h, wanted) in pull.iter_mut().zip(&wanted) {
                let apart = f64::from(*h) - f64::from(*wanted);
                squares += apart * apart;
                *h = (2.0 * apart / entries) as f32;
            }
            loss += squares / entries;
            pulls.push(pull);
        }
        let gradient = if training { backward(&mut following, places, &pulls) } else { vec![] };
        StepOutcome { loss, gradient }
    }
}

/// From the last place down: what comes from above and what pulls at the place itself add up.
fn backward<B: Backend>(pass: &mut Pass<'_, B>, places: &[(usize, usize)], pulls: &[Vec<f32>]) -> Vec<f32> {
    for (number, (&(own, _), pull)) in places.iter().zip(pulls).enumerate().rev() {
        // At the last place nothing has come down yet.
        let mut gradient = match number + 1 == places.len() {
            true => vec![0.0; pass.hidden().len()],
            false => pass.hidden_gradient(own),
        };
        gradient.iter_mut().zip(pull).for_each(|(sum, g)| *sum += g);
        pass.set_hidden_gradient(&gradient, own);
        let below = if number == 0 { 0 } else { places[number - 1].0 };
        pass.backward_to_input_of(below..own);
    }
    pass.gradient()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Cpu;
    use crate::data::{Objective, TargetText};
    use crate::fomo::{Architecture, Family, RandomWeights, preset};
    use crate::nn::{Overlaid, Owner, PeftMethod, Selection, SelectiveConfig};
    use crate::random::Streams;

    fn small(name: &str) -> Architecture {
        let a = preset(name).expect("a known model");
        let (encoder_layers, decoder_layers) = match a.family {
            Family::T5 => (2, 2),
            Family::Gpt2 | Family::Llama => (0, 4),
            _ => (4, 0),
        };
        let heads = Architecture { heads: 4, kv_heads: if a.family == Family::Llama { 2 } else { 4 }, ..a };
        Architecture { hidden: 16, head_dim: 4, ffn: 24, vocabulary: 50, encoder_layers, decoder_layers, ..heads }
    }

    fn objective(a: &Architecture) -> Objective {
        if a.family == Family::T5 { Objective::NextToken } else { Objective::Classification { classes: 2 } }
    }

    /// The layout that trains all of `blocks`.
    fn layout(a: &Architecture, blocks: [bool; 4]) -> ParameterLayout {
        let config = SelectiveConfig { selection: Selection::Everything, blocks: blocks.to_vec(), outside: false };
        ParameterLayout::new(a, &[PeftMethod::Selective(config)], objective(a)).expect("it fits")
    }

    fn model(a: &Architecture, seed: u64) -> (Model<Cpu<f32>>, RandomWeights) {
        let weights = RandomWeights::new(Streams::new(seed, 0));
        (Model::load(Cpu::default(), a, Objective::Regression, &weights).expect("a model"), weights)
    }

    fn batch(a: &Architecture) -> PackedBatch {
        let texts: [&[u32]; 3] = [&[1, 7, 3, 9], &[5, 4], &[8, 8, 2]];
        let mut batch = PackedBatch::pack(texts.map(|t| (t, 0)));
        if a.family == Family::T5 {
            for text in texts {
                batch.decoder.get_or_insert_with(TargetText::new).push(text);
            }
        }
        batch
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_distance_in_every_family() {
        for name in ["minilm-l6", "gpt2", "llama-7b", "t5-base"] {
            let a = small(name);
            let ((student, own), (teacher, of_full)) = (model(&a, 3), model(&a, 4));
            let (middle, first) = (layout(&a, [false, true, true, false]), layout(&a, [true, false, false, false]));
            let streams = Streams::new(1, 0);
            let parameters = middle.initial(&streams, &own).expect("its own");
            let fixed = first.initial(&streams, &of_full).expect("its own");
            let (batch, places) = (batch(&a), [(2, 2), (3, 3)]);
            let leading = Learner { model: &teacher, layout: &first, parameters: &fixed };
            let at = |parameters: &[f32]| {
                Learner { model: &student, layout: &middle, parameters }.distance(&leading, &batch, &places)
            };
            let outcome = Learner { model: &student, layout: &middle, parameters: &parameters }
                .distance_and_gradient(&leading, &batch, &places);
            assert_eq!(outcome.loss, at(&parameters), "{name}");
            let length = outcome.gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let moved = |by: f64| -> Vec<f32> {
                let step = parameters.iter().zip(&outcome.gradient);
                step.map(|(p, g)| p + (by * f64::from(*g) / length) as f32).collect()
            };
            let slope = (at(&moved(3e-3)) - at(&moved(-3e-3))) / 6e-3;
            assert!(length > 0.0 && (slope / length - 1.0).abs() < 0.02, "{name}: {slope} for {length}");
            let same = Learner { model: &teacher, layout: &first, parameters: &fixed };
            assert_eq!(
                same.distance(&leading, &batch, &places),
                0.0,
                "{name}: a model is as far from itself as nothing"
            );
        }
    }

    #[test]
    fn what_a_layout_trains_can_be_put_back_into_its_checkpoint() {
        for name in ["minilm-l6", "gpt2", "llama-7b", "t5-base"] {
            let a = small(name);
            let (_, checkpoint) = model(&a, 5);
            let layout = layout(&a, [false, true, true, false]);
            let streams = Streams::new(2, 0);
            let mut parameters = layout.initial(&streams, &checkpoint).expect("its own");
            for tensor in layout.tensors().iter().filter(|t| matches!(t.owner, Owner::Block(_))) {
                parameters[tensor.range()].iter_mut().enumerate().for_each(|(i, p)| *p = *p * 2.0 + i as f32);
            }
            let overlaid = Overlaid { checkpoint: &checkpoint, layout: &layout, parameters: &parameters };
            assert_eq!(layout.initial(&streams, &overlaid).expect("its own"), parameters, "{name}");
        }
    }
}
