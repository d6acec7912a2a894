//! The frozen model on the backend that computes, in the precision that was asked for.

use super::LearningError;
use super::library::BackboneKey;
use super::processor::Processor;
use crate::backend::cuda::Cuda;
use crate::backend::{Backend, Cpu, HalfCpu};
use crate::data::{Objective, PackedBatch};
use crate::fomo::{Architecture, TensorSource};
use crate::nn::{
    AdamW, Cached, ClassAnswer, Evaluation, FrozenPrefix, Learner, Model, Moments, NnError, ParameterLayout,
    PrefixBudget, PrefixDepth, StackItem, StepOutcome, Stepped,
};
use std::sync::Arc;

/// The CPU in single precision is the reference; in half precision it emulates what a GPU stores.
pub(super) enum Backbone {
    Single(Model<Cpu<f32>>),
    Half(Model<HalfCpu>),
    Gpu(Model<Cuda>),
}

/// `body` with the model on its backend.
macro_rules! either {
    ($backbone:expr, $model:ident => $body:expr) => {
        match $backbone {
            Backbone::Single($model) => $body,
            Backbone::Half($model) => $body,
            Backbone::Gpu($model) => $body,
        }
    };
}

impl Backbone {
    /// The model of `key`, or with a smaller `architecture` what stands in for it.
    pub fn load(
        processor: &Processor,
        key: &BackboneKey,
        architecture: &Architecture,
        source: &dyn TensorSource,
    ) -> Result<Self, LearningError> {
        // Other objectives do not read the output matrix: any of them stands for all.
        let objective = if key.predicts_tokens { Objective::NextToken } else { Objective::Regression };
        if let Some(gpu) = processor.for_precision(key.half_precision) {
            gpu.check(architecture, key.predicts_tokens, source)?;
            let load = || Model::load(gpu.cuda.clone(), architecture, objective, source);
            return Ok(Self::Gpu(Cuda::catching(load)??));
        }
        Ok(if key.half_precision {
            Self::Half(Model::load(HalfCpu::default(), architecture, objective, source)?)
        } else {
            Self::Single(Model::load(Cpu::default(), architecture, objective, source)?)
        })
    }

    pub fn is_half(&self) -> bool {
        matches!(self, Self::Half(_) | Self::Gpu(_))
    }

    pub fn check_batch(&self, layout: &ParameterLayout, batch: &PackedBatch) -> Result<(), NnError> {
        either!(self, model => model.check_batch(layout, batch))
    }

    pub fn loss_and_gradients(&self, layout: &ParameterLayout, stack: &[StackItem<'_>]) -> Vec<StepOutcome> {
        either!(self, model => model.loss_and_gradients(layout, stack))
    }

    /// The steps of a stack where the backend takes them itself.
    pub fn adamw_steps(
        &self,
        layout: &ParameterLayout,
        stack: &[StackItem<'_>],
        rule: &AdamW,
        moments: &mut [Moments],
    ) -> Option<Vec<Stepped>> {
        either!(self, model => model.adamw_steps(layout, stack, rule, moments))
    }

    pub fn losses(&self, layout: &ParameterLayout, stack: &[StackItem<'_>]) -> Vec<f64> {
        either!(self, model => model.losses(layout, stack))
    }

    pub fn evaluate(&self, layout: &ParameterLayout, item: &StackItem<'_>) -> Evaluation {
        either!(self, model => model.evaluate_item(layout, item))
    }

    pub fn class_answers(
        &self,
        layout: &ParameterLayout,
        parameters: &[f32],
        batch: &PackedBatch,
        classes: usize,
        prefix: Option<Cached<'_>>,
    ) -> Vec<ClassAnswer> {
        either!(self, model => model.class_answers(layout, parameters, batch, classes, prefix))
    }

    pub fn mean_rows(
        &self,
        layout: &ParameterLayout,
        parameters: &[f32],
        batch: &PackedBatch,
        blocks: usize,
    ) -> Vec<Vec<f64>> {
        either!(self, model => model.mean_rows(layout, parameters, batch, blocks))
    }

    /// How far the hidden states of this model, an emulator, are from those of `full`; each has a layout and its values.
    pub fn hidden_distance(
        &self,
        own: (&ParameterLayout, &[f32]),
        full: &Self,
        of_full: (&ParameterLayout, &[f32]),
        batch: &PackedBatch,
        places: &[(usize, usize)],
    ) -> f64 {
        fn learner<'a, B: Backend>(model: &'a Model<B>, of: (&'a ParameterLayout, &'a [f32])) -> Learner<'a, B> {
            Learner { model, layout: of.0, parameters: of.1 }
        }
        match (self, full) {
            (Self::Single(a), Self::Single(b)) => learner(a, own).distance(&learner(b, of_full), batch, places),
            (Self::Half(a), Self::Half(b)) => learner(a, own).distance(&learner(b, of_full), batch, places),
            (Self::Gpu(a), Self::Gpu(b)) => learner(a, own).distance(&learner(b, of_full), batch, places),
            _ => unreachable!("a model and its emulator are loaded on one backend"),
        }
    }

    pub fn prefix_depth(&self, layout: &ParameterLayout) -> PrefixDepth {
        either!(self, model => PrefixDepth::new(model, layout))
    }

    pub fn frozen_prefix(
        &self,
        layout: &ParameterLayout,
        samples: usize,
        memory: Arc<PrefixBudget>,
    ) -> Option<FrozenPrefix> {
        match self {
            Self::Single(model) => FrozenPrefix::new(model, layout, samples, memory),
            Self::Half(model) => FrozenPrefix::new(model, layout, samples, memory),
            // What is kept lies on the host, pass by pass: a GPU computes it sooner.
            Self::Gpu(_) => None,
        }
    }
}
