//! What sets a local step apart from a plain one, as data of the operation.
//!
//! A technique that bends a step (parameters that stay as they are, a channel inside the model, a proximal term) says so
//! here, in a field of its own whose default means "not". Options that are all default leave no mark on the operation's
//! identity, so techniques share the numbers of the steps that they have in common.

use super::gradient_terms::GradientTerms;
use super::identity::IdentityBuilder;
use std::ops::Range;

/// How a local step differs from a plain one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// Entries of the flat parameters that the step may change, ascending and disjoint; `None` for all.
    pub trained: Option<Vec<Range<usize>>>,
    /// What is added to the gradient; ignored where none is computed.
    pub gradient: GradientTerms,
}

impl StepOptions {
    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        if let Some(trained) = &self.trained {
            b = b.text("trained").word(trained.len() as u64);
            b = trained.iter().fold(b, |b, r| b.word(r.start as u64).word(r.end as u64));
        }
        self.gradient.identify(b)
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
