//! AdamW.

use super::super::{Group, ParameterLayout};
use super::Moments;
use crate::backend::{AdamWRun, AdamWStep};
use std::ops::Range;

/// AdamW (Loshchilov and Hutter 2019) as `torch.optim.AdamW` computes it: decoupled weight decay on every tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub learning_rate: f64,
    /// Of the task head, which often wants a larger one.
    pub head_learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

impl AdamW {
    /// Step `k = moments.step`: `p *= 1 - lr wd`, `m += (1 - b1)(g - m)`, `v = b2 v + (1 - b2) g^2`,
    /// `p -= lr / (1 - b1^k) * m / (sqrt(v) / sqrt(1 - b2^k) + eps)`.
    pub(super) fn step(
        &self,
        layout: &ParameterLayout,
        parameters: &mut [f32],
        gradient: &[f32],
        moments: &mut Moments,
    ) {
        take(&self.scalars(layout, moments.step), parameters, gradient, moments);
    }

    /// One step of numbers that no layout describes, all at the rate `learning_rate`.
    ///
    /// # Panics
    /// If `moments` are those of another number of numbers.
    pub fn step_plain(&self, numbers: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        moments.step += 1;
        let all = std::iter::once((0..numbers.len(), self.learning_rate));
        take(&self.scalars_of(moments.step, all), numbers, gradient, moments);
    }

    /// What step number `step` of a layout's parameters computes with.
    pub(in super::super) fn scalars(&self, layout: &ParameterLayout, step: u32) -> AdamWStep {
        let rate = |group: Group| group.rate(self.learning_rate, self.head_learning_rate);
        self.scalars_of(step, layout.tensors().iter().map(|t| (t.range(), rate(t.group))))
    }

    fn scalars_of(&self, step: u32, parts: impl Iterator<Item = (Range<usize>, f64)>) -> AdamWStep {
        let correction1 = 1.0 - self.beta1.powf(f64::from(step));
        let mut runs: Vec<AdamWRun> = Vec::new();
        for (range, rate) in parts {
            let decay = (1.0 - rate * self.weight_decay) as f32;
            let size = (rate / correction1) as f32;
            match runs.last_mut() {
                Some(last) if (last.range.end, last.decay, last.size) == (range.start, decay, size) => {
                    last.range.end = range.end;
                }
                _ => runs.push(AdamWRun { range, decay, size }),
            }
        }
        AdamWStep {
            fresh1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            fresh2: (1.0 - self.beta2) as f32,
            correction2_root: (1.0 - self.beta2.powf(f64::from(step))).sqrt() as f32,
            epsilon: self.epsilon as f32,
            runs,
        }
    }
}

fn take(step: &AdamWStep, parameters: &mut [f32], gradient: &[f32], moments: &mut Moments) {
    let len = parameters.len();
    let (m, v) = (Moments::ready(&mut moments.m, len), Moments::ready(&mut moments.v, len));
    let &AdamWStep { fresh1, beta2, fresh2, correction2_root, epsilon, .. } = step;
    for AdamWRun { range, decay, size } in &step.runs {
        let of_run = parameters[range.clone()].iter_mut().zip(&gradient[range.clone()]);
        for ((p, &g), (m, v)) in of_run.zip(m[range.clone()].iter_mut().zip(&mut v[range.clone()])) {
            *m += fresh1 * (g - *m);
            *v = beta2 * *v + fresh2 * g * g;
            *p = decay * *p - size * *m / (v.sqrt() / correction2_root + epsilon);
        }
    }
}
