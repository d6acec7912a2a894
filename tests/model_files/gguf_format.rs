//! GGUF files by the book, and what is told of those that are not.

use crate::gguf_writer::GgufWriter;
use crate::tiny;
use deft::backend::QuantisedMatrix;
use deft::fomo::{Architecture, GgufCheckpoint, ModelFiles, TensorSource, TokenizerError};
use serde_json::Value;

/// Opens `writer`'s file in a folder that lives as long as the closure runs.
fn with<T>(writer: &GgufWriter, look: impl FnOnce(Result<ModelFiles, String>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, writer.bytes()).unwrap();
    look(ModelFiles::open(&path).map_err(|e| e.to_string()))
}

/// The tiny Llama with something changed.
fn changed(change: impl FnOnce(&mut GgufWriter)) -> GgufWriter {
    let mut writer = tiny::llama();
    change(&mut writer);
    writer
}

fn architecture(writer: &GgufWriter) -> Result<Architecture, String> {
    with(writer, |files| files?.architecture().map(|a| a.expect("metadata")).map_err(|e| e.to_string()))
}

/// A file with one tensor `t` of `shape`, read as a model's `name` asks.
fn values(kind: u32, columns: usize, bytes: Vec<u8>) -> Vec<f32> {
    let mut writer = GgufWriter::new();
    let rows = 2;
    writer.text("general.architecture", "gpt2").tensor("position_embd.weight", &[rows, columns], kind, bytes);
    with(&writer, |files| files.unwrap().weights().tensor("wpe.weight", &[rows, columns]).unwrap())
}

/// Against the dequantiser of the Python package `gguf`, on random bytes.
#[test]
fn every_block_format_decodes_as_in_the_reference() {
    let golden: Value = serde_json::from_str(include_str!("../golden/gguf_blocks.json")).unwrap();
    let blocks = golden["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 10);
    for block in blocks {
        let (name, kind) = (block["type"].as_str().unwrap(), block["id"].as_u64().unwrap() as u32);
        let hex = block["bytes"].as_str().unwrap();
        let bytes = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let expected: Vec<f32> = serde_json::from_value(block["values"].clone()).unwrap();
        let found = values(kind, expected.len() / 2, bytes);
        let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            assert!((f - e).abs() <= 1e-6 * largest, "{name}[{i}]: {f}, expected {e}");
        }
    }
}

