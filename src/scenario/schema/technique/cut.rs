//! What happens at the cut of a split model: what crosses it, over what, and who trains on which side.

use serde::{Deserialize, Serialize};

/// How a split technique treats its cut. The default is the plain one: everything crosses as it is, over the digital
/// link, labels with it; both sides train, each device beside its own copy of the edge side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CutSpec {
    pub compression: CutCompression,
    pub channel: CutChannel,
    pub labels: LabelPlace,
    pub device_side: DeviceSide,
    /// Whether the edge keeps what a sample's activations were, so that they cross once. Needs a frozen device side.
    pub cache_activations: bool,
    /// Pieces of a mini-batch whose computing and transmission overlap; 1 is the batch as a whole.
    pub micro_batches: usize,
    pub server_side: ServerSide,
}

impl Default for CutSpec {
    fn default() -> Self {
        Self {
            compression: CutCompression::None,
            channel: CutChannel::Digital,
            labels: LabelPlace::Edge,
            device_side: DeviceSide::Trained,
            cache_activations: false,
            micro_batches: 1,
            server_side: ServerSide::PerDevice,
        }
    }
}

/// How activations and their gradients are made smaller before they cross.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum CutCompression {
    None,
    /// Rounded to 16 bits.
    Fp16,
    /// Stochastic rounding to `bits` bits, sign included, between plus and minus the largest magnitude.
    Quantise {
        bits: u32,
        scale: QuantiserScale,
    },
    /// This share of each token's values, the largest in magnitude; the rest become 0.
    TopK {
        kept_fraction: f64,
    },
    /// This share of each token's values, the largest in magnitude, stochastically rounded to `bits` bits, sign included,
    /// between plus and minus the largest; the rest become 0.
    SparseQuantised {
        kept_fraction: f64,
        bits: u32,
    },
    /// The smallest form for each device whose expected squared error, over the values' squares, is at most this.
    Auto {
        largest_error: f64,
    },
    /// Neighbouring tokens that are alike become their mean, until this share of a sample's tokens is left.
    MergeTokens {
        kept_fraction: f64,
    },
}

/// Whose largest magnitude is the end of the quantiser's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantiserScale {
    /// Each sample's.
    Sample,
    /// Each token's.
    Token,
}

/// What carries activations and gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutChannel {
    /// Coded packets, sent again where they are lost: values arrive as they were sent.
    Digital,
    /// Values as amplitudes of symbols: they arrive at once, with the link's noise on them.
    Analog,
}

/// Who has the labels, and so the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelPlace {
    /// Labels go up with the activations.
    Edge,
    /// Labels and head stay on the device: the U shape (Gupta and Raskar 2018).
    Device,
}

/// Whether the trainable parameters below the cut train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSide {
    Trained,
    /// The device runs forward only and nothing comes back.
    Frozen,
}

/// How many copies of the edge side a round has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerSide {
    /// One a device, averaged after the round (SplitFedV1).
    PerDevice,
    /// One for all, trained by their batches as they arrive (SplitFedV2).
    Shared,
}
