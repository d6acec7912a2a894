//! The published configurations of one model a family, less the fields of dropout, generation and task heads.

use super::super::presets::preset;
use super::*;
use crate::fomo::architecture::{Activation, RotaryScaling};

const BERT: &str = r#"{"architectures": ["BertForMaskedLM"], "gradient_checkpointing": false, "hidden_act": "gelu",
    "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
    "pad_token_id": 0, "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 30522}"#;
const ROBERTA: &str = r#"{"bos_token_id": 0, "eos_token_id": 2, "hidden_act": "gelu", "hidden_size": 768,
    "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "roberta",
    "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 50265}"#;
const GPT2: &str = r#"{"activation_function": "gelu_new", "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
    "vocab_size": 50257}"#;
const SMOLLM2: &str = r#"{"attention_bias": false, "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536,
    "is_llama_config": true, "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
    "tie_word_embeddings": true, "vocab_size": 49152}"#;
const LLAMA_3_2: &str = r#"{"attention_bias": false, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
    "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
    "tie_word_embeddings": true, "vocab_size": 128256}"#;
const T5: &str = r#"{"d_ff": 2048, "d_kv": 64, "d_model": 512, "is_encoder_decoder": true, "layer_norm_epsilon": 1e-06,
    "model_type": "t5", "n_positions": 512, "num_heads": 8, "num_layers": 6, "relative_attention_num_buckets": 32,
    "vocab_size": 32128}"#;
const T5_V1_1: &str = r#"{"d_ff": 1024, "d_kv": 64, "d_model": 512, "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": true, "layer_norm_epsilon": 1e-06, "model_type": "t5", "num_decoder_layers": 8, "num_heads": 6,
    "num_layers": 8, "relative_attention_num_buckets": 32, "tie_word_embeddings": false, "vocab_size": 32128}"#;
const VIT: &str = r#"{"hidden_act": "gelu", "hidden_size": 768, "image_size": 224, "intermediate_size": 3072,
    "layer_norm_eps": 1e-12, "model_type": "vit", "num_attention_heads": 12, "num_channels": 3, "num_hidden_layers": 12,
    "patch_size": 16, "qkv_bias": true}"#;
const MINILM: &str = include_str!("../../../assets/minilm/config.json");

fn read(name: &str, json: &str) -> Result<Architecture, ConfigError> {
    architecture_from_config(name, "config.json", json.as_bytes())
}

#[test]
fn published_configurations_are_the_shapes_of_the_table() {
    for (name, json) in [
        ("minilm-l6", MINILM),
        ("bert-base", BERT),
        ("roberta-base", ROBERTA),
        ("gpt2", GPT2),
        ("smollm2-135m", SMOLLM2),
        ("llama-3.2-1b", LLAMA_3_2),
        ("t5-small", T5),
        ("vit-b-16", VIT),
    ] {
        assert_eq!(Some(read(name, json).unwrap()), preset(name));
    }
}

