//! An emulator as operations know it: what is left of the model, and how that was fitted to the model.

use super::distillation::Distillation;
use super::identity::IdentityBuilder;
use crate::fomo::Emulator;

/// A smaller model in place of the trained one, which has the same trainable parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Emulated {
    pub(super) emulator: Emulator,
    /// `None` where what is left stays as it is.
    pub(super) distillation: Option<Distillation>,
}

impl From<Emulator> for Emulated {
    fn from(emulator: Emulator) -> Self {
        Self { emulator, distillation: None }
    }
}

impl Emulated {
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// The same before it was fitted to the model.
    pub fn undistilled(&self) -> Self {
        self.emulator.clone().into()
    }
}

/// Adds to `b` which emulator an operation runs on; the model itself leaves no mark.
pub(super) fn identify(b: IdentityBuilder, emulated: Option<&Emulated>) -> IdentityBuilder {
    let Some(emulated) = emulated else { return b };
    let b = b.text("emulator").text(&format!("{:?}", emulated.emulator.spec()));
    match &emulated.distillation {
        Some(distillation) => distillation.identify(b),
        None => b,
    }
}
