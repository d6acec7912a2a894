//! Distillation: what is left of a model's middle is fitted, on data that are nobody's, to the hidden states of the model.
//!
//! After Xiao, Lin and Han 2023 (arXiv 2302.04870), who distil their emulators (abstract and released code only; the rule
//! here is ours: the mean squared distance of hidden states behind each compressed block, and nothing else). Adjusted are
//! the numbers that are left of each tensor of the compressed blocks ([`Remainder`]), so an emulator weighs afterwards
//! what it weighed before. Both models run in single precision here, whatever devices compute in.

use super::LearningError;
use super::identity::IdentityBuilder;
use super::library::{BackboneKey, DatasetKey, Library};
use crate::backend::Cpu;
use crate::data::{BatchStream, Objective};
use crate::fomo::{Emulator, Remainder, TensorSource};
use crate::nn::{AdamW, Learner, Model, Moments, Owner, ParameterLayout, PeftMethod, Selection, SelectiveConfig};
use crate::random::Streams;
use rayon::prelude::*;
use std::ops::Range;

/// What an emulator is fitted on, and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Distillation {
    pub data: DatasetKey,
    /// Of the data's tokens.
    pub digest: [u8; 32],
    pub steps: u64,
    pub learning_rate: f64,
    pub batch_size: usize,
    pub objective: Objective,
    pub streams: Streams,
}

/// Tensors of compressed blocks, as a layout of the emulator has them, and their values.
pub(super) struct Distilled {
    pub layout: ParameterLayout,
    pub parameters: Vec<f32>,
}

impl Distillation {
    pub fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        let b = b.text("distilled").word(self.steps).real(self.learning_rate).word(self.batch_size as u64);
        self.digest.iter().fold(b, |b, byte| b.word(u64::from(*byte)))
    }

    /// Fits `emulator`, made from the model of `key`.
    pub fn run(&self, library: &Library, key: &BackboneKey, emulator: &Emulator) -> Result<Distilled, LearningError> {
        let (full, data) = (key.source()?, library.dataset(&self.data)?);
        let teacher = single(&key.architecture, &full)?;
        let teacher_layout = ParameterLayout::new(&key.architecture, &[only_norms(&key.architecture)], self.objective)?;
        let teacher_parameters = teacher_layout.initial(&self.streams, &full)?;
        let leading = Learner { model: &teacher, layout: &teacher_layout, parameters: &teacher_parameters };

        // The compressed blocks' frozen weights are not read: all of them train.
        let student = single(emulator.architecture(), &emulator.without_factors().source(&full)?)?;
        let layout = self.layout(emulator)?;
        let mut parameters = layout.initial(&self.streams, &emulator.uncompressed().source(&full)?)?;
        let parts = parts(&layout, emulator, &full)?;
        let numbers: Vec<Vec<f32>> = parts.par_iter().map(|(range, r)| r.of(&parameters[range.clone()])).collect();
        let lengths: Vec<usize> = numbers.iter().map(Vec::len).collect();
        let mut numbers = numbers.concat();

        let rule = AdamW {
            learning_rate: self.learning_rate,
            head_learning_rate: self.learning_rate,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        };
        let mut moments = Moments::anew(0);
        let all = (0..data.tokens.train.sequences()).collect();
        let batches = BatchStream::new(all, self.batch_size, &self.streams, "distillation")?;
        let places = emulator.boundaries();
        realise(&parts, &lengths, &numbers, &mut parameters);
        for step in 0..self.steps {
            let mut batch = data.tokens.train_batch(&batches.batch_indices(step));
            // Nobody reads them, and another data set may have more classes.
            batch.labels.fill(0);
            student.check_batch(&layout, &batch)?;
            let following = Learner { model: &student, layout: &layout, parameters: &parameters };
            let outcome = following.distance_and_gradient(&leading, &batch, &places);
            if !outcome.loss.is_finite() {
                return Err(LearningError::Diverged { client: "the emulator in distillation".into(), step });
            }
            let gradient = pulled_back(&parts, &lengths, &numbers, &outcome.gradient);
            rule.step_plain(&mut numbers, &gradient, &mut moments);
            realise(&parts, &lengths, &numbers, &mut parameters);
        }
        Ok(Distilled { layout, parameters })
    }

    /// All parameters of the compressed blocks.
    fn layout(&self, emulator: &Emulator) -> Result<ParameterLayout, LearningError> {
        let blocks = (0..emulator.kept().len()).map(|own| emulator.is_compressed(own)).collect();
        let method =
            PeftMethod::Selective(SelectiveConfig { selection: Selection::Everything, blocks, outside: false });
        Ok(ParameterLayout::new(emulator.architecture(), &[method], self.objective)?)
    }
}

fn single(
    architecture: &crate::fomo::Architecture,
    source: &dyn TensorSource,
) -> Result<Model<Cpu<f32>>, LearningError> {
    // Its output matrix would not be read.
    Ok(Model::load(Cpu::default(), architecture, Objective::Regression, source)?)
}

/// A layout has to train something: the first block's norms, which keep the model's values.
pub(super) fn only_norms(architecture: &crate::fomo::Architecture) -> PeftMethod {
    let blocks = (0..architecture.blocks()).map(|block| block == 0).collect();
    PeftMethod::Selective(SelectiveConfig { selection: Selection::Norms, blocks, outside: false })
}

/// Entries of the layout's parameters that are a tensor of a compressed block, and what the emulator leaves of it.
type Part = (Range<usize>, Remainder);

fn parts(layout: &ParameterLayout, emulator: &Emulator, full: &dyn TensorSource) -> Result<Vec<Part>, LearningError> {
    let source = emulator.source(full)?;
    let of_block = layout.tensors().iter().filter_map(|t| match t.owner {
        Owner::Block(own) => Some((t.range(), source.remainder(own, &t.name, t.shape))),
        Owner::Input | Owner::Head => None,
    });
    Ok(of_block.collect())
}

/// Where the numbers of each part begin and end.
fn spans(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut end = 0;
    let span = |length: &usize| {
        end += length;
        end - length..end
    };
    lengths.iter().map(span).collect()
}

fn realise(parts: &[Part], lengths: &[usize], numbers: &[f32], parameters: &mut [f32]) {
    let spans = spans(lengths);
    let tensors: Vec<Vec<f32>> =
        parts.par_iter().zip(&spans).map(|((_, remainder), span)| remainder.tensor(&numbers[span.clone()])).collect();
    for ((range, _), tensor) in parts.iter().zip(tensors) {
        parameters[range.clone()].copy_from_slice(&tensor);
    }
}

/// The gradient of all numbers from that of the parameters.
fn pulled_back(parts: &[Part], lengths: &[usize], numbers: &[f32], of_parameters: &[f32]) -> Vec<f32> {
    let spans = spans(lengths);
    let one = |((range, remainder), span): (&Part, &Range<usize>)| {
        remainder.gradient(&numbers[span.clone()], &of_parameters[range.clone()])
    };
    let gradients: Vec<Vec<f32>> = parts.par_iter().zip(&spans).map(one).collect();
    gradients.concat()
}
