//! What sets a test apart from a plain one, as data of the operation; see [`super::StepOptions`].

use super::identity::IdentityBuilder;

/// How a test differs from a plain one. Every field's default means "not".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationOptions {}

impl EvaluationOptions {
    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, b: IdentityBuilder) -> IdentityBuilder {
        b
    }
}
