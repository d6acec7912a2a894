//! A published GGUF file: SmolLM2-135M-Instruct in Q4_1, against `golden/smollm2_shared.json`.
//!
//! Needs `$DEFT_MODELS/smollm2-135m/model.gguf`, or the same under `models/` in the crate's root
//! (`scripts/fetch_models.sh`); without it the test says so and checks nothing.

use deft::fomo::{Architecture, ModelFiles, TensorSource};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn model() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folders = std::env::var_os("DEFT_MODELS").map(PathBuf::from).into_iter().chain([beside]);
    let found = folders.map(|folder| folder.join("smollm2-135m")).find(|folder| folder.join("model.gguf").is_file());
    if found.is_none() {
        eprintln!("skipped: no smollm2-135m/model.gguf under $DEFT_MODELS or models/; see scripts/fetch_models.sh");
    }
    found
}

#[test]
fn a_published_gguf_file_is_read_as_pytorch_read_it() {
    let Some(folder) = model() else { return };
    let golden = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/smollm2_shared.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let files = ModelFiles::open(&folder).unwrap();

    let found = files.architecture().unwrap().unwrap();
    let expected = crate::named("smollm2-135m");
    // The file holds 1e-5 in single precision.
    assert!((found.norm_eps / expected.norm_eps - 1.0).abs() < 1e-6);
    let found = Architecture { norm_eps: expected.norm_eps, name: expected.name.clone(), ..found };
    assert_eq!(found, expected);

    let tokenizer = files.tokenizer().unwrap();
    tokenizer.check_vocabulary(&found).unwrap();
    let ids: Vec<u32> = serde_json::from_value(golden["input_ids"].clone()).unwrap();
    assert_eq!(tokenizer.encode(golden["text"].as_str().unwrap(), 64).unwrap(), ids);
    assert_eq!(tokenizer.special_tokens(), 0);

    let checks = &golden["dequant_check"];
    let tensor = |name: &str, rows, columns| files.weights().tensor(name, &[rows, columns]).unwrap();
    let close = |found: f64, key: &str| {
        let expected = checks[key].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-6, "{key}: {found}, expected {expected}");
    };
    let l2 = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let starts = |values: &[f32], key: &str| {
        let expected: Vec<f32> = serde_json::from_value(checks[key].clone()).unwrap();
        assert_eq!(values[..expected.len()], expected, "{key}");
    };
    let query = tensor("model.layers.0.self_attn.q_proj.weight", 576, 576);
    close(l2(&query), "q_proj0_l2");
    starts(&query, "q_proj0_row0_first16");
    starts(&query[576..], "q_proj0_row1_first16");
    starts(&tensor("model.layers.0.self_attn.k_proj.weight", 192, 576)[576..], "k_proj0_row1_first16");
    let embedding = tensor("model.embed_tokens.weight", 49_152, 576);
    close(l2(&embedding), "embed_l2");
    starts(&embedding[504 * 576..], "embed_row504_first16");

    // Every tensor of the model is there, and no output of its own.
    assert!(!files.weights().has("lm_head.weight"));
    for block in 0..found.decoder_layers {
        for module in ["self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"] {
            assert!(files.weights().has(&format!("model.layers.{block}.{module}.weight")), "{block} {module}");
        }
    }
}
