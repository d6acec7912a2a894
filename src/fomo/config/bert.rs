//! `BertConfig`, `RobertaConfig` and `XLMRobertaConfig`, which share their fields.

use super::ConfigError;
use super::fields::{Fields, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::architecture::{Activation, Architecture, Family};

pub fn bert(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    encoder(name, Family::Bert, fields)
}

pub fn roberta(name: &str, fields: &Fields) -> Result<Architecture, ConfigError> {
    // Positions start behind the padding token's number, which is 1 in every published vocabulary.
    fields.only("pad_token_id", 1)?;
    encoder(name, Family::Roberta, fields)
}

fn encoder(name: &str, family: Family, fields: &Fields) -> Result<Architecture, ConfigError> {
    fields.only("position_embedding_type", "absolute")?;
    fields.only("is_decoder", false)?;
    fields.only("add_cross_attention", false)?;
    let hidden = fields.size("hidden_size", LARGEST_SIZE)?;
    let heads = fields.size("num_attention_heads", LARGEST_COUNT)?;
    Ok(Architecture {
        name: name.to_owned(),
        family,
        encoder_layers: fields.size("num_hidden_layers", LARGEST_COUNT)?,
        decoder_layers: 0,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: fields.divided("num_attention_heads", heads, "hidden_size", hidden)?,
        ffn: fields.size("intermediate_size", LARGEST_SIZE)?,
        gated_ffn: false,
        vocabulary: fields.size("vocab_size", LARGEST_SIZE)?,
        positions: fields.size("max_position_embeddings", LARGEST_SIZE)?,
        token_types: fields.size("type_vocab_size", LARGEST_SIZE)?,
        image: None,
        norm_eps: fields.epsilon("layer_norm_eps")?,
        activation: fields.one_of("hidden_act", None, &[("gelu", Activation::Gelu)])?,
        rotary: None,
        relative_positions: None,
        tied_output: fields.flag("tie_word_embeddings", true)?,
    })
}
