//! The products of a transformer block that PEFT methods attach to.

use super::architecture::Architecture;
use serde::{Deserialize, Serialize};

/// A frozen product of a block, in the order in which its parameters are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    Query,
    Key,
    Value,
    AttentionOutput,
    FfnUp,
    FfnDown,
}

impl Projection {
    pub const ALL: [Self; 6] = [Self::Query, Self::Key, Self::Value, Self::AttentionOutput, Self::FfnUp, Self::FfnDown];

    /// Name of the module inside a BERT block, as in Hugging Face checkpoints.
    pub fn module(self) -> &'static str {
        match self {
            Self::Query => "attention.self.query",
            Self::Key => "attention.self.key",
            Self::Value => "attention.self.value",
            Self::AttentionOutput => "attention.output.dense",
            Self::FfnUp => "intermediate.dense",
            Self::FfnDown => "output.dense",
        }
    }

    /// `(inputs, outputs)`. A gated FFN's second up projection is not a target.
    pub fn shape(self, architecture: &Architecture) -> (usize, usize) {
        let Architecture { hidden, ffn, heads, kv_heads, head_dim, .. } = *architecture;
        match self {
            Self::Query => (hidden, heads * head_dim),
            Self::Key | Self::Value => (hidden, kv_heads * head_dim),
            Self::AttentionOutput => (heads * head_dim, hidden),
            Self::FfnUp => (hidden, ffn),
            Self::FfnDown => (ffn, hidden),
        }
    }
}
