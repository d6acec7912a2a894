//! Optimisers on a client's flat vector of trainable parameters.
//!
//! [`Optimizer::update`] is one step, whatever the rule; AdaLoRA's moving ranks are part of it (`adaptive_rank.rs`).
//! [`Moments`] is all that an optimiser remembers. Knows no model, no batch and no loss.

mod adamw;
mod loss_scale;
mod moments;
mod sgd;
#[cfg(test)]
mod tests;

use super::adaptive_rank::RankAllocation;
use super::{Group, ParameterLayout};
pub use adamw::AdamW;
pub use loss_scale::LossScale;
pub use moments::Moments;
pub use sgd::Sgd;

/// A rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    AdamW(AdamW),
    Sgd(Sgd),
}

impl Optimizer {
    /// One step along `gradient`, the mean over the batch, no longer multiplied by a loss scale.
    ///
    /// # Panics
    /// If the vectors do not all have the layout's length.
    pub fn update(&self, layout: &ParameterLayout, parameters: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        assert_eq!([parameters.len(), gradient.len()], [layout.len(); 2], "vectors of another layout");
        let Some(allocation) = RankAllocation::of(layout) else {
            return self.step(layout, parameters, gradient, moments);
        };
        let mut gradient = gradient.to_vec();
        allocation.add_penalty(parameters, &mut gradient);
        allocation.observe(parameters, &gradient, moments);
        let pruned = allocation.pruned_for_good(parameters, moments.run_step);
        self.step(layout, parameters, &gradient, moments);
        allocation.reallocate(parameters, moments, &pruned);
    }

    fn step(&self, layout: &ParameterLayout, parameters: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        moments.step += 1;
        moments.run_step += 1;
        match self {
            Self::AdamW(rule) => rule.step(layout, parameters, gradient, moments),
            Self::Sgd(rule) => rule.step(layout, parameters, gradient, moments),
        }
    }
}

impl Group {
    /// The learning rate of this group.
    pub(super) fn rate(self, learning_rate: f64, head_learning_rate: f64) -> f64 {
        match self {
            Self::Peft => learning_rate,
            Self::Head => head_learning_rate,
        }
    }
}
