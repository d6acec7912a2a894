//! Models small enough to break every byte of them.

use crate::gguf_writer::GgufWriter;
use std::path::Path;

/// Tensors of the tiny Llama under the model's names: width 32, two heads of 16, one key/value head, one block.
pub const LLAMA: [(&str, &[usize]); 11] = [
    ("model.embed_tokens.weight", &[8, 32]),
    ("model.layers.0.input_layernorm.weight", &[32]),
    ("model.layers.0.self_attn.q_proj.weight", &[32, 32]),
    ("model.layers.0.self_attn.k_proj.weight", &[16, 32]),
    ("model.layers.0.self_attn.v_proj.weight", &[16, 32]),
    ("model.layers.0.self_attn.o_proj.weight", &[32, 32]),
    ("model.layers.0.post_attention_layernorm.weight", &[32]),
    ("model.layers.0.mlp.gate_proj.weight", &[8, 32]),
    ("model.layers.0.mlp.up_proj.weight", &[8, 32]),
    ("model.layers.0.mlp.down_proj.weight", &[32, 32]),
    ("model.norm.weight", &[32]),
];

pub const TOKENS: [&str; 8] = ["<s>", "a", "b", "c", "Ġ", "1", "ab", "abc"];

/// Bytes of blocks of 32 weights: finite scales, then whatever follows.
fn blocks(count: usize, halves: usize, rest: usize) -> Vec<u8> {
    let one = (0..count).map(|b| {
        let scale = [0x00, 0x2c].repeat(halves);
        let weights = (0..rest).map(|i| (b * 31 + i * 7) as u8);
        scale.into_iter().chain(weights).collect::<Vec<u8>>()
    });
    one.flatten().collect()
}

pub fn q8_0(rows: usize) -> Vec<u8> {
    blocks(rows, 1, 32)
}

pub fn q4_0(rows: usize) -> Vec<u8> {
    blocks(rows, 1, 16)
}

pub fn q4_1(rows: usize) -> Vec<u8> {
    blocks(rows, 2, 16)
}

/// A Llama with a tokenizer, of several types. The feed-forward layer has 8 or 32 columns to keep its types apart.
pub fn llama() -> GgufWriter {
    let mut w = GgufWriter::new();
    w.text("general.architecture", "llama")
        .whole("llama.block_count", 1)
        .whole("llama.embedding_length", 32)
        .whole("llama.feed_forward_length", 8)
        .whole("llama.attention.head_count", 2)
        .whole("llama.attention.head_count_kv", 1)
        .whole("llama.rope.dimension_count", 16)
        .real("llama.rope.freq_base", 10_000.0)
        .real("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "smollm")
        .texts("tokenizer.ggml.tokens", &TOKENS)
        .integers("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 1, 1, 1])
        .texts("tokenizer.ggml.merges", &["a b", "ab c"])
        .flag("tokenizer.ggml.add_bos_token", false)
        .whole("tokenizer.ggml.bos_token_id", 0);
    let norm: Vec<f32> = (0..32).map(|i| 1.0 + i as f32 / 32.0).collect();
    w.tensor("token_embd.weight", &[8, 32], 8, q8_0(8))
        .floats("blk.0.attn_norm.weight", &[32], &norm)
        .tensor("blk.0.attn_q.weight", &[32, 32], 3, q4_1(32))
        .tensor("blk.0.attn_k.weight", &[16, 32], 2, q4_0(16))
        .tensor("blk.0.attn_v.weight", &[16, 32], 2, q4_0(16))
        .tensor("blk.0.attn_output.weight", &[32, 32], 2, q4_0(32))
        .floats("blk.0.ffn_norm.weight", &[32], &norm)
        .tensor("blk.0.ffn_gate.weight", &[8, 32], 2, q4_0(8))
        .tensor("blk.0.ffn_up.weight", &[8, 32], 1, vec![0x3c; 8 * 32 * 2])
        .tensor("blk.0.ffn_down.weight", &[32, 32], 2, q4_0(32))
        .floats("output_norm.weight", &[32], &norm);
    w
}

pub const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer":
    null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null, "model": {"type": "WordLevel",
    "vocab": {"[UNK]": 0, "good": 1, "bad": 2, "film": 3}, "unk_token": "[UNK]"}}"#;

pub const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 8, "vocab_size": 4, "max_position_embeddings": 6, "type_vocab_size": 1, "layer_norm_eps": 1e-12,
    "hidden_act": "gelu"}"#;

/// Some tensors of the tiny BERT.
pub const BERT: [(&str, &[usize]); 3] = [
    ("embeddings.word_embeddings.weight", &[4, 4]),
    ("embeddings.LayerNorm.weight", &[4]),
    ("encoder.layer.0.output.dense.bias", &[4]),
];

/// A safetensors file with tensors of `f32`, the values 0.5, 1.5, 2.5 and so on.
pub fn safetensors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        let begin = data.len();
        (0..shape.iter().product()).for_each(|i: usize| data.extend((i as f32 + 0.5).to_le_bytes()));
        let end = data.len();
        header.push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#));
    }
    let header = format!("{{{}}}", header.join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// A folder as model hubs lay it out, its weights in two shards, one with BERT's prefix.
pub fn sharded_folder(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let index = r#"{"metadata": {"total_size": 96}, "weight_map": {"bert.embeddings.word_embeddings.weight":
        "model-00001-of-00002.safetensors", "bert.embeddings.LayerNorm.gamma": "model-00001-of-00002.safetensors",
        "encoder.layer.0.output.dense.bias": "model-00002-of-00002.safetensors"}}"#;
    let first = [("bert.embeddings.word_embeddings.weight", BERT[0].1), ("bert.embeddings.LayerNorm.gamma", BERT[1].1)];
    let files = vec![
        ("model-00001-of-00002.safetensors", safetensors(&first)),
        ("model-00002-of-00002.safetensors", safetensors(&BERT[2..])),
        ("model.safetensors.index.json", index.into()),
        ("config.json", CONFIG.into()),
        ("tokenizer.json", TOKENIZER.into()),
    ];
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).expect("a writable folder"));
    files
}
