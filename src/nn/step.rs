//! Steps that a backend takes itself: gradients never come to the host.
//!
//! The outcome is that of [`Model::loss_and_gradients`], [`LossScale::unscale`](super::LossScale::unscale) and AdamW on the
//! host, item by item; sums over a batch's chunks are made in the same order.

use super::rows::targets_of;
use super::{AdamW, Model, Moments, ParameterLayout, StackItem};
use crate::backend::Backend;

/// Loss of an item's batch, and its parameters after a step along the gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    pub loss: f64,
    pub parameters: Vec<f32>,
}

impl<B: Backend> Model<B> {
    /// A step of `rule` for every item of a stack, in half precision; `moments`, one an item, follow. A step whose gradient
    /// left the range of half precision moves nothing and lowers the loss scale. `None` where this backend leaves steps to
    /// the host; a layout's ranks must not move.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradients`].
    pub fn adamw_steps(
        &self,
        layout: &ParameterLayout,
        stack: &[StackItem<'_>],
        rule: &AdamW,
        moments: &mut [Moments],
    ) -> Option<Vec<Stepped>> {
        if !self.backend.takes_steps() {
            return None;
        }
        let jobs = self.jobs(stack);
        let mut stepped = Vec::with_capacity(stack.len());
        let mut open = Open { gradient: B::Buffer::default(), loss: 0.0 };
        self.backend.zero_sums(&mut open.gradient, layout.len());
        let mut close = |open: &mut Open<B>| {
            let item = stepped.len();
            let parameters = self.adamw_step(layout, &stack[item], rule, &mut open.gradient, &mut moments[item]);
            stepped.push(Stepped { loss: std::mem::take(&mut open.loss), parameters });
            self.backend.zero_sums(&mut open.gradient, layout.len());
            stepped.len()
        };
        let mut current = 0;
        for jobs in self.passes(stack, &jobs) {
            let (losses, pass) = self.pass_over(layout, stack, jobs);
            for (share, ((item, _), loss)) in jobs.iter().zip(losses).enumerate() {
                while current < *item {
                    current = close(&mut open);
                }
                pass.add_gradient(share, &mut open.gradient);
                open.loss += loss / targets_of(layout.objective(), stack[*item].batch) as f64;
            }
        }
        while current < stack.len() {
            current = close(&mut open);
        }
        Some(stepped)
    }

    fn adamw_step(
        &self,
        layout: &ParameterLayout,
        item: &StackItem<'_>,
        rule: &AdamW,
        gradient: &mut B::Buffer,
        moments: &mut Moments,
    ) -> Vec<f32> {
        let scalars = rule.scalars(layout, moments.step + 1);
        let memory = [&moments.m, &moments.v];
        let updated = self.backend.adamw(&scalars, gradient, item.loss_scale.recip(), item.parameters, memory);
        moments.loss_scale.follow(!updated.overflowed);
        if !updated.overflowed {
            moments.step += 1;
            moments.run_step += 1;
            [moments.m, moments.v] = updated.moments;
        }
        updated.parameters
    }
}

/// The item whose chunks are being summed.
struct Open<B: Backend> {
    gradient: B::Buffer,
    loss: f64,
}
