//! What sets a test apart from a plain one, as data of the operation; see [`super::StepOptions`].

use super::connections;
use super::emulated::{self, Emulated};
use super::ensemble::Ensemble;
use super::identity::IdentityBuilder;
use crate::nn::SumChannel;
use std::sync::Arc;

/// How a test differs from a plain one. Every field's default means "not".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationOptions {
    /// What forms the sums of blocks that devices hold in slices.
    pub connections: Option<SumChannel>,
    /// Only the test samples of this domain.
    pub domain: Option<usize>,
    /// The state tested answers together with the companions.
    pub ensemble: Option<Ensemble>,
    /// The test runs on this emulator of the model.
    pub emulator: Option<Arc<Emulated>>,
}

impl EvaluationOptions {
    /// The same on `emulator`, or on the model itself.
    pub fn with_emulator(mut self, emulator: Option<Arc<Emulated>>) -> Self {
        self.emulator = emulator;
        self
    }

    /// Adds to `b` whatever is not default.
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        b = connections::identify(b, self.connections.as_ref());
        if let Some(domain) = self.domain {
            b = b.text("domain").word(domain as u64);
        }
        if let Some(ensemble) = &self.ensemble {
            b = ensemble.identify(b);
        }
        emulated::identify(b, self.emulator.as_deref())
    }
}
