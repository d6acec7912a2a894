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
    /// The gate of a gated feed-forward layer; other architectures have none.
    FfnGate,
    FfnUp,
    FfnDown,
}

impl Projection {
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::AttentionOutput, Self::FfnGate, Self::FfnUp, Self::FfnDown];

    /// Those that the architecture's blocks have.
    pub fn of(architecture: &Architecture) -> impl Iterator<Item = Self> + use<> {
        let gated = architecture.gated_ffn;
        Self::ALL.into_iter().filter(move |p| gated || *p != Self::FfnGate)
    }

    /// As scenarios spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::AttentionOutput => "attention_output",
            Self::FfnGate => "ffn_gate",
            Self::FfnUp => "ffn_up",
            Self::FfnDown => "ffn_down",
        }
    }

    /// `(inputs, outputs)`.
    pub fn shape(self, architecture: &Architecture) -> (usize, usize) {
        let Architecture { hidden, ffn, heads, kv_heads, head_dim, .. } = *architecture;
        match self {
            Self::Query => (hidden, heads * head_dim),
            Self::Key | Self::Value => (hidden, kv_heads * head_dim),
            Self::AttentionOutput => (heads * head_dim, hidden),
            Self::FfnGate | Self::FfnUp => (hidden, ffn),
            Self::FfnDown => (ffn, hidden),
        }
    }
}
