//! Cases of MiniLM: a frozen encoder, a linear head on the mean of its last hidden states, four sentences.

use crate::case::{Case, Tolerances};
use crate::compare::{assert_close, assert_prefix, fill, l2, number, numbers, relative_distance};
use deft::backend::Cpu;
use deft::data::{Objective, PackedBatch};
use deft::fomo::ModelFiles;
use deft::nn::{Model, ParameterLayout};
use serde_json::Value;
use std::path::Path;

/// Of PyTorch's own f32 gradients from f64 at most 6e-6: what is beyond 2e-4 is another formula.
const TOLERANCES: Tolerances =
    Tolerances { gradient: 2e-4, loss: 1e-5, trained_loss: 1e-4, hidden: 1e-5, stepped: 1e-5 };

/// Compares everything that `json` holds; returns what that was, the bare model included, as paths in the file.
pub fn check(file: &str, json: &Value, folder: &Path) -> Vec<String> {
    let files = ModelFiles::open(folder).expect("MiniLM's folder");
    let architecture = files.architecture().expect("MiniLM's config.json").expect("a config.json beside the weights");
    let classes = numbers(&json["head"]["bias"]).len();
    let objective = Objective::Classification { classes };
    let model = Model::load(Cpu::new(), &architecture, objective, files.weights()).expect("MiniLM's tensors");
    let case = Case { file, json, files, architecture, model, batch: batch(json), objective, tolerances: TOLERANCES };
    let mut compared = Vec::new();
    if json["base"].is_object() {
        check_base(&case);
        compared.push("base".to_owned());
    }
    for (method, expected) in json["methods"].as_object().into_iter().flatten() {
        case.check_method(method, expected);
        compared.push(format!("methods/{method}"));
    }
    compared
}

fn batch(json: &Value) -> PackedBatch {
    let labels = numbers(&json["labels"]);
    let sequences: Vec<Vec<u32>> = (0..labels.len())
        .map(|s| {
            let mask = numbers(&json["attention_mask"][s]);
            numbers(&json["input_ids"][s])
                .iter()
                .zip(mask)
                .filter(|(_, m)| *m == 1.0)
                .map(|(&id, _)| id as u32)
                .collect()
        })
        .collect();
    PackedBatch::pack(sequences.iter().zip(&labels).map(|(s, &label)| (s.as_slice(), label as u32)))
}

fn check_base(case: &Case) {
    let (what, base) = (format!("{} base", case.file), &case.json["base"]);
    let layout = ParameterLayout::new(&case.architecture, &[], case.objective).expect("a head alone");
    let seed = case.json["constants"]["seed"].as_u64().expect("a seed");
    let amp = number(&case.json["constants"]["head_amp"]) as f32;
    let head: Vec<f32> =
        (1..).zip(layout.tensors()).flat_map(|(t, tensor)| fill(seed, t, tensor.range().len(), amp)).collect();
    let states = case.hidden_states(&layout, &head);
    let (width, offsets, mut worst) = (case.architecture.hidden, &case.batch.offsets, 0f64);
    for (k, (state, expected)) in states.iter().zip(base["hidden"].as_array().expect("states")).enumerate() {
        let at = format!("{what}: hidden states after {k}");
        let norm = number(&expected["l2_real_tokens"]);
        assert_close(l2(state), norm, 1e-5 * norm, &at);
        let sum: f64 = state.iter().map(|&v| f64::from(v)).sum();
        assert_close(sum, number(&expected["sum_real_tokens"]), 2e-4, &at);
        for (s, norm) in numbers(&expected["l2_per_sentence"]).into_iter().enumerate() {
            assert_close(l2(&state[offsets[s] * width..offsets[s + 1] * width]), norm, 1e-5 * norm, &at);
        }
        assert_prefix(state, &expected["s0_cls_first16"], 2e-5, &at);
        let last = &state[(offsets[3] - 1) * width..];
        assert_prefix(last, &expected["s2_last_token_first16"], 2e-5, &at);
        worst = worst.max(relative_distance(state, &numbers(&expected["s0_cls_first16"])));
    }
    case.check_logits(&states, &head, &base["logits"], &what);
    let loss = case.model.evaluate(&layout, &head, &case.batch).loss_sum / case.batch.sequences() as f64;
    assert_close(loss, number(&base["loss"]), 1e-5, &what);
    println!("golden {} base worst_hidden_rel={worst:.1e} ok", case.file);
}
