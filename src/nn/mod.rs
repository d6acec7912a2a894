//! The learning arithmetic: forward and backward passes of a frozen transformer with trainable PEFT parameters.
//!
//! There is no tape: a block's forward pass keeps what its backward pass needs, and the backward pass returns the
//! gradient of the block's input and of the *trainable* parameters only. Nothing below the lowest trainable parameter
//! is differentiated. Generic over [`Backend`](crate::backend::Backend); knows neither clocks nor devices nor files.
//!
//! Where to start: [`PeftMethod`] says what can be trained, [`ParameterLayout`] where it lies, [`Model`] holds what is
//! frozen, `block/` is one transformer block of any family, `pass.rs` strings blocks together so that they can be cut
//! anywhere, `stack.rs` runs the batches of many clients side by side. The formulas are in
//! `docs/learning_arithmetic.md` and `docs/peft.md`.

mod adaptive_rank;
mod answers;
mod block;
mod cut;
mod distillation;
mod error;
mod frozen_prefix;
mod gradient_projection;
mod layout;
mod memory;
mod model;
mod optimiser;
mod pass;
mod peft;
mod reader;
mod rows;
mod slots;
mod stack;
mod step;
mod sum_channel;
mod workspace;
mod zeroth_order;

use crate::fomo::names;

pub use answers::ClassAnswer;
pub use cut::{AtCut, Cut, Distortion};
pub use distillation::Learner;
pub use error::NnError;
pub use frozen_prefix::{Cached, FrozenPrefix, PrefixBudget, PrefixDepth};
pub use layout::{Group, Lowest, Overlaid, Owner, ParameterLayout, TensorSpec};
pub use memory::PassMemory;
pub use model::Model;
pub use optimiser::{AdamW, LossScale, Moments, Optimizer, Sgd};
pub use pass::{Pass, Share};
pub use peft::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, PeftMethod,
    PrefixConfig, PromptConfig, Selection, SelectiveConfig,
};

pub use crate::fomo::Projection;
pub use gradient_projection::project;
pub(crate) use reader::output_matrix;
pub use stack::{Evaluation, StackItem, StepOutcome};
pub use step::Stepped;
pub use sum_channel::SumChannel;
pub use zeroth_order::ZerothOrder;
