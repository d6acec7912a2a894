//! Cases of SmolLM2: a quantised Llama decoder out of a GGUF file, next-token prediction on one text.

use crate::compare::{assert_close, assert_prefix, gradient_difference, l2, number, numbers, relative_distance};
use crate::methods::Listed;
use deft::backend::Cpu;
use deft::data::{Objective, PackedBatch};
use deft::fomo::{Architecture, ModelFiles, TensorSource as _};
use deft::nn::{AdamW, Model, Moments, Optimizer, ParameterLayout, Share, StackItem};
use serde_json::Value;
use std::path::Path;

/// The stored values are themselves of single precision, over thirty blocks.
const TOLERANCE: f64 = 1e-3;

struct Case<'a> {
    file: &'a str,
    json: &'a Value,
    files: ModelFiles,
    architecture: Architecture,
    model: Model<Cpu>,
    batch: PackedBatch,
}

/// Compares everything that `json` holds; returns how many methods that were, the bare model included.
pub fn check(file: &str, json: &Value, path: &Path) -> usize {
    let files = ModelFiles::open(path).expect("SmolLM2's GGUF file");
    let architecture = files.architecture().expect("readable metadata").expect("a GGUF file describes its model");
    let objective = Objective::NextToken;
    let model = Model::load(Cpu::new(), &architecture, objective, files.weights()).expect("SmolLM2's tensors");
    let ids: Vec<u32> = numbers(&json["input_ids"]).into_iter().map(|id| id as u32).collect();
    let batch = PackedBatch::pack([(ids.as_slice(), 0)]);
    let case = Case { file, json, files, architecture, model, batch };
    case.check_weights();
    if let Some(text) = json["text"].as_str() {
        let tokenizer = case.files.tokenizer().expect("a tokenizer in the file");
        assert_eq!(tokenizer.encode(text, 10_000).expect("a text"), ids, "{file}: token ids");
    }
    let mut compared = 0;
    if json["base"].is_object() {
        case.check_base();
        compared += 1;
    }
    if json["lora"].is_object() {
        case.check_lora(&json["lora"]);
        compared += 1;
    }
    compared
}

