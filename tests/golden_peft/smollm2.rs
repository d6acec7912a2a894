//! Cases of SmolLM2: a quantised Llama decoder out of a GGUF file, next-token prediction on one text.

use crate::case::{Case, Tolerances};
use crate::compare::{assert_close, assert_prefix, l2, number, numbers, relative_distance};
use deft::backend::Cpu;
use deft::data::{Objective, PackedBatch};
use deft::fomo::{Architecture, ModelFiles, TensorSource as _};
use deft::nn::{LoraConfig, LoraScaling, LoraVariant, Model, ParameterLayout, PeftMethod, Projection, StackItem};
use serde_json::Value;
use std::path::Path;

/// The stored values are themselves of single precision, over thirty blocks.
const TOLERANCE: f64 = 1e-3;
const TOLERANCES: Tolerances =
    Tolerances { gradient: TOLERANCE, loss: TOLERANCE, trained_loss: 1e-2, hidden: TOLERANCE, stepped: TOLERANCE };

/// Compares everything that `json` holds; returns what that was, the bare model included, as paths in the file.
pub fn check(file: &str, json: &Value, path: &Path) -> Vec<String> {
    let files = ModelFiles::open(path).expect("SmolLM2's GGUF file");
    let architecture = files.architecture().expect("readable metadata").expect("a GGUF file describes its model");
    let objective = Objective::NextToken;
    let model = Model::load(Cpu::new(), &architecture, objective, files.weights()).expect("SmolLM2's tensors");
    let ids: Vec<u32> = numbers(&json["input_ids"]).into_iter().map(|id| id as u32).collect();
    let batch = PackedBatch::pack([(ids.as_slice(), 0)]);
    let case = Case { file, json, files, architecture, model, batch, objective, tolerances: TOLERANCES };
    check_weights(&case);
    if let Some(text) = json["text"].as_str() {
        let tokenizer = case.files.tokenizer().expect("a tokenizer in the file");
        assert_eq!(tokenizer.encode(text, 10_000).expect("a text"), ids, "{file}: token ids");
    }
    let mut compared = Vec::new();
    if json["base"].is_object() {
        check_base(&case);
        compared.push("base".to_owned());
    }
    if json["lora"].is_object() {
        case.check_method("lora", &json["lora"]);
        compared.push("lora".to_owned());
    }
    for (method, expected) in json["methods"].as_object().into_iter().flatten() {
        case.check_method(method, expected);
        compared.push(format!("methods/{method}"));
    }
    compared
}

fn tensor(case: &Case, name: &str, shape: &[usize]) -> Vec<f32> {
    case.files.weights().tensor(name, shape).expect("one of SmolLM2's tensors")
}

/// Rows after dequantising and putting them back in the order of Hugging Face.
fn check_weights(case: &Case) {
    let check = &case.json["dequant_check"];
    if check.is_null() {
        return;
    }
    let Architecture { hidden, heads, kv_heads, head_dim, vocabulary, .. } = case.architecture;
    let what = format!("{}: dequantised", case.file);
    let q = tensor(case, "model.layers.0.self_attn.q_proj.weight", &[heads * head_dim, hidden]);
    let k = tensor(case, "model.layers.0.self_attn.k_proj.weight", &[kv_heads * head_dim, hidden]);
    let words = tensor(case, "model.embed_tokens.weight", &[vocabulary, hidden]);
    assert_close(l2(&q), number(&check["q_proj0_l2"]), 1e-4, &what);
    assert_close(l2(&words), number(&check["embed_l2"]), 1e-3, &what);
    assert_prefix(&q, &check["q_proj0_row0_first16"], 1e-6, &what);
    assert_prefix(&q[hidden..], &check["q_proj0_row1_first16"], 1e-6, &what);
    assert_prefix(&k[hidden..], &check["k_proj0_row1_first16"], 1e-6, &what);
    assert_prefix(&words[504 * hidden..], &check["embed_row504_first16"], 1e-6, &what);
}

fn check_base(case: &Case) {
    let (what, base) = (format!("{} base", case.file), &case.json["base"]);
    // A layout trains something, and pairs of zeros are no LoRA at all.
    let lora = PeftMethod::Lora(LoraConfig {
        rank_per_block: vec![1; case.architecture.blocks()],
        alpha: 1.0,
        targets: vec![Projection::Query],
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant: LoraVariant::Plain,
    });
    let layout = ParameterLayout::new(&case.architecture, &[lora], case.objective).expect("fits SmolLM2");
    let nothing = vec![0.0; layout.len()];
    let Architecture { hidden: width, vocabulary, .. } = case.architecture;
    let states = case.hidden_states(&layout, &nothing);
    for (k, (state, norm)) in states.iter().zip(numbers(&base["hidden_l2"])).enumerate() {
        assert_close(l2(state), norm, TOLERANCE * norm, &format!("{what}: hidden norm after {k}"));
    }
    let words = tensor(case, "model.embed_tokens.weight", &[vocabulary, width]);
    let (mut worst, last) = (0f64, &states[states.len() - 1]);
    for (token, row) in last.chunks_exact(width).enumerate() {
        let logits: Vec<f32> = words.chunks_exact(width).map(|w| w.iter().zip(row).map(|(a, b)| a * b).sum()).collect();
        let norm = number(&base["logits_l2"][token]);
        assert_close(l2(&logits), norm, TOLERANCE * norm, &format!("{what}: logits of token {token}"));
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let best = logits.iter().position(|&l| l == largest).expect("a largest");
        assert_eq!(best as f64, number(&base["logits_argmax"][token]), "{what}: best next token of {token}");
        let sum: f64 = logits.iter().map(|&l| f64::from(l - largest).exp()).sum();
        let expected = number(&base["logits_logsumexp"][token]);
        assert_close(f64::from(largest) + sum.ln(), expected, 1e-3 * expected, &what);
        if (token + 1) * width == last.len() {
            let first = numbers(&base["logits_last_first16"]);
            worst = relative_distance(&logits, &first);
            assert!(worst <= TOLERANCE, "{what}: last logits off by {worst:e}");
        }
    }
    let loss = case.model.losses(&layout, &[StackItem::new(&nothing, &case.batch)])[0];
    assert_close(loss, number(&base["next_token_loss"]), TOLERANCE, &what);
    println!("golden {} base worst_logit_rel={worst:.1e} ok", case.file);
}