#[test]
fn query_and_key_rows_come_in_the_order_of_the_model() {
    // Two query heads of four rows, one key head; each row holds its number.
    let rows = |n: usize| -> Vec<f32> { (0..n).flat_map(|r| [r as f32; 2]).collect() };
    let mut writer = GgufWriter::new();
    writer
        .text("general.architecture", "llama")
        .whole("llama.attention.head_count", 2)
        .whole("llama.attention.head_count_kv", 1)
        .floats("blk.0.attn_q.weight", &[8, 2], &rows(8))
        .floats("blk.0.attn_k.weight", &[4, 2], &rows(4))
        .floats("blk.0.attn_v.weight", &[4, 2], &rows(4));
    with(&writer, |files| {
        let files = files.unwrap();
        let first_column = |name: &str, n: usize| -> Vec<f32> {
            files.weights().tensor(name, &[n, 2]).unwrap().chunks(2).map(|r| r[0]).collect()
        };
        assert_eq!(first_column("model.layers.0.self_attn.q_proj.weight", 8), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert_eq!(first_column("model.layers.0.self_attn.k_proj.weight", 4), [0.0, 2.0, 1.0, 3.0]);
        assert_eq!(first_column("model.layers.0.self_attn.v_proj.weight", 4), [0.0, 1.0, 2.0, 3.0]);
    });
}

/// The geometry of one block of width 2, without a tensor.
fn small_gpt2() -> GgufWriter {
    let mut writer = GgufWriter::new();
    writer
        .text("general.architecture", "gpt2")
        .whole("gpt2.block_count", 1)
        .whole("gpt2.embedding_length", 2)
        .whole("gpt2.attention.head_count", 1)
        .real("gpt2.attention.layer_norm_epsilon", 1e-5);
    writer
}

#[test]
fn gpt2_is_turned_back_into_the_order_of_the_model() {
    let mut writer = small_gpt2();
    writer
        .floats("token_embd.weight", &[5, 2], &[0.0; 10])
        .floats("position_embd.weight", &[7, 2], &[0.0; 14])
        // [out, in] in the file.
        .floats("blk.0.attn_qkv.weight", &[6, 2], &[0., 1., 10., 11., 20., 21., 30., 31., 40., 41., 50., 51.])
        .floats("blk.0.attn_qkv.bias", &[6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
        .floats("output.weight", &[5, 2], &[0.0; 10]);
    let a = architecture(&writer).unwrap();
    assert_eq!((a.vocabulary, a.positions, a.ffn, a.tied_output), (5, 7, 8, true));
    with(&writer, |files| {
        let files = files.unwrap();
        let weight = files.weights().tensor("h.0.attn.c_attn.weight", &[2, 6]).unwrap();
        assert_eq!(weight, [0., 10., 20., 30., 40., 50., 1., 11., 21., 31., 41., 51.]);
        assert_eq!(files.weights().tensor("h.0.attn.c_attn.bias", &[6]).unwrap()[5], 5.0);
        let message = files.weights().tensor("h.0.attn.c_attn.weight", &[6, 2]).unwrap_err().to_string();
        assert!(message.contains("`blk.0.attn_qkv.weight` has shape [2, 6], expected [6, 2]"), "{message}");
    });
}

#[test]
fn an_output_matrix_of_its_own_is_used() {
    let write = |output: &[f32]| {
        let mut writer = small_gpt2();
        writer
            .floats("token_embd.weight", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
            .floats("position_embd.weight", &[7, 2], &[0.0; 14])
            .floats("output.weight", &[2, 2], output);
        architecture(&writer).unwrap()
    };
    assert!(write(&[1.0, 2.0, 3.0, 4.0]).tied_output);
    assert!(!write(&[1.0, 2.0, 3.0, 5.0]).tied_output);
}

/// Where blocks are whole numbers times a scale (Q4_0, Q8_0), the numbers and scales are those of the values.
#[test]
fn matrices_in_few_bits_come_as_they_are() {
    let few = |w: &QuantisedMatrix, i: usize| match w.bits {
        8 => f32::from(w.weights[i] as i8),
        _ => f32::from(w.weights[i / 2] >> (4 * (i % 2)) & 15) - 8.0,
    };
    with(&tiny::llama(), |files| {
        let files = files.unwrap();
        let mut kinds = vec![];
        for (name, shape) in tiny::LLAMA {
            let &[rows, columns] = shape else { continue };
            let values = files.weights().tensor(name, shape).unwrap();
            let Some(w) = files.weights().quantised(name, [rows, columns]) else {
                kinds.push((name.rsplit('.').nth(1).unwrap(), 0));
                continue;
            };
            assert_eq!((w.rows(), w.columns, w.group), (rows, columns, 32), "{name}");
            let unpacked: Vec<f32> = (0..rows * columns).map(|i| few(&w, i) * w.scales[i / 32]).collect();
            assert_eq!(unpacked, values, "{name}");
            assert!(files.weights().quantised(name, [columns, rows + 1]).is_none(), "{name}: another shape");
            kinds.push((name.rsplit('.').nth(1).unwrap(), w.bits));
        }
        let expected = [
            ("embed_tokens", 8),
            ("q_proj", 0),
            ("k_proj", 4),
            ("v_proj", 4),
            ("o_proj", 4),
            ("gate_proj", 4),
            ("up_proj", 0),
            ("down_proj", 4),
        ];
        assert_eq!(kinds, expected);
    });
}

#[test]
fn the_tiny_llama_is_whole() {
    with(&tiny::llama(), |files| {
        let files = files.unwrap();
        let a = files.architecture().unwrap().unwrap();
        assert_eq!((a.hidden, a.heads, a.kv_heads, a.head_dim, a.ffn, a.vocabulary), (32, 2, 1, 16, 8, 8));
        assert!(a.tied_output && a.name == "m" && a.rotary.unwrap().scaling.is_none());
        for (name, shape) in tiny::LLAMA {
            assert_eq!(files.weights().tensor(name, shape).unwrap().len(), shape.iter().product::<usize>(), "{name}");
        }
        assert_eq!(files.tokenizer().unwrap().encode("abc ab1", 9).unwrap(), [7, 4, 6, 5]);
    });
    let version_2 = changed(|w| w.version = 2);
    assert!(architecture(&version_2).is_ok());
    let wider = changed(|w| {
        w.whole("general.alignment", 64);
        w.alignment = 64;
    });
    assert!(architecture(&wider).is_ok());
    let untied = changed(|w| {
        w.tensor("output.weight", &[8, 32], 8, tiny::q8_0(8));
    });
    assert!(!architecture(&untied).unwrap().tied_output);
}

// ---- tokenizers ----

#[test]
fn tokenizers_that_cannot_be_rebuilt_say_what_to_do() {
    let message = |change: &dyn Fn(&mut GgufWriter)| {
        with(&changed(|w| change(w)), |files| files.unwrap().tokenizer().map(|_| ()).unwrap_err().to_string())
    };
    let beside = "put the model's tokenizer.json beside the file";
    let m = message(&|w| _ = w.without("tokenizer.ggml.model").text("tokenizer.ggml.model", "llama"));
    assert!(
        m.contains("m.gguf: tokenizer.ggml.model is `llama`; `gpt2` (byte-level BPE)") && m.contains(beside),
        "{m}"
    );
    let m = message(&|w| _ = w.without("tokenizer.ggml.pre").text("tokenizer.ggml.pre", "tekken"));
    assert!(m.contains("tokenizer.ggml.pre is `tekken`; `gpt-2`, `smollm`") && m.contains(beside), "{m}");
    let m = message(&|w| _ = w.without("tokenizer.ggml.pre"));
    assert!(m.contains("tokenizer.ggml.pre is absent"), "{m}");
    let m = message(&|w| _ = w.without("tokenizer.ggml.tokens"));
    assert!(m.contains("metadata `tokenizer.ggml.tokens` is not there"), "{m}");
    let twice = ["<s>", "a", "a"];
    let m = message(&|w| _ = w.without("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", &twice));
    assert!(m.contains("holds a token twice"), "{m}");
    let m = message(&|w| _ = w.without("tokenizer.ggml.merges").texts("tokenizer.ggml.merges", &["ab"]));
    assert!(m.contains("holds one that is no pair"), "{m}");
    let m = message(&|w| _ = w.without("tokenizer.ggml.merges").texts("tokenizer.ggml.merges", &["a z"]));
    assert!(m.contains("m.gguf") && m.contains('z'), "{m}");
    let m = message(&|w| {
        w.without("tokenizer.ggml.add_bos_token").flag("tokenizer.ggml.add_bos_token", true);
        w.without("tokenizer.ggml.bos_token_id").whole("tokenizer.ggml.bos_token_id", 8);
    });
    assert!(m.contains("`tokenizer.ggml.bos_token_id` is not the number of a token"), "{m}");
}

#[test]
fn a_tokenizer_json_beside_the_file_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, tiny::llama().bytes()).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tiny::TOKENIZER).unwrap();
    let files = ModelFiles::open(&path).unwrap();
    assert_eq!(files.tokenizer().unwrap().encode("bad film", 9).unwrap(), [2, 3]);
    assert_eq!(files.stamp().len(), 2);
}

#[test]
fn words_are_cut_by_the_rule_that_the_file_names() {
    let tokens: Vec<String> =
        ["<s>", "a", "1", "Ġ", ".", "Ġa", "11", "111", "Ġ1", "Ġ11", "..", "a."].map(String::from).into();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let merges = ["Ġ a", "Ġ 1", "1 1", "11 1", "Ġ1 1", ". .", "a ."];
    let encode = |pre: &str, input: &str| {
        let writer = changed(|w| {
            w.without("tokenizer.ggml.tokens").texts("tokenizer.ggml.tokens", &tokens);
            w.without("tokenizer.ggml.merges").texts("tokenizer.ggml.merges", &merges);
            w.without("tokenizer.ggml.pre").text("tokenizer.ggml.pre", pre);
            w.without("tokenizer.ggml.add_bos_token");
        });
        let ids = with(&writer, |files| files.unwrap().tokenizer().unwrap().encode(input, 64).unwrap());
        ids.iter().map(|id| tokens[*id as usize]).collect::<Vec<_>>().join("|")
    };
    // Digits together with the space before them, one by one, in threes without it, and in threes after all else.
    assert_eq!(encode("gpt-2", "a 11 a1111.."), "a|Ġ11|Ġa|11|11|..");
    assert_eq!(encode("smollm", "a 11 a1111.."), "a|Ġ|1|1|Ġa|1|1|1|1|..");
    assert_eq!(encode("llama-bpe", "a 11 a1111.."), "<s>|a|Ġ|11|Ġa|111|1|..");
    assert_eq!(encode("default", "a 11 a1111.."), "a|Ġ|11|Ġa|111|1|..");
    // A control token is one wherever it stands.
    assert_eq!(encode("smollm", "a<s>a"), "a|<s>|a");
}

// ---- configurations that would compute something else ----

#[test]
fn metadata_that_would_compute_something_else_is_refused() {
    type Change = fn(&mut GgufWriter);
    let cases: [(Change, &str); 18] = [
        (
            |w| _ = w.without("general.architecture").text("general.architecture", "gemma"),
            "general.architecture is `gemma`",
        ),
        (|w| _ = w.without("general.architecture"), "general.architecture is absent"),
        (|w| _ = w.without("llama.block_count"), "missing field `llama.block_count`"),
        (|w| _ = w.without("llama.block_count").whole("llama.block_count", 1 << 20), "llama.block_count is 1048576"),
        (|w| _ = w.without("llama.attention.head_count").whole("llama.attention.head_count", 0), "head_count is 0"),
        (|w| _ = w.without("llama.attention.head_count").integers("llama.attention.head_count", &[2]), "a list of 1"),
        (|w| _ = w.without("llama.attention.head_count_kv").whole("llama.attention.head_count_kv", 3), "a divisor"),
        (
            |w| _ = w.without("llama.rope.dimension_count").whole("llama.rope.dimension_count", 8),
            "16, the size of a head",
        ),
        (|w| _ = w.text("llama.rope.scaling.type", "yarn"), "llama.rope.scaling.type is `yarn`, expected `none`"),
        (|w| _ = w.without("llama.attention.head_count").whole("llama.attention.head_count", 3), "a divisor of llama."),
        (|w| _ = w.real("llama.rope.scaling.factor", 4.0), "llama.rope.scaling.factor is 4, expected 1"),
        (|w| _ = w.whole("llama.expert_count", 8), "llama.expert_count is 8, expected 0"),
        (|w| _ = w.whole("llama.attention.sliding_window", 4096), "sliding_window is 4096, expected 0"),
        (|w| _ = w.real("llama.logit_scale", 0.1), "llama.logit_scale is"),
        (
            |w| _ = w.without("llama.rope.freq_base").real("llama.rope.freq_base", f32::NAN),
            "llama.rope.freq_base is NaN",
        ),
        (|w| _ = w.floats("blk.0.attn_q.bias", &[32], &[0.0; 32]), "`blk.0.attn_q.bias` among them"),
        (|w| _ = w.floats("rope_freqs.weight", &[8], &[2.0; 8]), "tensor `rope_freqs.weight` is other factors"),
        (|w| w.tensors.retain(|t| t.name != "token_embd.weight"), "tensor `token_embd.weight` is not there"),
    ];
    for (change, part) in cases {
        let message = architecture(&changed(change)).expect_err(part);
        assert!(message.contains("m.gguf: ") && message.contains(part), "{message}");
    }
}

#[test]
fn a_factor_of_rotary_positions_that_stretches_nothing_is_read() {
    let plain = architecture(&tiny::llama()).unwrap();
    for (factor, kind) in [(1.0, None), (0.0, None), (4.0, Some("none"))] {
        let writer = changed(|w| {
            w.real("llama.rope.scaling.factor", factor);
            kind.map(|kind| w.text("llama.rope.scaling.type", kind));
        });
        assert_eq!(architecture(&writer).unwrap(), plain, "{factor}");
    }
}

// ---- files that lie ----

#[test]
fn headers_that_lie_are_refused_by_what_they_lie_about() {
    type Change = fn(&mut GgufWriter);
    let nested = |depth: u32| -> Vec<u8> {
        let one = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
        [one.repeat(depth as usize), [&4u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat()].concat()
    };
    let deep = changed(|w| _ = w.raw("x", 9, &nested(9)));
    let cases: [(Change, &str); 20] = [
        (|w| w.version = 1, "version 1 of the format, expected 2 or 3"),
        (|w| w.version = 3u32.swap_bytes(), "big-endian"),
        (|w| w.claimed_tensors = Some(u64::MAX), "it claims 18446744073709551615 tensors"),
        (|w| w.claimed_pairs = Some(1 << 60), "pairs of metadata, but its size leaves room for"),
        (|w| _ = w.raw("x", 8, &u64::MAX.to_le_bytes()), "metadata `x`: it claims 18446744073709551615 bytes"),
        (|w| _ = w.raw("x", 9, &[&8u32.to_le_bytes()[..], &(1u64 << 62).to_le_bytes()].concat()), "texts in a list"),
        (|w| _ = w.raw("x", 9, &[&4u32.to_le_bytes()[..], &(1u64 << 62).to_le_bytes()].concat()), "elements in a list"),
        (|w| _ = w.raw("x", 9, &[&77u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat()), "unknown kind of elements"),
        (|w| _ = w.raw("x", 13, &[]), "unknown kind of value, number 13"),
        (|w| _ = w.raw("x", 7, &[2]), "2 is neither true nor false"),
        (|w| _ = w.raw("x", 8, &[&1u64.to_le_bytes()[..], &[0xff]].concat()), "is not UTF-8"),
        (|w| _ = w.whole("llama.block_count", 1), "metadata `llama.block_count` appears twice"),
        (|w| _ = w.whole("general.alignment", 0), "`general.alignment` is not a multiple of 8"),
        (|w| _ = w.whole("split.count", 2), "one of several parts; join them"),
        (
            |w| w.tensors[3].claimed_offset = Some(1 << 40),
            "`blk.0.attn_k.weight` of shape [16, 32] (Q4_0) reaches beyond",
        ),
        (|w| w.tensors[3].claimed_offset = Some(7), "starts at byte 7 of the data, not a multiple of 32"),
        (|w| w.tensors[3].claimed_offset = Some(0), "tensors `blk.0.attn_k.weight` and `token_embd.weight` overlap"),
        (|w| w.tensors[3].dimensions = vec![1 << 40, 1 << 40], "reaches beyond the end of the file"),
        (
            |w| w.tensors[3].dimensions = vec![32, 0],
            "`blk.0.attn_k.weight` has a dimension of no or of too many values",
        ),
        (|w| w.tensors[3].dimensions = vec![33, 16], "has rows of 33 values, not whole blocks of 32"),
    ];
    let more: [(Change, &str); 3] = [
        (|w| w.tensors[3].dimensions = vec![1; 5], "5 dimensions, more than 4"),
        (|w| w.tensors[3].name = "x".repeat(65), "a tensor's name has 65 bytes"),
        (|w| w.tensors[3].name = "token_embd.weight".into(), "tensor `token_embd.weight` appears twice"),
    ];
    for (change, part) in cases.into_iter().chain(more) {
        let message = with(&changed(change), |files| files.map(|_| ()).expect_err(part));
        assert!(message.contains("m.gguf: not a valid checkpoint: ") && message.contains(part), "{message}");
    }
    let message = with(&deep, |files| files.map(|_| ()).expect_err("nested"));
    assert!(message.contains("lists are nested more than 4 deep"), "{message}");
}

#[test]
fn tensors_that_are_not_as_asked_are_named() {
    let odd = changed(|w| {
        w.tensors[7].kind = 19; // IQ1_S
        w.tensors[8].bytes[..2].copy_from_slice(&[0x00, 0x7c]); // infinity
        w.without("llama.attention.head_count_kv").whole("llama.attention.head_count_kv", 9);
    });
    with(&odd, |files| {
        let files = files.unwrap();
        let message = |name: &str, shape: &[usize]| files.weights().tensor(name, shape).unwrap_err().to_string();
        let m = message("model.layers.0.mlp.gate_proj.weight", &[8, 32]);
        assert!(m.contains("m.gguf: tensor `blk.0.ffn_gate.weight` has type number 19, expected F32, F16"), "{m}");
        let m = message("model.layers.0.mlp.up_proj.weight", &[8, 32]);
        assert!(m.contains("tensor `blk.0.ffn_up.weight` holds a value that is not a finite number"), "{m}");
        let m = message("model.layers.0.self_attn.k_proj.weight", &[16, 32]);
        assert!(m.contains("`blk.0.attn_k.weight` has 16 rows, but no valid `llama.attention.head_count`"), "{m}");
        let m = message("model.norm.weight", &[31]);
        assert!(m.contains("tensor `output_norm.weight` has shape [32], expected [31]"), "{m}");
        let m = message("model.layers.1.mlp.up_proj.weight", &[8, 32]);
        assert!(m.contains("tensor `model.layers.1.mlp.up_proj.weight` is missing"), "{m}");
    });
    let folder = tempfile::tempdir().unwrap();
    let absent = GgufCheckpoint::open(&folder.path().join("absent.gguf")).unwrap_err().to_string();
    assert!(absent.contains("absent.gguf: cannot be read"), "{absent}");
    let unsupported = with(&changed(|w| _ = w.without("tokenizer.ggml.model")), |f| f.unwrap().tokenizer().map(|_| ()));
    assert!(matches!(unsupported, Err(TokenizerError::Unsupported { .. })));
}
