//! MiniLM against PyTorch: hidden states, logits, gradients and training curves of `golden/minilm_shared.json`.
//!
//! Needs the f32 checkpoint that `golden/README.md` names, at `$DEFT_MODELS/minilm-f32/model.safetensors` or under
//! `models/` in the crate's root; without it the test says so and checks nothing.

use deft::backend::Cpu;
use deft::data::PackedBatch;
use deft::fomo::{Architecture, Family, SafetensorsCheckpoint};
use deft::nn::{AdamW, LoraConfig, Model, Moments, ParameterLayout, PeftMethod, Projection, Share, StackItem};
use serde_json::Value;
use std::path::{Path, PathBuf};

const BLOCKS: usize = 6;

fn checkpoint() -> Option<PathBuf> {
    let file = Path::new("minilm-f32").join("model.safetensors");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folders = std::env::var_os("DEFT_MODELS").map(PathBuf::from).into_iter().chain([beside]);
    let found = folders.map(|folder| folder.join(&file)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no {} under $DEFT_MODELS or models/; see tests/golden/README.md", file.display());
    }
    found
}

fn architecture() -> Architecture {
    Architecture {
        name: "all-MiniLM-L6-v2".into(),
        family: Family::Bert,
        encoder_layers: BLOCKS,
        decoder_layers: 0,
        hidden: 384,
        heads: 12,
        kv_heads: 12,
        head_dim: 32,
        ffn: 1536,
        gated_ffn: false,
        vocabulary: 30_522,
        positions: 512,
        token_types: 2,
        image: None,
        norm_eps: 1e-12,
        activation: deft::backend::Activation::Gelu,
        rotary: None,
        relative_positions: None,
        tied_output: false,
    }
}

/// `fill(seed, t, n, amp)` of the README.
fn fill(seed: u64, t: u64, n: usize, amp: f32) -> Vec<f32> {
    let start = seed.wrapping_add(t.wrapping_mul(0x632B_E59B_D9B4_E019));
    (1..=n as u64)
        .map(|i| {
            let mut z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            amp * ((z >> 40) as f32 * 2f32.powi(-23) - 1.0)
        })
        .collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(number).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn l2(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected} within {tolerance:e}");
}

/// Relative L2 distance of `found` from the expected numbers, which may be fewer.
fn assert_prefix(found: &[f32], expected: &[f64], relative: f64, what: &str) {
    let norm = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
    let distance = found.iter().zip(expected).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum::<f64>().sqrt();
    assert!(distance <= relative * norm, "{what}: relative distance {:e} above {relative:e}", distance / norm);
}

struct Golden {
    json: Value,
    model: Model<Cpu>,
    batch: PackedBatch,
}

impl Golden {
    fn open() -> Option<Self> {
        let source = SafetensorsCheckpoint::open(&checkpoint()?).expect("a readable checkpoint");
        let model = Model::load(Cpu::new(), &architecture(), &source).expect("MiniLM's tensors");
        let json: Value = serde_json::from_str(include_str!("golden/minilm_shared.json")).expect("valid JSON");
        let labels = numbers(&json["labels"]);
        let sequences: Vec<Vec<u32>> = (0..labels.len())
            .map(|s| {
                let real = numbers(&json["attention_mask"][s]).iter().sum::<f64>() as usize;
                numbers(&json["input_ids"][s])[..real].iter().map(|&id| id as u32).collect()
            })
            .collect();
        let batch = PackedBatch::pack(sequences.iter().zip(&labels).map(|(s, &label)| (s.as_slice(), label as u32)));
        Some(Self { json, model, batch })
    }

    fn fill(&self, t: u64, n: usize, amp: &str) -> Vec<f32> {
        let constants = &self.json["constants"];
        fill(constants["seed"].as_u64().expect("a seed"), t, n, number(&constants[amp]) as f32)
    }

    /// Hidden states after the embedding and after each block.
    fn hidden_states(&self, layout: &ParameterLayout, parameters: &[f32]) -> Vec<Vec<f32>> {
        let sequences = 0..self.batch.sequences();
        let mut pass = self.model.pass(layout, &[Share { parameters, batch: &self.batch, sequences }], false);
        pass.embed();
        let mut states = vec![pass.hidden()];
        for block in 0..BLOCKS {
            pass.forward_blocks(block..block + 1);
            states.push(pass.hidden());
        }
        states
    }

