//! `ViTConfig`.

use super::ConfigError;
use super::fields::{Fields, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::architecture::{Activation, Architecture, Family, ImageGeometry};

/// Pixels: more than any camera's.
const LARGEST_SIDE: usize = 1 << 15;

pub fn vit(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    fields.only("qkv_bias", true)?;
    let hidden = fields.size("hidden_size", LARGEST_SIZE)?;
    let heads = fields.size("num_attention_heads", LARGEST_COUNT)?;
    let side_px = fields.size("image_size", LARGEST_SIDE)?;
    let patch_px = fields.size("patch_size", side_px)?;
    let patches_a_side = fields.divided("patch_size", patch_px, "image_size", side_px)?;
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::Vit,
        encoder_layers: fields.size("num_hidden_layers", LARGEST_COUNT)?,
        decoder_layers: 0,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: fields.divided("num_attention_heads", heads, "hidden_size", hidden)?,
        ffn: fields.size("intermediate_size", LARGEST_SIZE)?,
        gated_ffn: false,
        vocabulary: 0,
        // One position a patch, and one for the class token.
        positions: patches_a_side * patches_a_side + 1,
        token_types: 0,
        image: Some(ImageGeometry { side_px, patch_px, channels: fields.size_or("num_channels", LARGEST_COUNT, 3)? }),
        norm_eps: fields.epsilon("layer_norm_eps")?,
        activation: fields.one_of("hidden_act", None, &[("gelu", Activation::Gelu)])?,
        rotary: None,
        relative_positions: None,
        tied_output: false,
    })
}
