//! Dynamic loss scaling for gradients that pass through half precision.

/// The factor that keeps small gradients above half precision's smallest numbers (Micikevicius et al. 2018, section
/// 3.2), moved as `torch.amp.GradScaler` moves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// What the loss is multiplied by before the backward pass.
    pub scale: f32,
    /// Steps since the last overflow or growth.
    pub good_steps: u32,
}

const START: f32 = 65_536.0;
const GROWTH: f32 = 2.0;
const BACKOFF: f32 = 0.5;
const GROWTH_INTERVAL: u32 = 2_000;

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: START, good_steps: 0 }
    }
}

impl LossScale {
    /// Divides a gradient by the scale and moves the scale. Returns whether the gradient is finite; if not, the step is
    /// to be skipped.
    pub fn unscale(&mut self, gradient: &mut [f32]) -> bool {
        let inverse = self.scale.recip();
        gradient.iter_mut().for_each(|g| *g *= inverse);
        let finite = gradient.iter().all(|g| g.is_finite());
        self.follow(finite);
        finite
    }

    /// Moves the scale after a gradient that was finite, or not.
    pub(in super::super) fn follow(&mut self, finite: bool) {
        self.good_steps += 1;
        if !finite {
            *self = Self { scale: self.scale * BACKOFF, good_steps: 0 };
        } else if self.good_steps == GROWTH_INTERVAL {
            // Beyond the largest number the scale stays where it is.
            let grown = self.scale * GROWTH;
            *self = Self { scale: if grown.is_finite() { grown } else { self.scale }, good_steps: 0 };
        }
    }
}
