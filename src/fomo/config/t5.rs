//! `T5Config`: v1.0 with ReLU and a tied output, v1.1 with a gated GELU and an output of its own.

use super::ConfigError;
use super::fields::{Fields, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::architecture::{Activation, Architecture, Family, RelativePositions};

/// The activation, and whether it gates a second projection. `gated-gelu` is GPT-2's tanh form (Shazeer 2020's GEGLU).
const PROJECTIONS: [(&str, (Activation, bool)); 2] =
    [("relu", (Activation::Relu, false)), ("gated-gelu", (Activation::GeluTanh, true))];

/// Raffel et al. 2020, section 2.1; files from before transformers 4.16 do not say the distance.
const DEFAULT_BUCKETS: usize = 32;
const DEFAULT_MAX_DISTANCE: usize = 128;

/// What the decoder reads first: the padding token.
const DECODER_START: u32 = 0;

pub fn t5(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    fields.only("is_encoder_decoder", true)?;
    let (activation, gated_ffn) = fields.one_of("feed_forward_proj", Some(PROJECTIONS[0].1), &PROJECTIONS)?;
    // transformers derives these two from the one above, and lets a file say otherwise.
    fields.only("is_gated_act", gated_ffn)?;
    fields.only("dense_act_fn", if gated_ffn { "gelu_new" } else { "relu" })?;
    fields.only("decoder_start_token_id", DECODER_START)?;
    let heads = fields.size("num_heads", LARGEST_COUNT)?;
    let encoder_layers = fields.size("num_layers", LARGEST_COUNT)?;
    let buckets = fields.size_or("relative_attention_num_buckets", LARGEST_SIZE, DEFAULT_BUCKETS)?;
    // A quarter of the encoder's buckets, half of the decoder's, are single distances; both must leave some over.
    if !buckets.is_multiple_of(4) {
        return Err(fields.unsupported("relative_attention_num_buckets", "a multiple of 4"));
    }
    let max_distance = fields.size_or("relative_attention_max_distance", LARGEST_SIZE, DEFAULT_MAX_DISTANCE)?;
    if max_distance <= buckets / 2 {
        let expected = format!("more than half of relative_attention_num_buckets, {}", buckets / 2);
        return Err(fields.unsupported("relative_attention_max_distance", expected));
    }
    let tied = fields.flag("tie_word_embeddings", true)?;
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::T5,
        encoder_layers,
        decoder_layers: fields.size_or("num_decoder_layers", LARGEST_COUNT, encoder_layers)?,
        hidden: fields.size("d_model", LARGEST_SIZE)?,
        heads,
        kv_heads: heads,
        head_dim: fields.size("d_kv", LARGEST_SIZE)?,
        ffn: fields.size("d_ff", LARGEST_SIZE)?,
        gated_ffn,
        vocabulary: fields.size("vocab_size", LARGEST_SIZE)?,
        positions: 0,
        token_types: 0,
        image: None,
        norm_eps: fields.epsilon("layer_norm_epsilon")?,
        activation,
        rotary: None,
        relative_positions: Some(RelativePositions { buckets, max_distance }),
        // transformers 5 says under this name what the other field used to say, and sets the other to true.
        tied_output: fields.flag("scale_decoder_outputs", tied)?,
    })
}
