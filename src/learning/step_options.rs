//! What sets a local step apart from a plain one, as data of the operation.
//!
//! A technique that bends a step (parameters that stay as they are, a channel inside the model, a proximal term) says so
//! here, in a field of its own whose default means "not". Options that are all default leave no mark on the operation's
//! identity, so techniques share the numbers of the steps that they have in common.

use super::connections;
use super::emulated::{self, Emulated};
use super::gradient_terms::GradientTerms;
use super::identity::IdentityBuilder;
use super::slopes::SharedDirection;
use crate::nn::{Cut, Distortion, SumChannel};
use std::ops::Range;
use std::sync::Arc;

/// How a local step differs from a plain one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// Entries of the flat parameters that the step may change, ascending and disjoint; `None` for all.
    pub trained: Option<Vec<Range<usize>>>,
    /// A cut at which something happens to activations and gradients; `None` where they cross as they are.
    pub cut: Option<Cut>,
    /// What forms the sums of blocks that devices hold in slices, forward and backward; client and step are added to its
    /// key.
    pub connections: Option<SumChannel>,
    /// The gradient is known only through a random projection to so many numbers.
    pub projection_dimension: Option<usize>,
    /// A zeroth-order step along the direction that all clients share, not one of its own.
    pub shared_direction: Option<SharedDirection>,
    /// The step runs on this emulator of the model, whose trainable parameters are the model's.
    pub emulator: Option<Arc<Emulated>>,
    /// What is added to the gradient, once it has come through whatever the others say; nothing where none is computed.
    pub gradient: GradientTerms,
}

impl StepOptions {
    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        if let Some(trained) = &self.trained {
            b = b.text("trained").word(trained.len() as u64);
            b = trained.iter().fold(b, |b, r| b.word(r.start as u64).word(r.end as u64));
        }
        if let Some(Cut { block, up, down }) = &self.cut {
            b = b.text("cut").word(*block as u64);
            b = [up, down].into_iter().fold(b, |b, distortion| identify_distortion(distortion, b));
        }
        b = connections::identify(b, self.connections.as_ref());
        if let Some(dimension) = self.projection_dimension {
            b = b.text("projection").word(dimension as u64);
        }
        if let Some(direction) = self.shared_direction {
            b = direction.identify(b);
        }
        self.gradient.identify(emulated::identify(b, self.emulator.as_deref()))
    }

    /// Whether the optimiser gets the gradient as the backward pass leaves it.
    pub(super) fn leaves_gradients(&self) -> bool {
        self.projection_dimension.is_none() && self.gradient == GradientTerms::default()
    }

    /// Puts back what the step was not to change.
    pub(super) fn restore_untrained(&self, before: &[f32], after: &mut [f32]) {
        let Some(trained) = &self.trained else { return };
        let mut from = 0;
        for range in trained.iter().chain(std::iter::once(&(after.len()..after.len()))) {
            after[from..range.start].copy_from_slice(&before[from..range.start]);
            from = range.end;
        }
    }
}

fn identify_distortion(distortion: &Distortion, b: IdentityBuilder) -> IdentityBuilder {
    match *distortion {
        Distortion::None => b.text("none"),
        Distortion::Half => b.text("half"),
        Distortion::Quantise { bits, per_token } => b.text("quantise").word(u64::from(bits)).word(u64::from(per_token)),
        Distortion::TopK { kept_fraction } => b.text("top_k").real(kept_fraction),
        Distortion::SparseQuantise { kept_fraction, bits } => {
            b.text("sparse_quantise").real(kept_fraction).word(u64::from(bits))
        }
        Distortion::MergeTokens { kept_fraction } => b.text("merge_tokens").real(kept_fraction),
        Distortion::Noise { snr } => b.text("noise").real(snr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trained_entries_keep_their_new_values() {
        let options = StepOptions { trained: Some(vec![1..2, 3..5]), ..StepOptions::default() };
        let mut after = [9.0; 6];
        options.restore_untrained(&[0.0; 6], &mut after);
        assert_eq!(after, [0.0, 9.0, 0.0, 9.0, 9.0, 0.0]);
        StepOptions::default().restore_untrained(&[0.0; 6], &mut after);
        assert_eq!(after, [0.0, 9.0, 0.0, 9.0, 9.0, 0.0]);
    }
}
