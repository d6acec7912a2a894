//! What sets a test apart from a plain one, as data of the operation; see [`super::StepOptions`].

use super::ensemble::Ensemble;
use super::identity::IdentityBuilder;

/// How a test differs from a plain one. Every field's default means "not".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationOptions {
    /// Only the test samples of this domain.
    pub domain: Option<usize>,
    /// The state tested answers together with the companions.
    pub ensemble: Option<Ensemble>,
}

impl EvaluationOptions {
    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        if let Some(domain) = self.domain {
            b = b.text("domain").word(domain as u64);
        }
        match &self.ensemble {
            Some(ensemble) => ensemble.identify(b),
            None => b,
        }
    }
}