    fn layout(&self, method: &str) -> (ParameterLayout, Vec<f32>) {
        let constants = &self.json["constants"];
        let method = match method {
            "lora" => PeftMethod::Lora(LoraConfig {
                rank_per_block: vec![constants["lora_r"].as_u64().expect("a rank") as usize; BLOCKS],
                alpha: number(&constants["lora_alpha"]),
                targets: vec![Projection::Query, Projection::Value],
            }),
            _ => PeftMethod::HeadOnly,
        };
        let layout = ParameterLayout::new(&architecture(), &method, 2).expect("fits MiniLM");
        let mut parameters = vec![0.0; layout.len()];
        for (t, tensor) in (100..).zip(layout.tensors()) {
            let (t, amp) = match tensor.name.as_str() {
                "head.weight" => (1, "head_amp"),
                "head.bias" => (2, "head_amp"),
                name if name.ends_with("lora_A") => (t, "lora_amp_a"),
                _ => (t, "lora_amp_b"),
            };
            parameters[tensor.range()].copy_from_slice(&self.fill(t, tensor.range().len(), amp));
        }
        (layout, parameters)
    }

    /// Losses before each of `steps` AdamW steps and after the last, and the parameters after the first.
    fn train(&self, method: &str, head_trained: bool, steps: usize) -> (Vec<f64>, Vec<f32>) {
        let (layout, mut parameters) = self.layout(method);
        let learning_rate = number(&self.json["methods"][method]["lr"]);
        let head_learning_rate = if head_trained { learning_rate } else { 0.0 };
        let (beta1, beta2, epsilon, weight_decay) = (0.9, 0.999, 1e-8, 0.01);
        let adamw = AdamW { learning_rate, head_learning_rate, beta1, beta2, epsilon, weight_decay };
        let mut moments = Moments::new(layout.len());
        let (mut curve, mut after_first) = (Vec::new(), Vec::new());
        for step in 0..=steps {
            let item = StackItem { parameters: &parameters, batch: &self.batch };
            let outcome = &self.model.loss_and_gradients(&layout, &[item])[0];
            curve.push(outcome.loss);
            if step == 1 {
                after_first.clone_from(&parameters);
            }
            adamw.update(&layout, &mut parameters, &outcome.gradient, &mut moments);
        }
        (curve, after_first)
    }
}

#[test]
fn made_up_numbers_are_the_references() {
    let json: Value = serde_json::from_str(include_str!("golden/minilm_shared.json")).expect("valid JSON");
    let seed = json["constants"]["seed"].as_u64().expect("a seed");
    assert_prefix(&fill(seed, 7, 8, 1.0), &numbers(&json["splitmix_check"]), 1e-7, "fill");
}

#[test]
fn the_frozen_model_gives_pytorchs_hidden_states() {
    let Some(golden) = Golden::open() else { return };
    let (layout, parameters) = golden.layout("head");
    let states = golden.hidden_states(&layout, &parameters);
    let offsets = &golden.batch.offsets;
    for (k, state) in states.iter().enumerate() {
        let expected = &golden.json["base"]["hidden"][k];
        let norm = number(&expected["l2_real_tokens"]);
        assert_close(l2(state), norm, 1e-5 * norm, &format!("norm after {k}"));
        let sum: f64 = state.iter().map(|&v| f64::from(v)).sum();
        assert_close(sum, number(&expected["sum_real_tokens"]), 2e-4, &format!("sum after {k}"));
        for (s, norm) in numbers(&expected["l2_per_sentence"]).into_iter().enumerate() {
            let rows = &state[offsets[s] * 384..offsets[s + 1] * 384];
            assert_close(l2(rows), norm, 1e-5 * norm, &format!("norm of sentence {s} after {k}"));
        }
        assert_prefix(state, &numbers(&expected["s0_cls_first16"]), 2e-5, &format!("first token after {k}"));
        let last = &state[(offsets[3] - 1) * 384..];
        assert_prefix(last, &numbers(&expected["s2_last_token_first16"]), 2e-5, &format!("last token after {k}"));
    }
    let evaluation = golden.model.evaluate(&layout, &parameters, &golden.batch);
    assert_close(evaluation.loss_sum / 4.0, number(&golden.json["base"]["loss"]), 1e-5, "loss");
    let predicted: Vec<u32> = golden.json["base"]["logits"]
        .as_array()
        .expect("logits")
        .iter()
        .map(|l| u32::from(number(&l[1]) > number(&l[0])))
        .collect();
    assert_eq!(evaluation.predictions, predicted);
}

