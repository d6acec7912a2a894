//! Stochastic gradient descent.

use super::super::ParameterLayout;
use super::Moments;

/// SGD with momentum (Polyak 1964) as `torch.optim.SGD` computes it: no dampening, weight decay as part of the
/// gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    pub learning_rate: f64,
    /// Of the task head, which often wants a larger one.
    pub head_learning_rate: f64,
    /// 0 for none, which keeps no memory between steps.
    pub momentum: f64,
    pub weight_decay: f64,
}

impl Sgd {
    /// `g += wd p`, `m = momentum m + g`, `p -= lr m`.
    pub(super) fn step(
        &self,
        layout: &ParameterLayout,
        parameters: &mut [f32],
        gradient: &[f32],
        moments: &mut Moments,
    ) {
        let (momentum, decay) = (self.momentum as f32, self.weight_decay as f32);
        for tensor in layout.tensors() {
            let rate = tensor.group.rate(self.learning_rate, self.head_learning_rate) as f32;
            let range = tensor.range();
            let values = parameters[range.clone()].iter_mut().zip(&gradient[range.clone()]);
            if self.momentum == 0.0 {
                values.for_each(|(p, &g)| *p -= rate * (g + decay * *p));
                continue;
            }
            let velocity = Moments::ready(&mut moments.m, layout.len());
            for ((p, &g), m) in values.zip(&mut velocity[range]) {
                *m = momentum * *m + (g + decay * *p);
                *p -= rate * *m;
            }
        }
    }
}
