//! Fine-tuning by forward passes only: simultaneous perturbation (SPSA, Spall 1992), as in MeZO (Malladi et al. 2023).
//!
//! A step needs the loss at two points, `theta + eps z` and `theta - eps z`, and moves along `z`. Since `z` is a pure
//! function of a stream, whoever knows the stream and the slope can replay the step: one number crosses the air.

use super::ParameterLayout;
use crate::random::CounterStream;

/// Two-point zeroth-order descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZerothOrder {
    /// `eps`; MeZO takes 1e-3.
    pub perturbation: f64,
    pub learning_rate: f64,
    /// Of the task head.
    pub head_learning_rate: f64,
}

impl ZerothOrder {
    /// `theta + eps z` and `theta - eps z`, with `z` standard normal from `stream`.
    pub fn perturbed(&self, parameters: &[f32], stream: CounterStream) -> [Vec<f32>; 2] {
        let shifted = |eps: f64| {
            let value = |(n, &p): (usize, &f32)| (f64::from(p) + eps * direction(stream, n)) as f32;
            parameters.iter().enumerate().map(value).collect()
        };
        [shifted(self.perturbation), shifted(-self.perturbation)]
    }

    /// `(L(theta + eps z) - L(theta - eps z)) / (2 eps)`: the loss's slope along `z`.
    pub fn slope(&self, losses: [f64; 2]) -> f64 {
        (losses[0] - losses[1]) / (2.0 * self.perturbation)
    }

    /// `theta -= lr * slope * z`. A weighted mean of several clients' steps is their steps one after another, each with
    /// its weight times its slope.
    ///
    /// # Panics
    /// If `parameters` does not have the layout's length.
    pub fn apply(&self, layout: &ParameterLayout, parameters: &mut [f32], slope: f64, stream: CounterStream) {
        assert_eq!(parameters.len(), layout.len(), "parameters of another layout");
        for tensor in layout.tensors() {
            let size = slope * tensor.group.rate(self.learning_rate, self.head_learning_rate);
            for n in tensor.range() {
                parameters[n] = (f64::from(parameters[n]) - size * direction(stream, n)) as f32;
            }
        }
    }
}

/// Entry `n` of `z`.
fn direction(stream: CounterStream, n: usize) -> f64 {
    stream.normal(n as u64)
}

#[cfg(test)]
mod tests {
    use super::super::{PeftMethod, PromptConfig};
    use super::*;
    use crate::data::Objective;
    use crate::fomo::{Architecture, preset};

    /// A prompt of 2 x 3 and a head of 3 + 1.
    fn layout() -> ParameterLayout {
        let bert = preset("minilm-l6").expect("a preset");
        let tiny = Architecture { hidden: 3, ..bert };
        let prompt = PeftMethod::Prompt(PromptConfig { tokens: 2 });
        ParameterLayout::new(&tiny, &[prompt], Objective::Regression).expect("fits")
    }

    /// `sum c_i theta_i^2 / 2` with growing `c`.
    fn loss(parameters: &[f32]) -> f64 {
        parameters.iter().zip(1u32..).map(|(&p, c)| 0.5 * f64::from(c) * f64::from(p).powi(2)).sum()
    }

    const RULE: ZerothOrder = ZerothOrder { perturbation: 1e-3, learning_rate: 0.01, head_learning_rate: 0.02 };

    fn slope(parameters: &[f32], stream: CounterStream) -> f64 {
        RULE.slope(RULE.perturbed(parameters, stream).map(|point| loss(&point)))
    }

    #[test]
    fn the_slope_is_the_derivative_along_the_direction() {
        let start: Vec<f32> = (0..10).map(|i| 1.0 - 0.3 * i as f32).collect();
        for key in 0..20 {
            let stream = CounterStream::new(key, 5);
            let along: f64 =
                start.iter().zip(1u64..).map(|(&p, c)| c as f64 * f64::from(p) * stream.normal(c - 1)).sum();
            let found = slope(&start, stream);
            assert!((found - along).abs() < 2e-3 * (1.0 + along.abs()), "{found}, not {along}");
        }
    }

    #[test]
    fn a_slope_and_a_stream_replay_the_step() {
        let layout = layout();
        let start = vec![1.0; layout.len()];
        let stream = CounterStream::new(3, 4).child(12);
        let slope = slope(&start, stream);
        let (mut here, mut there) = (start.clone(), start.clone());
        RULE.apply(&layout, &mut here, slope, stream);
        RULE.apply(&layout, &mut there, slope, CounterStream::new(3, 4).child(12));
        assert_eq!(here, there);
        for (n, rate) in [(0, 0.01), (layout.len() - 1, 0.02)] {
            let expected = 1.0 - rate * slope * stream.normal(n as u64);
            assert!((f64::from(here[n]) - expected).abs() < 1e-6, "parameter {n}");
        }
        RULE.apply(&layout, &mut there, slope, CounterStream::new(3, 4).child(13));
        assert_ne!(here, there);
    }

    #[test]
    fn it_descends() {
        let layout = layout();
        let mut parameters = vec![1.0; layout.len()];
        let root = CounterStream::new(8, 8);
        for step in 0..400 {
            let slope = slope(&parameters, root.child(step));
            ZerothOrder { learning_rate: 2e-3, head_learning_rate: 2e-3, ..RULE }.apply(
                &layout,
                &mut parameters,
                slope,
                root.child(step),
            );
        }
        assert!(loss(&parameters) < 0.02 * loss(&vec![1.0; layout.len()]), "{}", loss(&parameters));
    }
}