#[test]
fn lora_gives_pytorchs_logits_loss_and_gradients() {
    let Some(golden) = Golden::open() else { return };
    let expected = &golden.json["methods"]["lora"];
    let (layout, parameters) = golden.layout("lora");
    let states = golden.hidden_states(&layout, &parameters);
    for (k, (state, norm)) in states.iter().zip(numbers(&expected["hidden_l2_real_tokens"])).enumerate() {
        assert_close(l2(state), norm, 1e-5 * norm, &format!("norm after {k}"));
    }
    let head = &parameters[parameters.len() - (2 * 384 + 2)..];
    for (s, logits) in expected["logits_f64"].as_array().expect("logits").iter().enumerate() {
        let rows = &states[BLOCKS][golden.batch.offsets[s] * 384..golden.batch.offsets[s + 1] * 384];
        for (class, logit) in numbers(logits).into_iter().enumerate() {
            let weight = head[class * 384..][..384].iter().cycle();
            let sum: f64 = rows.iter().zip(weight).map(|(&h, &w)| f64::from(h) * f64::from(w)).sum();
            let found = sum / (rows.len() / 384) as f64 + f64::from(head[2 * 384 + class]);
            assert_close(found, logit, 1e-5, &format!("logit {class} of sentence {s}"));
        }
    }
    let item = StackItem { parameters: &parameters, batch: &golden.batch };
    let outcome = &golden.model.loss_and_gradients(&layout, &[item])[0];
    assert_close(outcome.loss, number(&expected["loss_before_f64"]), 1e-5, "loss");

    for reference in expected["tensors"].as_array().expect("tensors") {
        let name = reference["name"].as_str().expect("a name");
        let tensor = layout.tensors().iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no tensor {name}"));
        assert_prefix(&parameters[tensor.range()], &numbers(&reference["init_first16"]), 1e-6, name);
        let gradient = &outcome.gradient[tensor.range()];
        let norm = number(&reference["grad_l2"]);
        assert_close(l2(gradient), norm, 2e-4 * norm, &format!("gradient norm of {name}"));
        let sum: f64 = gradient.iter().map(|&g| f64::from(g)).sum();
        let slack = 2e-4 * norm * (gradient.len() as f64).sqrt();
        assert_close(sum, number(&reference["grad_sum"]), slack, &format!("gradient sum of {name}"));
        assert_prefix(gradient, &numbers(&reference["grad_first16"]), 2e-4, &format!("gradient of {name}"));
    }
}

#[test]
fn training_follows_pytorchs_curve() {
    let Some(golden) = Golden::open() else { return };
    let expected = &golden.json["methods"]["lora"];
    let (layout, _) = golden.layout("lora");
    for (run, head_trained) in [("head_frozen", false), ("head_trained", true)] {
        let (curve, after_first) = golden.train("lora", head_trained, 20);
        for (k, (&found, loss)) in curve.iter().zip(numbers(&expected[run]["curve_f64"])).enumerate() {
            assert_close(found, loss, if k < 2 { 1e-5 } else { 1e-4 }, &format!("{run}: loss after {k} steps"));
        }
        for reference in expected["tensors"].as_array().expect("tensors") {
            let name = reference["name"].as_str().expect("a name");
            if name.starts_with("head") && !head_trained {
                continue;
            }
            let tensor = layout.tensors().iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no tensor {name}"));
            let values = numbers(&reference["after_step1_first16"]);
            assert_prefix(&after_first[tensor.range()], &values, 1e-5, &format!("{run}: {name} after one step"));
        }
    }
}
