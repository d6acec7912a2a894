//! `LlamaConfig`, and `MistralConfig` without its sliding window, which computes the same.

use super::ConfigError;
use super::fields::{Fields, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::architecture::{Activation, Architecture, Family, RotaryGeometry, RotaryScaling};

/// Two names of one function.
const ACTIVATIONS: [(&str, Activation); 2] = [("silu", Activation::Silu), ("swish", Activation::Silu)];

/// `rope_theta` where the file has none.
const DEFAULT_THETA: f64 = 10_000.0;

/// What `sliding_window` must say.
const NO_WINDOW: &str = "null: attention to all earlier positions";

pub fn mistral(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    // An absent field means a window of 4096 positions here.
    if !fields.is_null("sliding_window") {
        return Err(fields.unsupported("sliding_window", NO_WINDOW));
    }
    llama(name, fields)
}

pub fn llama(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    fields.only("attention_bias", false)?;
    fields.only("mlp_bias", false)?;
    fields.only("rope_interleaved", false)?;
    fields.only("partial_rotary_factor", 1.0)?;
    if fields.get("sliding_window").is_some() {
        return Err(fields.unsupported("sliding_window", NO_WINDOW));
    }
    let hidden = fields.size("hidden_size", LARGEST_SIZE)?;
    let heads = fields.size("num_attention_heads", LARGEST_COUNT)?;
    let kv_heads = fields.size_or("num_key_value_heads", LARGEST_COUNT, heads)?;
    fields.divided("num_key_value_heads", kv_heads, "num_attention_heads", heads)?;
    let head_dim = match fields.get("head_dim") {
        Some(_) => fields.size("head_dim", LARGEST_SIZE)?,
        None => fields.divided("num_attention_heads", heads, "hidden_size", hidden)?,
    };
    if !head_dim.is_multiple_of(2) {
        let name = if fields.get("head_dim").is_some() { "head_dim" } else { "num_attention_heads" };
        return Err(fields.unsupported(name, format!("one that makes heads of an even size, not {head_dim}")));
    }
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::Llama,
        encoder_layers: 0,
        decoder_layers: fields.size("num_hidden_layers", LARGEST_COUNT)?,
        hidden,
        heads,
        kv_heads,
        head_dim,
        ffn: fields.size("intermediate_size", LARGEST_SIZE)?,
        gated_ffn: true,
        vocabulary: fields.size("vocab_size", LARGEST_SIZE)?,
        positions: 0,
        token_types: 0,
        image: None,
        norm_eps: fields.epsilon("rms_norm_eps")?,
        activation: fields.one_of("hidden_act", Some(Activation::Silu), &ACTIVATIONS)?,
        rotary: Some(rotary(fields)?),
        relative_positions: None,
        tied_output: fields.flag("tie_word_embeddings", false)?,
    })
}

/// `rope_parameters` of transformers 5, or `rope_theta` and `rope_scaling` of those before.
///
/// transformers 5 takes whichever of the two objects is there and not empty, and a `rope_theta` in it before the one
/// outside.
fn rotary(fields: &Fields) -> Result<RotaryGeometry, ConfigError> {
    let outer_theta = fields.positive("rope_theta", Some(DEFAULT_THETA))?;
    let old = fields.nested("rope_scaling", "rope_scaling.")?.filter(|old| !old.is_empty());
    let new = fields.nested("rope_parameters", "rope_parameters.")?.filter(|new| !new.is_empty());
    if let (Some(old), Some(new)) = (&old, &new)
        && !old.says_the_same_as(new)
    {
        return Err(fields.unsupported("rope_parameters", "the same as rope_scaling, or only one of the two"));
    }
    let Some(parameters) = old.or(new) else { return Ok(RotaryGeometry { theta: outer_theta, scaling: None }) };
    let theta = parameters.positive("rope_theta", Some(outer_theta))?;
    Ok(RotaryGeometry { theta, scaling: scaling(&parameters)? })
}

/// What stretches the wavelengths: nothing, or Llama 3.1's rule.
fn scaling(parameters: &Fields) -> Result<Option<RotaryScaling>, ConfigError> {
    parameters.only("partial_rotary_factor", 1.0)?;
    // Files from before transformers 4.45 call it `type`.
    let name = if parameters.get("rope_type").is_some() { "rope_type" } else { "type" };
    if !parameters.one_of(name, Some(false), &[("default", false), ("llama3", true)])? {
        return Ok(None);
    }
    let number = |name| parameters.positive(name, None);
    let scaling = RotaryScaling {
        factor: number("factor")?,
        low_frequency_factor: number("low_freq_factor")?,
        high_frequency_factor: number("high_freq_factor")?,
        original_positions: number("original_max_position_embeddings")?,
    };
    if scaling.high_frequency_factor <= scaling.low_frequency_factor {
        return Err(parameters.unsupported("high_freq_factor", "more than low_freq_factor"));
    }
    Ok(Some(scaling))
}
