//! Steps that a backend takes itself: gradients never come to the host.
//!
//! The outcome is that of [`Model::loss_and_gradients`], [`LossScale::unscale`](super::LossScale::unscale) and AdamW on the
//! host, item by item; sums over a batch's chunks are made in the same order.

use super::rows::targets_of;
use super::{AdamW, Model, Moments, ParameterLayout, StackItem};
use crate::backend::{Backend, Underway, Updated};

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
        // Waited for when all have begun: a device goes on to the next item meanwhile.
        let mut begun: Vec<(f64, Underway)> = Vec::with_capacity(stack.len());
        let mut open = Open { gradient: B::Buffer::default(), loss: 0.0 };
        self.backend.zero_sums(&mut open.gradient, layout.len());
        let mut close = |open: &mut Open<B>| {
            let (item, before) = (&stack[begun.len()], &moments[begun.len()]);
            let (scalars, memory) = (rule.scalars(layout, before.step + 1), [&before.m, &before.v]);
            let (gradient, inverse_scale) = (&mut open.gradient, item.loss_scale.recip());
            let step = self.backend.adamw(&scalars, gradient, inverse_scale, item.parameters, memory);
            begun.push((std::mem::take(&mut open.loss), step));
            self.backend.zero_sums(&mut open.gradient, layout.len());
            begun.len()
        };
        let mut current = 0;
        for jobs in self.passes(layout, stack, &jobs) {
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
        let steps = begun.into_iter().zip(moments);
        Some(steps.map(|((loss, step), moments)| Stepped { loss, parameters: follow(moments, step.wait()) }).collect())
    }
}

/// The parameters after a step, whose memory and loss scale follow.
fn follow(moments: &mut Moments, Updated { parameters, moments: updated }: Updated) -> Vec<f32> {
    moments.loss_scale.follow(updated.is_some());
    if let Some(updated) = updated {
        moments.step += 1;
        moments.run_step += 1;
        [moments.m, moments.v] = updated;
    }
    parameters
}

/// The item whose chunks are being summed.
struct Open<B: Backend> {
    gradient: B::Buffer,
    loss: f64,
}
