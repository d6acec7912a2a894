//! `ViTConfig`, and what `ViTImageProcessor` does to pixels.

use super::ConfigError;
use super::fields::{Fields, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::architecture::{Activation, Architecture, Family, ImageGeometry};
use serde_json::Value;

/// Pixels: more than any camera's.
const LARGEST_SIDE: usize = 1 << 15;

/// What pixels of 0 to 255 are multiplied by, then have subtracted, then are divided by: `deft` knows no others.
const RESCALE_FACTOR: f64 = 1.0 / 255.0;
const MEAN_AND_STD: f64 = 0.5;
/// Files have these numbers in decimal digits.
const ROUNDING: f64 = 1e-6;

/// Checks a `preprocessor_config.json`: fields of resizing are not looked at, since `deft` resizes nothing.
///
/// # Errors
/// Names the file and the field that would give the model other numbers than `deft` does.
pub fn check_preprocessor(fields: &Fields) -> Result<(), ConfigError> {
    fields.only("do_rescale", true)?;
    fields.only("do_normalize", true)?;
    let near = |value: &Value, expected: f64| value.as_f64().is_some_and(|n| (n - expected).abs() <= ROUNDING);
    if fields.get("rescale_factor").is_some_and(|factor| !near(factor, RESCALE_FACTOR)) {
        return Err(fields.unsupported("rescale_factor", "1 / 255"));
    }
    for name in ["image_mean", "image_std"] {
        let fits = |value: &Value| match value {
            Value::Array(channels) => channels.iter().all(|n| near(n, MEAN_AND_STD)),
            one => near(one, MEAN_AND_STD),
        };
        if fields.get(name).is_some_and(|value| !fits(value)) {
            return Err(fields.unsupported(name, format!("{MEAN_AND_STD} for every channel")));
        }
    }
    Ok(())
}

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
