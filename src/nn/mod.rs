//! The learning arithmetic: forward and backward passes of a frozen transformer with trainable PEFT parameters.
//!
//! There is no tape: a block's forward pass keeps what its backward pass needs, and the backward pass returns the
//! gradient of the block's input and of the *trainable* parameters only. Nothing below the lowest trainable parameter
//! is differentiated. Generic over [`Backend`](crate::backend::Backend); knows neither clocks nor devices nor files.
//!
//! Where to start: [`ParameterLayout`] says what is trained, [`Model`] holds what is frozen, `block.rs` is one
//! transformer block, `pass.rs` strings blocks together so that they can be cut anywhere, `stack.rs` runs the batches of
//! many clients side by side. The formulas are in `docs/learning_arithmetic.md`.

mod block;
mod error;
mod layout;
mod model;
mod optimiser;
mod pass;
mod peft;
mod stack;
mod workspace;

pub use error::NnError;
pub use layout::{Group, Owner, ParameterLayout, TensorSpec};
pub use model::Model;
pub use optimiser::{AdamW, Moments};
pub use pass::{Pass, Share};
pub use peft::{LoraConfig, PeftMethod};

pub use crate::fomo::Projection;
pub use stack::{Evaluation, StackItem, StepOutcome};
