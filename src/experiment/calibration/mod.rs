//! How fast this machine trains, as a hardware profile: passes of the learning plane are timed over a handful of shapes, and the
//! roofline of `compute` is fitted to what the cost model says that they take.
//!
//! All shapes take turns, window by window, and the fastest window of each counts: a machine that is slower for a while is slower
//! for all of them, and each meets its quiet moments.
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
use clock::{seconds_of, windows_in};
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
    /// Seconds of steps for each shape; the fastest window counts.
    pub seconds_per_shape: f64,
    /// Whether to time shapes that the fit does not see.
    pub check: bool,
}

impl Calibration {
    /// Times the shapes and fits the roofline. `progress` hears how many windows of how many are done, and whose is next.
    ///
    /// # Errors
    /// If the threads cannot be had. The models of the shapes can be built.
    pub fn run(options: &Options, progress: impl Fn(usize, usize, &str) + Sync) -> Result<Self, CalibrationError> {
        let &Options { threads, seconds_per_shape, check } = options;
        let refused = |e: rayon::ThreadPoolBuildError| CalibrationError::Threads { threads, reason: e.to_string() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(refused)?;
        let fitted_on = shapes::fitted_on();
        let held_out = if check { shapes::held_out() } else { vec![] };
        let split = fitted_on.len();
        let steps: Vec<Step> = fitted_on.into_iter().chain(held_out).map(Shape::step).collect::<Result<_, _>>()?;
        // One step warms caches.
        steps.iter().for_each(|s| pool.install(|| (s.compute)()));
        let (windows, mut fastest) = (windows_in(seconds_per_shape), vec![f64::INFINITY; steps.len()]);
        for window in 0..windows {
            for (i, (step, fastest)) in steps.iter().zip(&mut fastest).enumerate() {
                progress(window * steps.len() + i, windows * steps.len(), &step.name);
                *fastest = fastest.min(pool.install(|| seconds_of(&*step.compute, threads == 1)));
            }
        }
        let timed = steps.into_iter().zip(fastest).map(|(s, seconds)| Timed { name: s.name, work: s.work, seconds });
        let mut timed: Vec<Timed> = timed.collect();
        let checked = timed.split_off(split);
        let fitted = Fitted::to(&timed);
        Ok(Self { timed, fitted, checked })
    }

    /// Largest relative error of what was predicted for the shapes that the fit did not see.
    pub fn worst_error(&self) -> f64 {
        self.checked.iter().map(|t| self.fitted.error(t).abs()).fold(0.0, f64::max)
    }
}

/// One training step of a shape, ready to be taken again and again.
struct Step {
    name: String,
    work: [Work; 2],
    compute: Box<dyn Fn() + Send + Sync>,
}

impl Shape {
    fn step(self) -> Result<Step, NnError> {
        let a = &self.architecture;
        let layout = ParameterLayout::new(a, &self.methods, self.objective)?;
        let streams = Streams::new(1, 0);
        let weights = RandomWeights::new(streams);
        let model = Model::load(Cpu::<f32>::new(), a, self.objective, &weights)?;
        let parameters = layout.initial(&streams, &weights)?;
        let batch = self.batch();
        model.check_batch(&layout, &batch)?;
        let cost = ModelCost::new(a, self.task(), Precision::Fp32, Precision::Fp32, &self.peft)
            .expect("a shape describes every block of its model");
        let (whole, shape) = (cost.whole(), BatchShape::uniform(self.sequences, self.tokens));
        let work = [cost.segment_forward(&whole, &shape), cost.segment_backward(&whole, &shape)];
        let compute = move || drop(model.loss_and_gradients(&layout, &[StackItem::new(&parameters, &batch)]));
        Ok(Step { name: self.name, work, compute: Box::new(compute) })
    }

    fn batch(&self) -> PackedBatch {
        // RoBERTa's padding, 1, stands in no text.
        let words = self.architecture.vocabulary as u64 - 2;
        let draws = Streams::new(2, 0).counter(&self.name, "tokens");
        let text = |s: usize| -> Vec<u32> {
            (0..self.tokens as u64).map(|i| (2 + draws.child(s as u64).bits(i) % words) as u32).collect()
        };
        let texts: Vec<Vec<u32>> = (0..self.sequences).map(text).collect();
        PackedBatch::pack(texts.iter().enumerate().map(|(s, text)| (text.as_slice(), s as u32 % 2)))
    }
}
