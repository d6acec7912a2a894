//! What sets a test apart from a plain one, as data of the operation; see [`super::StepOptions`].

use super::connections;
use super::ensemble::Ensemble;
use super::identity::IdentityBuilder;
use crate::nn::SumChannel;

/// How a test differs from a plain one. Every field's default means "not".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationOptions {
    /// What forms the sums of blocks that devices hold in slices.
    pub connections: Option<SumChannel>,
    /// Only the test samples of this domain.
    pub domain: Option<usize>,
    /// The state tested answers together with the companions.
    pub ensemble: Option<Ensemble>,
}

impl EvaluationOptions {
    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        b = connections::identify(b, self.connections.as_ref());
        if let Some(domain) = self.domain {
            b = b.text("domain").word(domain as u64);
        }
        match &self.ensemble {
            Some(ensemble) => ensemble.identify(b),
            None => b,
        }
    }
}