impl Case<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        self.files.weights().tensor(name, shape).expect("one of SmolLM2's tensors")
    }

    /// Rows after dequantising and putting them back in the order of Hugging Face.
    fn check_weights(&self) {
        let check = &self.json["dequant_check"];
        if check.is_null() {
            return;
        }
        let Architecture { hidden, heads, kv_heads, head_dim, vocabulary, .. } = self.architecture;
        let what = format!("{}: dequantised", self.file);
        let q = self.tensor("model.layers.0.self_attn.q_proj.weight", &[heads * head_dim, hidden]);
        let k = self.tensor("model.layers.0.self_attn.k_proj.weight", &[kv_heads * head_dim, hidden]);
        let words = self.tensor("model.embed_tokens.weight", &[vocabulary, hidden]);
        assert_close(l2(&q), number(&check["q_proj0_l2"]), 1e-4, &what);
        assert_close(l2(&words), number(&check["embed_l2"]), 1e-3, &what);
        assert_prefix(&q, &check["q_proj0_row0_first16"], 1e-6, &what);
        assert_prefix(&q[hidden..], &check["q_proj0_row1_first16"], 1e-6, &what);
        assert_prefix(&k[hidden..], &check["k_proj0_row1_first16"], 1e-6, &what);
        assert_prefix(&words[504 * hidden..], &check["embed_row504_first16"], 1e-6, &what);
    }

    fn layout(&self, expected: &Value) -> (ParameterLayout, Vec<f32>) {
        let listed = self.listed(expected);
        let methods = listed.peft(&self.architecture);
        let layout = ParameterLayout::new(&self.architecture, &methods, Objective::NextToken).expect("fits SmolLM2");
        let parameters = listed.parameters(&layout, self.files.weights());
        (layout, parameters)
    }

    fn listed<'l>(&'l self, expected: &'l Value) -> Listed<'l> {
        let tensors = expected["tensors"].as_array().expect("tensors");
        Listed { method: "lora", tensors, constants: &self.json["constants"] }
    }

    fn check_base(&self) {
        let (what, base) = (format!("{} base", self.file), &self.json["base"]);
        // LoRA pairs of zeros are no LoRA at all.
        let (layout, parameters) = self.layout(&self.json["lora"]);
        let nothing = vec![0.0; parameters.len()];
        let Architecture { hidden: width, vocabulary, norm_eps, .. } = self.architecture;
        let mut pass = self.model.pass(&layout, &[Share::whole(&nothing, &self.batch)], false);
        pass.embed();
        let mut states = vec![pass.hidden()];
        for block in 0..self.architecture.blocks() {
            pass.forward_blocks(block..block + 1);
            states.push(pass.hidden());
        }
        // The last one is stored after the final norm.
        let gain = self.tensor("model.norm.weight", &[width]);
        let last = states.last_mut().expect("a state");
        for row in last.chunks_exact_mut(width) {
            let square = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / width as f64;
            row.iter_mut().zip(&gain).for_each(|(v, &g)| *v = (f64::from(*v) / (square + norm_eps).sqrt()) as f32 * g);
        }
        for (k, (state, norm)) in states.iter().zip(numbers(&base["hidden_l2"])).enumerate() {
            assert_close(l2(state), norm, TOLERANCE * norm, &format!("{what}: hidden norm after {k}"));
        }
        let words = self.tensor("model.embed_tokens.weight", &[vocabulary, width]);
        let (mut worst, last) = (0f64, &states[states.len() - 1]);
        for (token, row) in last.chunks_exact(width).enumerate() {
            let logits: Vec<f32> =
                words.chunks_exact(width).map(|w| w.iter().zip(row).map(|(a, b)| a * b).sum()).collect();
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
        let loss = self.model.losses(&layout, &[StackItem::new(&nothing, &self.batch)])[0];
        assert_close(loss, number(&base["next_token_loss"]), TOLERANCE, &what);
        println!("golden {} base worst_logit_rel={worst:.1e} ok", self.file);
    }

    fn check_lora(&self, expected: &Value) {
        let what = format!("{} lora", self.file);
        let listed = self.listed(expected);
        let (layout, mut parameters) = self.layout(expected);
        for tensor in listed.tensors {
            let ours = listed.find(&layout, tensor);
            assert_prefix(&parameters[ours.range()], &tensor["init_first16"], 1e-6, &format!("{what}: {}", ours.name));
        }
        let learning_rate = expected["lr"].as_f64().unwrap_or(1e-3);
        let optimizer = Optimizer::AdamW(AdamW {
            learning_rate,
            head_learning_rate: learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        });
        let (mut moments, mut worst) = (Moments::default(), 0f64);
        let curve = numbers(&expected["curve_f32"]);
        for (k, expected_loss) in curve.iter().enumerate() {
            let outcome = &self.model.loss_and_gradients(&layout, &[StackItem::new(&parameters, &self.batch)])[0];
            let tolerance = if k < 2 { TOLERANCE } else { 1e-2 };
            assert_close(outcome.loss, *expected_loss, tolerance, &format!("{what}: loss after {k} steps"));
            for tensor in listed.tensors.iter().filter(|_| k == 0) {
                let ours = listed.find(&layout, tensor);
                let difference = gradient_difference(&outcome.gradient[ours.range()], tensor);
                assert!(difference <= TOLERANCE, "{what}: gradient of {} off by {difference:e}", ours.name);
                worst = worst.max(difference);
            }
            optimizer.update(&layout, &mut parameters, &outcome.gradient, &mut moments);
        }
        println!("golden {} lora worst_grad_rel={worst:.1e} ok", self.file);
    }
}
