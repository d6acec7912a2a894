//! One small model of each family, methods of several sizes, and states full of made-up numbers.

use deft::adapter::AdapterFile;
use deft::data::Objective;
use deft::fomo::{Architecture, Projection, architecture_from_config};
use deft::nn::{
    AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, ParameterLayout, PeftMethod, PrefixConfig,
};
use deft::random::Streams;

pub const FAMILIES: [&str; 5] = ["bert", "gpt2", "llama", "t5", "vit"];

/// Two blocks (T5: one and two), hidden 12.
pub fn config(family: &str) -> &'static str {
    match family {
        "bert" => {
            r#"{"model_type": "bert", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
                "intermediate_size": 20, "vocab_size": 31, "max_position_embeddings": 16, "type_vocab_size": 2,
                "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#
        }
        "gpt2" => {
            r#"{"model_type": "gpt2", "n_embd": 12, "n_layer": 2, "n_head": 3, "vocab_size": 31, "n_positions": 16,
                "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}"#
        }
        "llama" => {
            r#"{"model_type": "llama", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
                "num_key_value_heads": 1, "intermediate_size": 20, "vocab_size": 31, "max_position_embeddings": 16,
                "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": false}"#
        }
        "t5" => {
            r#"{"model_type": "t5", "d_model": 12, "d_kv": 4, "num_heads": 3, "num_layers": 1, "num_decoder_layers": 2,
                "d_ff": 20, "vocab_size": 31, "feed_forward_proj": "relu", "layer_norm_epsilon": 1e-6,
                "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16}"#
        }
        "vit" => {
            r#"{"model_type": "vit", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
                "intermediate_size": 20, "image_size": 8, "patch_size": 4, "num_channels": 1, "layer_norm_eps": 1e-12,
                "hidden_act": "gelu"}"#
        }
        other => panic!("no model of family {other}"),
    }
}

pub fn model(family: &str) -> Architecture {
    architecture_from_config(family, "config.json", config(family).as_bytes()).unwrap_or_else(|e| panic!("{e}"))
}

/// A state of `methods` in which no two numbers are alike and none is 0.
pub fn adapter(architecture: &Architecture, methods: &[PeftMethod], objective: Objective) -> AdapterFile {
    let layout = ParameterLayout::new(architecture, methods, objective).unwrap_or_else(|e| panic!("{e}"));
    let stream = Streams::new(7, 0).counter("adapter", "value");
    let values = (0..layout.len() as u64).map(|n| (0.3 * stream.normal(n)) as f32).collect();
    AdapterFile::new(architecture, &layout, values)
}

/// Ranks 2, 4, 6 and so on.
pub fn ranks(blocks: usize) -> Vec<usize> {
    (1..=blocks).map(|b| 2 * b.min(2)).collect()
}

fn low_rank(blocks: usize, variant: LoraVariant) -> LoraConfig {
    LoraConfig {
        rank_per_block: ranks(blocks),
        alpha: 12.0,
        targets: vec![Projection::Query, Projection::Value],
        scaling: LoraScaling::Rank,
        dropout: 0.1,
        variant,
    }
}

pub fn lora(blocks: usize) -> PeftMethod {
    PeftMethod::Lora(low_rank(blocks, LoraVariant::Plain))
}

pub fn dora(blocks: usize) -> PeftMethod {
    let targets = vec![Projection::Query, Projection::Key, Projection::Value, Projection::FfnUp];
    PeftMethod::Lora(LoraConfig { targets, ..low_rank(blocks, LoraVariant::Dora) })
}

pub fn rslora(blocks: usize) -> PeftMethod {
    let targets = vec![Projection::AttentionOutput, Projection::FfnDown];
    PeftMethod::Lora(LoraConfig { targets, scaling: LoraScaling::RankRoot, ..low_rank(blocks, LoraVariant::Plain) })
}

pub fn adalora(blocks: usize) -> PeftMethod {
    let ranks = AdaptiveRanks { target_rank: 1, warmup_steps: 2, final_step: 5, orthogonality: 0.5 };
    PeftMethod::Lora(low_rank(blocks, LoraVariant::Adaptive(ranks)))
}

/// In all blocks but the first.
pub fn ia3(blocks: usize) -> PeftMethod {
    PeftMethod::Ia3(Ia3Config { blocks: (0..blocks).map(|b| b > 0).collect() })
}

pub fn prefix(blocks: usize) -> PeftMethod {
    PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![5; blocks] })
}
