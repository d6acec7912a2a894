//! What sets a test apart from a plain one, as data of the operation; see [`super::StepOptions`].

use super::connections;
use super::identity::IdentityBuilder;
use crate::nn::SumChannel;

/// How a test differs from a plain one. Every field's default means "not".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationOptions {
    /// What forms the sums of blocks that devices hold in slices.
    pub connections: Option<SumChannel>,
}

impl EvaluationOptions {
    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        connections::identify(b, self.connections.as_ref())
    }
}
