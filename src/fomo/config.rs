//! Reads the `config.json` of a published BERT checkpoint into an [`Architecture`].

use super::architecture::{Activation, Architecture, Family};

/// Why a `config.json` does not describe a model that `deft` can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{file}: not a model configuration: {cause}")]
    Malformed { file: String, cause: String },
    #[error("{file}: {field} is {found}, expected {expected}")]
    Unsupported { file: String, field: &'static str, found: String, expected: String },
}

/// The fields of Hugging Face's `BertConfig` that decide shapes or arithmetic, under their names there.
#[derive(serde::Deserialize)]
struct BertConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// A model larger than any: keeps a wrong file from asking for all memory.
const LARGEST: usize = 1 << 24;

/// `name` becomes the architecture's name, `file` is for messages. Only BERT is understood.
pub fn bert_from_config(name: &str, file: &str, json: &[u8]) -> Result<Architecture, ConfigError> {
    let malformed = |cause: String| ConfigError::Malformed { file: file.to_owned(), cause };
    let unsupported = |field, found: String, expected: &str| ConfigError::Unsupported {
        file: file.to_owned(),
        field,
        found,
        expected: expected.to_owned(),
    };
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
    // Before the other fields: another family's file lacks some of them, which is not what is wrong with it.
    match value.get("model_type").and_then(|t| t.as_str()) {
        Some("bert") => {}
        Some(other) => return Err(unsupported("model_type", format!("`{other}`"), "`bert`")),
        None => return Err(malformed("there is no field `model_type`".into())),
    }
    let c: BertConfig = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
    for (field, found, expected) in
        [("hidden_act", &c.hidden_act, "gelu"), ("position_embedding_type", &c.position_embedding_type, "absolute")]
    {
        if found != expected {
            return Err(unsupported(field, format!("`{found}`"), &format!("`{expected}`")));
        }
    }
    for (field, size) in [
        ("hidden_size", c.hidden_size),
        ("num_hidden_layers", c.num_hidden_layers),
        ("num_attention_heads", c.num_attention_heads),
        ("intermediate_size", c.intermediate_size),
        ("vocab_size", c.vocab_size),
        ("max_position_embeddings", c.max_position_embeddings),
        ("type_vocab_size", c.type_vocab_size),
    ] {
        if !(1..=LARGEST).contains(&size) {
            return Err(unsupported(field, size.to_string(), &format!("1 to {LARGEST}")));
        }
    }
    if !c.hidden_size.is_multiple_of(c.num_attention_heads) {
        let expected = format!("a divisor of hidden_size, {}", c.hidden_size);
        return Err(unsupported("num_attention_heads", c.num_attention_heads.to_string(), &expected));
    }
    if !(c.layer_norm_eps > 0.0 && c.layer_norm_eps < 1.0) {
        return Err(unsupported("layer_norm_eps", c.layer_norm_eps.to_string(), "a number between 0 and 1"));
    }
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::Bert,
        encoder_layers: c.num_hidden_layers,
        decoder_layers: 0,
        hidden: c.hidden_size,
        heads: c.num_attention_heads,
        kv_heads: c.num_attention_heads,
        head_dim: c.hidden_size / c.num_attention_heads,
        ffn: c.intermediate_size,
        gated_ffn: false,
        vocabulary: c.vocab_size,
        positions: c.max_position_embeddings,
        token_types: c.type_vocab_size,
        image: None,
        norm_eps: c.layer_norm_eps,
        activation: Activation::Gelu,
        rotary: None,
        relative_positions: None,
        tied_output: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINILM: &str = include_str!("../../assets/minilm/config.json");

    fn read(json: &str) -> Result<Architecture, ConfigError> {
        bert_from_config("m", "config.json", json.as_bytes())
    }

    #[test]
    fn minilm() {
        let a = read(MINILM).unwrap();
        assert_eq!((a.family, a.blocks(), a.hidden, a.heads, a.head_dim, a.ffn), (Family::Bert, 6, 384, 12, 32, 1536));
        assert_eq!((a.vocabulary, a.positions, a.token_types, a.norm_eps), (30_522, 512, 2, 1e-12));
    }

    #[test]
    fn what_would_compute_something_else_is_refused() {
        for (from, to, part) in [
            ("\"bert\"", "\"llama\"", "model_type is `llama`, expected `bert`"),
            ("\"gelu\"", "\"relu\"", "hidden_act is `relu`"),
            ("\"absolute\"", "\"relative_key\"", "position_embedding_type is `relative_key`"),
            ("\"num_attention_heads\": 12", "\"num_attention_heads\": 7", "a divisor of hidden_size, 384"),
            ("\"vocab_size\": 30522", "\"vocab_size\": 0", "vocab_size is 0"),
            ("\"vocab_size\": 30522", "\"vocab_size\": -1", "not a model configuration"),
            ("\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 0", "layer_norm_eps is 0"),
            ("\"hidden_size\"", "\"size\"", "missing field `hidden_size`"),
        ] {
            assert!(MINILM.contains(from), "{from}");
            let message = read(&MINILM.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(read("").is_err() && read("[1]").is_err());
    }
}
