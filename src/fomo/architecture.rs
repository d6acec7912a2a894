//! The geometry of a foundation model: everything about its shape, nothing about its values.

pub use crate::backend::Activation;

/// Families of transformers, distinguished by what a block computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Post-LN encoder, learned positions, GELU (Devlin et al. 2018).
    Bert,
    /// BERT without token types and with positions offset by the padding index (Liu et al. 2019).
    Roberta,
    /// Pre-LN decoder, learned positions, GELU (Radford et al. 2019).
    Gpt2,
    /// RMSNorm decoder, rotary positions, grouped-query attention, SwiGLU (Touvron et al. 2023).
    Llama,
    /// Encoder-decoder, relative position bias, ReLU or gated GELU (Raffel et al. 2020).
    T5,
    /// Pre-LN encoder over image patches (Dosovitskiy et al. 2021).
    Vit,
}

/// Shape of one model. Sizes count elements; `layers` counts blocks a split point can lie between.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    pub name: String,
    pub family: Family,
    /// Encoder blocks of an encoder or encoder-decoder; 0 for a decoder-only model.
    pub encoder_layers: usize,
    /// Decoder blocks; 0 for an encoder-only model.
    pub decoder_layers: usize,
    pub hidden: usize,
    pub heads: usize,
    /// Key/value heads; fewer than `heads` under grouped-query attention.
    pub kv_heads: usize,
    /// Size of one head; `heads * head_dim` differs from `hidden` in T5-3B and T5-11B.
    pub head_dim: usize,
    pub ffn: usize,
    /// Whether the FFN multiplies two projections of its input (SwiGLU, gated GELU).
    pub gated_ffn: bool,
    /// Entries of the token embedding; 0 for ViT.
    pub vocabulary: usize,
    /// Learned absolute positions; 0 where positions are rotary or relative.
    pub positions: usize,
    pub token_types: usize,
    /// Patch size in pixels and image side, for ViT; `None` otherwise.
    pub image: Option<ImageGeometry>,
    pub norm_eps: f64,
    /// Of the feed-forward layer; in a gated one, of the gate.
    pub activation: Activation,
    /// Rotary positions in place of learned ones.
    pub rotary: Option<RotaryGeometry>,
    /// A learned bias on attention scores by distance in place of learned positions.
    pub relative_positions: Option<RelativePositions>,
    /// Whether the output projection shares the embedding's weights.
    pub tied_output: bool,
}

/// Rotary position embedding (Su et al. 2021), halves of a head paired as Hugging Face's `rotate_half` pairs them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryGeometry {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Llama 3.1's stretching of long wavelengths (`rope_type: llama3` in config.json).
    pub scaling: Option<RotaryScaling>,
}

/// The four numbers of `rope_type: llama3`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryScaling {
    pub factor: f64,
    pub low_frequency_factor: f64,
    pub high_frequency_factor: f64,
    pub original_positions: f64,
}

/// T5's buckets of relative distance (Raffel et al. 2020, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativePositions {
    pub buckets: usize,
    pub max_distance: usize,
}

/// How an image becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageGeometry {
    pub side_px: usize,
    pub patch_px: usize,
    pub channels: usize,
}

impl Architecture {
    /// Number of blocks, encoder first; a split point is a number in `0..=blocks()`.
    pub fn blocks(&self) -> usize {
        self.encoder_layers + self.decoder_layers
    }
}
