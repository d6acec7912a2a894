//! What operations yield.

use crate::nn::{LossScale, Moments};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The trainable parameters of one client at one moment. The frozen backbone is shared and not part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Flat, in the order of the task's `ParameterLayout`.
    pub parameters: Vec<f32>,
    /// The optimiser's memory; `None`, or no steps, where the optimiser starts anew.
    pub moments: Option<Moments>,
    /// Mean loss of the batch of the step that led here, before that step.
    pub loss: Option<f64>,
}

impl State {
    /// Goes on with the smallest loss scale that a step before had to go down to: from the usual one, each round would begin
    /// by overflowing again, and rounds of one step would never move.
    pub(super) fn keep_loss_scale(&mut self, before: &[Arc<State>]) {
        let scales = before.iter().filter_map(|state| Some(state.moments.as_ref()?.loss_scale));
        if let Some(least) = scales.min_by(|x, y| x.scale.total_cmp(&y.scale))
            && least.scale < LossScale::default().scale
        {
            self.moments.get_or_insert_default().loss_scale = least;
        }
    }
}

/// Test result of one state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross entropy in nats over samples or predicted tokens; mean squared error of a regression.
    pub loss: f64,
    /// Share of samples, or of predicted tokens, whose most likely class or token is the right one. Of a regression, R
    /// squared: the share of the variance that is explained.
    pub accuracy: f64,
    pub samples: usize,
}

/// A number somebody may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Evaluation(Evaluation),
    MeanLoss(f64),
}

/// Either kind of result.
#[derive(Clone, Debug)]
pub enum Value {
    State(Arc<State>),
    Metric(Metric),
}

impl Value {
    pub fn state(&self) -> &Arc<State> {
        match self {
            Value::State(state) => state,
            Value::Metric(_) => unreachable!("handles are typed: a state handle never names a metric"),
        }
    }

    pub fn metric(&self) -> Metric {
        match self {
            Value::Metric(metric) => *metric,
            Value::State(_) => unreachable!("handles are typed: a metric handle never names a state"),
        }
    }
}
