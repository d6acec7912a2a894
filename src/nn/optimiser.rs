//! AdamW on a client's flat vector of trainable parameters.

use super::{Group, ParameterLayout};

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

/// The optimiser's memory between steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub m: Vec<f32>,
    /// Running mean of its square.
    pub v: Vec<f32>,
    /// Steps taken.
    pub step: u32,
}

impl Moments {
    /// Before the first step of a vector of `len` parameters.
    pub fn new(len: usize) -> Self {
        Self { m: vec![0.0; len], v: vec![0.0; len], step: 0 }
    }
}

impl AdamW {
    /// One step: `p *= 1 - lr wd`, `m += (1 - b1)(g - m)`, `v = b2 v + (1 - b2) g^2`,
    /// `p -= lr / (1 - b1^k) * m / (sqrt(v) / sqrt(1 - b2^k) + eps)`.
    ///
    /// # Panics
    /// If the vectors do not all have the layout's length.
    pub fn update(&self, layout: &ParameterLayout, parameters: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        let lengths = [parameters.len(), gradient.len(), moments.m.len(), moments.v.len()];
        assert_eq!(lengths, [layout.len(); 4], "vectors of another layout");
        moments.step += 1;
        let correction1 = 1.0 - self.beta1.powf(f64::from(moments.step));
        let correction2_root = (1.0 - self.beta2.powf(f64::from(moments.step))).sqrt() as f32;
        let (fresh1, beta2, fresh2) = ((1.0 - self.beta1) as f32, self.beta2 as f32, (1.0 - self.beta2) as f32);
        let epsilon = self.epsilon as f32;
        for tensor in layout.tensors() {
            let rate = if tensor.group == Group::Head { self.head_learning_rate } else { self.learning_rate };
            let decay = (1.0 - rate * self.weight_decay) as f32;
            let size = (rate / correction1) as f32;
            let range = tensor.range();
            let memory = moments.m[range.clone()].iter_mut().zip(&mut moments.v[range.clone()]);
            for ((p, &g), (m, v)) in parameters[range.clone()].iter_mut().zip(&gradient[range]).zip(memory) {
                *m += fresh1 * (g - *m);
                *v = beta2 * *v + fresh2 * g * g;
                *p = decay * *p - size * *m / (v.sqrt() / correction2_root + epsilon);
            }
        }
    }
}
