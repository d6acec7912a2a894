//! deft: an emulator of device-edge cooperative fine-tuning of foundation models over wireless networks.
pub mod random;
