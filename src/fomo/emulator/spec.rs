//! How an emulator is made, as scenarios say it.

use serde::{Deserialize, Serialize};

/// What to remove of a model, in this order: blocks, then width, rank and bits of the blocks between the tuned ones. Every
/// setting has a value that removes nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmulatorSpec {
    /// Blocks at either end that carry the adapters. They keep their shape.
    pub tuned_blocks: usize,
    /// Blocks that are left, the tuned ones among them; the others are dropped, evenly spread over the middle.
    pub keep_blocks: usize,
    /// Share of the columns of each feed-forward layer that is left, in (0, 1].
    pub ffn_share: f64,
    /// Share of the heads of each attention that is left, in (0, 1]; heads that share keys and values count as one.
    pub head_share: f64,
    /// Rank of the two factors that take the place of each matrix where they are smaller; `None` leaves matrices whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Bits in place of the model's precision; `None` rounds nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
}

/// Which weights are rounded, and how coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quantisation {
    /// 8 or 4.
    pub bits: u32,
    pub scope: QuantisationScope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantisationScope {
    /// Matrices of the blocks between the tuned ones.
    Middle,
    /// Frozen matrices of all blocks, the table of tokens and a language model's output matrix.
    Everything,
}

impl EmulatorSpec {
    /// One that keeps all of a model with this many blocks.
    pub fn whole(blocks: usize) -> Self {
        let (rank, quantisation) = (None, None);
        Self { tuned_blocks: 1, keep_blocks: blocks, ffn_share: 1.0, head_share: 1.0, rank, quantisation }
    }

    /// Whether blocks between the tuned ones differ from those of the model.
    pub(super) fn narrows(&self) -> bool {
        self.ffn_share < 1.0 || self.head_share < 1.0
    }
}
