//! `GPT2Config`.

use super::ConfigError;
use super::fields::{Fields, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::architecture::{Activation, Architecture, Family};

/// Two names of one function.
const ACTIVATIONS: [(&str, Activation); 2] =
    [("gelu_new", Activation::GeluTanh), ("gelu_pytorch_tanh", Activation::GeluTanh)];

pub fn gpt2(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    fields.only("scale_attn_weights", true)?;
    fields.only("scale_attn_by_inverse_layer_idx", false)?;
    fields.only("add_cross_attention", false)?;
    let hidden = fields.size("n_embd", LARGEST_SIZE)?;
    let heads = fields.size("n_head", LARGEST_COUNT)?;
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::Gpt2,
        encoder_layers: 0,
        decoder_layers: fields.size("n_layer", LARGEST_COUNT)?,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: fields.divided("n_head", heads, "n_embd", hidden)?,
        ffn: fields.size_or("n_inner", LARGEST_SIZE, 4 * hidden)?,
        gated_ffn: false,
        vocabulary: fields.size("vocab_size", LARGEST_SIZE)?,
        positions: fields.size("n_positions", LARGEST_SIZE)?,
        token_types: 0,
        image: None,
        norm_eps: fields.epsilon("layer_norm_epsilon")?,
        activation: fields.one_of("activation_function", Some(Activation::GeluTanh), &ACTIVATIONS)?,
        rotary: None,
        relative_positions: None,
        tied_output: fields.flag("tie_word_embeddings", true)?,
    })
}
