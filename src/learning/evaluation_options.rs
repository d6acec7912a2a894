//! What sets a test apart from a plain one, as data of the operation; see [`super::StepOptions`].

use super::identity::IdentityBuilder;
use crate::fomo::Emulator;
use std::sync::Arc;

/// How a test differs from a plain one. Every field's default means "not".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationOptions {
    /// The test runs on this emulator of the model.
    pub emulator: Option<Arc<Emulator>>,
}

impl EvaluationOptions {
    /// The same on `emulator`, or on the model itself.
    pub fn with_emulator(mut self, emulator: Option<Arc<Emulator>>) -> Self {
        self.emulator = emulator;
        self
    }

    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        if let Some(emulator) = &self.emulator {
            b = b.text("emulator").text(&format!("{:?}", emulator.spec()));
        }
        b
    }
}
