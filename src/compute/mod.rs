//! How long work takes on a piece of hardware, what it draws, and whether it fits.
//!
//! Knows floating-point operations, bytes, watts and virtual time; nothing of models, radios or networks. The
//! figures are data (`hardware.csv`, one row a device, each with its source). Start with [`HardwareProfile`].

mod battery;
mod energy;
mod hardware;
mod memory;
mod precision;
mod roofline;
mod split_choice;

pub use battery::Battery;
pub use hardware::{HardwareClass, HardwareProfile, names, profile};
pub use precision::Precision;
pub use roofline::Work;
pub use split_choice::{CutChoice, CutCost, CutObjective, best_cut};

/// What can be wrong with a demand on hardware.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    #[error(
        "{hardware} offers {available_bytes} bytes to fine-tuning, {required_bytes} are needed; \
         take a smaller batch, shorter sequences, a lower split point, fewer bits a weight, or other hardware"
    )]
    OutOfMemory { hardware: String, required_bytes: u64, available_bytes: u64 },
}
