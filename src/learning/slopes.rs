//! Zeroth-order steps along a direction that all clients share: each finds a slope, one mean slope is followed.
//!
//! A slope is the only number that leaves a client, in single precision. As the value of an operation it is a state of
//! one parameter.

use super::identity::IdentityBuilder;
use super::value::State;
use crate::nn::{ParameterLayout, ZerothOrder};
use crate::random::CounterStream;
use std::sync::Arc;

/// What a zeroth-order step along the shared direction is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedDirection {
    /// The slope alone: the state of one parameter.
    Slope,
    /// The whole step, as if nobody else took part.
    Step,
}

impl SharedDirection {
    pub(super) fn identify(self, b: IdentityBuilder) -> IdentityBuilder {
        b.text(match self {
            Self::Slope => "shared direction, slope",
            Self::Step => "shared direction, step",
        })
    }
}

/// How the slopes of a step become one: sum over k of weights_k clip(slope_k), plus limit * noise_std * n, n standard
/// normal.
#[derive(Clone, Debug, PartialEq)]
pub struct SlopeMean {
    /// One a slope; they sum to 1.
    pub weights: Vec<f64>,
    /// Slopes beyond plus or minus this are cut off before they are sent.
    pub limit: f64,
    /// Noise on the sum, relative to the limit; 0 where slopes are sent digitally.
    pub noise_std: f64,
    /// Entry `step` is the noise of the step.
    pub noise: CounterStream,
}

impl SlopeMean {
    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        let b = self.weights.iter().fold(b.word(self.weights.len() as u64), |b, w| b.real(*w)).real(self.limit);
        match self.noise_std {
            0.0 => b,
            std => b.real(std).word(self.noise.key().0).word(self.noise.key().1),
        }
    }

    /// The mean slope as everybody hears it.
    fn of(&self, slopes: impl Iterator<Item = f32>, step: u64) -> f64 {
        let clipped = slopes.map(|s| f64::from(s).clamp(-self.limit, self.limit));
        let sum: f64 = clipped.zip(&self.weights).map(|(s, w)| w * s).sum();
        let noise = if self.noise_std > 0.0 { self.limit * self.noise_std * self.noise.normal(step) } else { 0.0 };
        f64::from((sum + noise) as f32)
    }
}

/// `reference` after the step along `direction`, as far as the mean of `slopes` says.
pub(super) fn follow(
    layout: &ParameterLayout,
    rule: &ZerothOrder,
    reference: &State,
    slopes: &[Arc<State>],
    (mean, step): (&SlopeMean, u64),
    direction: CounterStream,
) -> State {
    let mut parameters = reference.parameters.clone();
    let slope = mean.of(slopes.iter().map(|s| s.parameters[0]), step);
    rule.apply(layout, &mut parameters, slope, direction);
    State { parameters, moments: None, loss: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(noise_std: f64, limit: f64) -> SlopeMean {
        SlopeMean { weights: vec![0.25, 0.75], limit, noise_std, noise: CounterStream::new(5, 6) }
    }

    #[test]
    fn slopes_are_clipped_weighted_and_noisy_in_proportion_to_the_limit() {
        let of = |m: &SlopeMean, step| m.of([4.0f32, -8.0].into_iter(), step);
        assert_eq!(of(&mean(0.0, 100.0), 0), -5.0);
        assert_eq!(of(&mean(0.0, 5.0), 0), 1.0 - 3.75);
        assert_eq!(of(&mean(0.0, 3.0), 0), 0.75 - 2.25);
        for step in 0..5 {
            let noise = of(&mean(0.01, 100.0), step) + 5.0;
            assert!((noise - CounterStream::new(5, 6).normal(step)).abs() < 1e-6);
        }
    }

    #[test]
    fn over_many_steps_the_noise_has_its_standard_deviation() {
        let noisy = mean(0.05, 20.0);
        let squares: f64 = (0..20_000).map(|step| noisy.of([0.0, 0.0].into_iter(), step).powi(2)).sum();
        assert!(((squares / 20_000.0).sqrt() - 1.0).abs() < 0.02);
    }
}