/// google/t5-v1_1-small, as published and as transformers 5 saves it.
#[test]
fn gated_t5_has_an_output_of_its_own() {
    let a = read("t", T5_V1_1).unwrap();
    assert_eq!((a.activation, a.gated_ffn, a.tied_output), (Activation::GeluTanh, true, false));
    assert_eq!((a.encoder_layers, a.decoder_layers, a.heads * a.head_dim, a.hidden), (8, 8, 384, 512));
    let said_twice = T5_V1_1.replace("\"d_ff\"", "\"dense_act_fn\": \"gelu_new\", \"is_gated_act\": true, \"d_ff\"");
    assert_eq!(read("t", &said_twice).unwrap(), a);
    let saved_again = T5_V1_1.replace("false", r#"true, "scale_decoder_outputs": false"#);
    assert_eq!(read("t", &saved_again).unwrap(), a);
}

#[test]
fn both_spellings_of_rotary_settings_mean_the_same() {
    let old = read("m", LLAMA_3_2).unwrap();
    assert_eq!(
        old.rotary.unwrap().scaling,
        Some(RotaryScaling {
            factor: 32.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_positions: 8192.0
        })
    );
    let new = LLAMA_3_2
        .replace("rope_scaling\": {", "rope_parameters\": {\"rope_theta\": 500000.0, ")
        .replace("\"rope_theta\": 500000.0,\n", "\n");
    assert_eq!(read("m", &new).unwrap(), old);
    let plain = SMOLLM2.replace("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"default\"}");
    assert_eq!(read("m", &plain).unwrap(), read("m", SMOLLM2).unwrap());
    let theta = |settings: &str| {
        let json = SMOLLM2.replace("\"rope_scaling\": null", settings);
        read("m", &json).unwrap_or_else(|e| panic!("{settings}: {e}")).rotary.unwrap().theta
    };
    // The inner theta comes first in either, and an empty object says nothing.
    assert_eq!(theta(r#""rope_scaling": {"rope_type": "default", "rope_theta": 50}"#), 50.0);
    assert_eq!(theta(r#""rope_scaling": {"rope_theta": 50}, "rope_parameters": {}"#), 50.0);
    assert_eq!(theta(r#""rope_scaling": {"rope_theta": 50}, "rope_parameters": {"rope_theta": 50}"#), 50.0);
    assert_eq!(theta(r#""rope_scaling": {}, "rope_parameters": {"rope_theta": 60}"#), 60.0);
    assert_eq!(theta(r#""rope_scaling": {}, "rope_parameters": {}"#), 100_000.0);
    let inner = LLAMA_3_2.replace("\"rope_type\": \"llama3\"", "\"rope_type\": \"llama3\", \"rope_theta\": 77.0");
    let inner = read("m", &inner).unwrap().rotary.unwrap();
    assert_eq!((inner.theta, inner.scaling), (77.0, old.rotary.unwrap().scaling));
    // Llama 1 and 2 say nothing of it.
    let silent = SMOLLM2.replace("\"rope_theta\": 100000,", "").replace("\"rope_scaling\": null,", "");
    assert_eq!(read("m", &silent).unwrap().rotary.unwrap().theta, 10_000.0);
}

/// Mistral Nemo's heads are narrower than its width divided by their number.
#[test]
fn heads_may_be_of_their_own_size() {
    let narrow = SMOLLM2.replace("\"hidden_act\"", "\"head_dim\": 32, \"hidden_act\"");
    let a = read("m", &narrow).unwrap();
    assert_eq!((a.head_dim, a.heads, a.hidden), (32, 9, 576));
}

#[test]
fn mistral_without_its_window_is_a_llama() {
    let mistral = SMOLLM2.replace("\"llama\"", "\"mistral\"");
    let window =
        |value: &str| mistral.replace("\"vocab_size\"", &format!("\"sliding_window\": {value}, \"vocab_size\""));
    assert_eq!(read("m", &window("null")).unwrap(), read("m", SMOLLM2).unwrap());
    let found = |json: &str| read("m", json).unwrap_err().to_string();
    assert!(found(&window("4096")).contains("sliding_window is 4096, expected null"), "{}", found(&window("4096")));
    assert!(found(&mistral).contains("sliding_window is absent, expected null"));
}

#[test]
fn what_would_compute_something_else_is_refused() {
    for (json, from, to, part) in [
        (BERT, "\"bert\"", "\"gemma\"", "model_type is `gemma`, expected `bert` or `roberta` or"),
        (BERT, "\"bert\"", "\"roberta\"", "pad_token_id is 0, expected 1"),
        (BERT, "\"model_type\"", "\"modeltype\"", "missing field `model_type`"),
        (BERT, "\"gelu\"", "\"relu\"", "hidden_act is `relu`, expected `gelu`"),
        (BERT, "\"absolute\"", "\"relative_key\"", "position_embedding_type is `relative_key`, expected `absolute`"),
        (BERT, "\"hidden_size\"", "\"is_decoder\": true, \"hidden_size\"", "is_decoder is true, expected false"),
        (BERT, "\"num_attention_heads\": 12", "\"num_attention_heads\": 7", "a divisor of hidden_size, 768"),
        (BERT, "\"num_hidden_layers\": 12", "\"num_hidden_layers\": 1e9", "num_hidden_layers is 1000000000.0"),
        (BERT, "\"vocab_size\": 30522", "\"vocab_size\": 0", "vocab_size is 0, expected a whole number from 1 to"),
        (BERT, "\"vocab_size\": 30522", "\"vocab_size\": -1", "vocab_size is -1"),
        (BERT, "\"vocab_size\": 30522", "\"vocab_size\": 18446744073709551615", "vocab_size is 18446744073709551615"),
        (BERT, "\"vocab_size\": 30522", "\"vocab_size\": \"many\"", "vocab_size is `many`"),
        (BERT, "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 0", "layer_norm_eps is 0, expected a number above 0"),
        (BERT, "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 1.5", "a number between 0 and 1"),
        (BERT, "\"hidden_size\"", "\"size\"", "missing field `hidden_size`"),
        (BERT, "\"hidden_size\"", "\"quantization_config\": {}, \"hidden_size\"", "quantization_config is {}"),
        (GPT2, "\"gelu_new\"", "\"relu\"", "activation_function is `relu`"),
        (
            GPT2,
            "\"n_ctx\"",
            "\"scale_attn_by_inverse_layer_idx\": true, \"n_ctx\"",
            "scale_attn_by_inverse_layer_idx is true",
        ),
        (GPT2, "\"n_ctx\"", "\"scale_attn_weights\": false, \"n_ctx\"", "scale_attn_weights is false, expected true"),
        (SMOLLM2, "\"attention_bias\": false", "\"attention_bias\": true", "attention_bias is true, expected false"),
        (SMOLLM2, "\"mlp_bias\": false", "\"mlp_bias\": true", "mlp_bias is true"),
        (SMOLLM2, "\"silu\"", "\"gelu\"", "hidden_act is `gelu`, expected `silu`"),
        (SMOLLM2, "\"num_key_value_heads\": 3", "\"num_key_value_heads\": 2", "a divisor of num_attention_heads, 9"),
        (SMOLLM2, "\"num_key_value_heads\": 3", "\"head_dim\": 63", "heads of an even size, not 63"),
        (SMOLLM2, "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"yarn\"}", "rope_scaling.type is `yarn`"),
        (SMOLLM2, "\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"llama3\"}", "`rope_scaling.factor`"),
        (SMOLLM2, "\"rope_scaling\": null", "\"rope_scaling\": 2", "rope_scaling is 2, expected an object"),
        (
            SMOLLM2,
            "\"rope_scaling\": null",
            "\"rope_scaling\": {\"type\": \"linear\"}, \"rope_parameters\": {}",
            "rope_scaling.type is `linear`",
        ),
        (
            SMOLLM2,
            "\"rope_scaling\": null",
            "\"rope_scaling\": {\"rope_theta\": 5}, \"rope_parameters\": {\"rope_theta\": 6}",
            "rope_parameters is {\"rope_theta\":6}, expected the same as rope_scaling",
        ),
        (SMOLLM2, "\"rope_scaling\": null", "\"partial_rotary_factor\": 0.5", "partial_rotary_factor is 0.5"),
        (SMOLLM2, "\"rope_theta\": 100000", "\"rope_theta\": -1", "rope_theta is -1, expected a number above 0"),
        (SMOLLM2, "\"rope_scaling\": null", "\"sliding_window\": 512", "sliding_window is 512"),
        (LLAMA_3_2, "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0", "rope_scaling.high_freq_factor is 1.0"),
        (T5, "\"d_ff\"", "\"feed_forward_proj\": \"gated-silu\", \"d_ff\"", "feed_forward_proj is `gated-silu`"),
        (T5, "\"d_ff\"", "\"dense_act_fn\": \"gelu\", \"d_ff\"", "dense_act_fn is `gelu`, expected `relu`"),
        (T5, "\"d_ff\"", "\"is_gated_act\": true, \"d_ff\"", "is_gated_act is true, expected false"),
        (T5_V1_1, "\"d_ff\"", "\"dense_act_fn\": \"gelu\", \"d_ff\"", "dense_act_fn is `gelu`, expected `gelu_new`"),
        (T5, "\"d_ff\"", "\"decoder_start_token_id\": 5, \"d_ff\"", "decoder_start_token_id is 5, expected 0"),
        (T5, "\"is_encoder_decoder\": true", "\"is_encoder_decoder\": false", "is_encoder_decoder is false"),
        (
            T5,
            "num_buckets\": 32",
            "num_buckets\": 30",
            "relative_attention_num_buckets is 30, expected a multiple of 4",
        ),
        (T5, "num_buckets\": 32", "num_buckets\": 256", "relative_attention_max_distance is absent, expected more"),
        (VIT, "\"image_size\": 224", "\"image_size\": 225", "patch_size is 16, expected a divisor of image_size, 225"),
        (VIT, "\"image_size\": 224", "\"image_size\": [224, 224]", "image_size is [224,224]"),
        (VIT, "\"qkv_bias\": true", "\"qkv_bias\": false", "qkv_bias is false, expected true"),
    ] {
        assert!(json.contains(from), "{from}");
        let message = read("m", &json.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(message.starts_with("config.json: ") && message.contains(part), "{message}");
    }
    for json in ["", "[1]", "null", "{\"model_type\": [\"bert\"]}", &"[".repeat(100_000)] {
        assert!(read("m", json).is_err(), "{json}");
    }
}
