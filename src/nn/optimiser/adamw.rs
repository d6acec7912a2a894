//! AdamW.

use super::super::ParameterLayout;
use super::Moments;

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
        let (m, v) = (Moments::ready(&mut moments.m, layout.len()), Moments::ready(&mut moments.v, layout.len()));
        for tensor in layout.tensors() {
            let rate = tensor.group.rate(self.learning_rate, self.head_learning_rate);
            let range = tensor.range();
            let memory = (&mut m[range.clone()], &mut v[range.clone()]);
            self.step_at(rate, moments.step, &mut parameters[range.clone()], &gradient[range], memory);
        }
    }

    /// One step of numbers that no layout describes, all at the rate `learning_rate`.
    ///
    /// # Panics
    /// If `moments` are those of another number of numbers.
    pub fn step_plain(&self, numbers: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        moments.step += 1;
        let (m, v) = (Moments::ready(&mut moments.m, numbers.len()), Moments::ready(&mut moments.v, numbers.len()));
        self.step_at(self.learning_rate, moments.step, numbers, gradient, (m, v));
    }

    fn step_at(
        &self,
        rate: f64,
        step: u32,
        parameters: &mut [f32],
        gradient: &[f32],
        (m, v): (&mut [f32], &mut [f32]),
    ) {
        let correction1 = 1.0 - self.beta1.powf(f64::from(step));
        let correction2_root = (1.0 - self.beta2.powf(f64::from(step))).sqrt() as f32;
        let (fresh1, beta2, fresh2) = ((1.0 - self.beta1) as f32, self.beta2 as f32, (1.0 - self.beta2) as f32);
        let epsilon = self.epsilon as f32;
        let decay = (1.0 - rate * self.weight_decay) as f32;
        let size = (rate / correction1) as f32;
        for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(m.iter_mut().zip(v)) {
            *m += fresh1 * (g - *m);
            *v = beta2 * *v + fresh2 * g * g;
            *p = decay * *p - size * *m / (v.sqrt() / correction2_root + epsilon);
        }
    }
}
