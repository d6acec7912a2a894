//! How fast this machine trains, as a hardware profile: passes of the learning plane are timed over a handful of shapes, and the
//! roofline of `compute` is fitted to what the cost model says that they take.
//!
//! Start at [`Calibration::run`]; `shapes` lists what is timed, `clock` says how, `fit` finds the three numbers. The formulas and
//! measured errors are in `docs/compute.md`.

mod clock;
mod fit;
mod shapes;

pub use fit::Fitted;

use crate::backend::Cpu;
use crate::compute::{Precision, Work};
use crate::data::PackedBatch;
use crate::fomo::{BatchShape, ModelCost, RandomWeights};
use crate::nn::{Model, NnError, ParameterLayout, StackItem};
use crate::random::Streams;
use clock::seconds_of;
use shapes::Shape;

/// A shape with what it should take and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    pub name: String,
    /// Operations of a step by the cost model: forward and backward.
    pub work: [Work; 2],
    /// Of one step.
    pub seconds: f64,
}

/// What was timed on this machine, and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    pub timed: Vec<Timed>,
    pub fitted: Fitted,
    /// Shapes that the fit did not see.
    pub checked: Vec<Timed>,
}

/// Why a machine could not be timed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    #[error("a model of the calibration cannot be built: {0}")]
    Model(#[from] NnError),
    #[error("{threads} threads cannot be started ({reason}); ask for fewer with --threads")]
    Threads { threads: usize, reason: String },
}

/// How to time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Threads that share a step. One is timed by the processor's clock, more by the wall's.
    pub threads: usize,
    /// Seconds of steps for each shape; the fastest counts.
    pub seconds_per_shape: f64,
    /// Whether to time shapes that the fit does not see.
    pub check: bool,
}

impl Calibration {
    /// Times the shapes and fits the roofline. `progress` hears how many shapes of how many are done, and which is next.
    ///
    /// # Errors
    /// If the threads cannot be had. The models of the shapes can be built.
    pub fn run(options: &Options, progress: impl Fn(usize, usize, &str) + Sync) -> Result<Self, CalibrationError> {
        let &Options { threads, seconds_per_shape, check } = options;
        let refused = |e: rayon::ThreadPoolBuildError| CalibrationError::Threads { threads, reason: e.to_string() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(refused)?;
        let fitted_on = shapes::fitted_on();
        let held_out = if check { shapes::held_out() } else { vec![] };
        let (split, total) = (fitted_on.len(), fitted_on.len() + held_out.len());
        let mut timed = vec![];
        for (i, shape) in fitted_on.into_iter().chain(held_out).enumerate() {
            progress(i, total, &shape.name);
            timed.push(pool.install(|| shape.time(seconds_per_shape, threads == 1))?);
        }
        let checked = timed.split_off(split);
        let fitted = Fitted::to(&timed);
        Ok(Self { timed, fitted, checked })
    }

    /// Largest relative error of what was predicted for the shapes that the fit did not see.
    pub fn worst_error(&self) -> f64 {
        self.checked.iter().map(|t| self.fitted.error(t).abs()).fold(0.0, f64::max)
    }
}

impl Shape {
    /// Times one training step of this shape.
    fn time(&self, seconds: f64, on_one_thread: bool) -> Result<Timed, NnError> {
        let a = &self.architecture;
        let layout = ParameterLayout::new(a, &self.methods, self.objective)?;
        let streams = Streams::new(1, 0);
        let weights = RandomWeights::new(streams);
        let model = Model::load(Cpu::<f32>::new(), a, self.objective, &weights)?;
        let parameters = layout.initial(&streams, &weights)?;
        let batch = self.batch();
        model.check_batch(&layout, &batch)?;
        let item = [StackItem::new(&parameters, &batch)];
        let step = || drop(model.loss_and_gradients(&layout, &item));
        let cost = ModelCost::new(a, self.task(), Precision::Fp32, Precision::Fp32, &self.peft)
            .expect("a shape describes every block of its model");
        let (whole, shape) = (cost.whole(), BatchShape::uniform(self.sequences, self.tokens));
        let work = [cost.segment_forward(&whole, &shape), cost.segment_backward(&whole, &shape)];
        Ok(Timed { name: self.name.clone(), work, seconds: seconds_of(step, seconds, on_one_thread) })
    }

    fn batch(&self) -> PackedBatch {
        let vocabulary = self.architecture.vocabulary as u64;
        let draws = Streams::new(2, 0).counter(&self.name, "tokens");
        let text = |s: usize| -> Vec<u32> {
            (0..self.tokens as u64).map(|i| (draws.child(s as u64).bits(i) % vocabulary) as u32).collect()
        };
        let texts: Vec<Vec<u32>> = (0..self.sequences).map(text).collect();
        PackedBatch::pack(texts.iter().enumerate().map(|(s, text)| (text.as_slice(), s as u32 % 2)))
    }
}
