//! Cases of MiniLM: a frozen encoder, a linear head on the mean of its last hidden states, four sentences.

use crate::compare::{assert_close, assert_prefix, fill, gradient_difference, l2, number, numbers, relative_distance};
use crate::methods::Listed;
use deft::backend::Cpu;
use deft::data::{Objective, PackedBatch};
use deft::fomo::{Architecture, ModelFiles};
use deft::nn::{AdamW, Model, Moments, Optimizer, ParameterLayout, Share, StackItem};
use serde_json::Value;
use std::path::Path;

/// Of PyTorch's own f32 from f64 at most 6e-6: what is beyond 2e-4 is another formula.
const GRADIENT_TOLERANCE: f64 = 2e-4;

struct Case<'a> {
    file: &'a str,
    json: &'a Value,
    files: ModelFiles,
    architecture: Architecture,
    model: Model<Cpu>,
    batch: PackedBatch,
    objective: Objective,
}

/// Compares everything that `json` holds; returns how many methods that were, the bare model included.
pub fn check(file: &str, json: &Value, folder: &Path) -> usize {
    let files = ModelFiles::open(folder).expect("MiniLM's folder");
    let architecture = files.architecture().expect("MiniLM's config.json").expect("a config.json beside the weights");
    let classes = numbers(&json["head"]["bias"]).len();
    let objective = Objective::Classification { classes };
    let model = Model::load(Cpu::new(), &architecture, objective, files.weights()).expect("MiniLM's tensors");
    let case = Case { file, json, files, architecture, model, batch: batch(json), objective };
    let mut compared = 0;
    if json["base"].is_object() {
        case.check_base();
        compared += 1;
    }
    for (method, expected) in json["methods"].as_object().into_iter().flatten() {
        case.check_method(method, expected);
        compared += 1;
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

impl Case<'_> {
    /// Hidden states of the real tokens after the embedding and after each block, `[tokens, hidden]`.
    fn hidden_states(&self, layout: &ParameterLayout, parameters: &[f32]) -> Vec<Vec<f32>> {
        let (soft, width) = (layout.prompt_tokens(), self.architecture.hidden);
        let real = |hidden: Vec<f32>| {
            let mut rows = Vec::new();
            for s in 0..self.batch.sequences() {
                let start = self.batch.offsets[s] + soft * (s + 1);
                let len = self.batch.sequence(s).len();
                rows.extend_from_slice(&hidden[start * width..(start + len) * width]);
            }
            rows
        };
        let mut pass = self.model.pass(layout, &[Share::whole(parameters, &self.batch)], false);
        pass.embed();
        let mut states = vec![real(pass.hidden())];
        for block in 0..self.architecture.blocks() {
            pass.forward_blocks(block..block + 1);
            states.push(real(pass.hidden()));
        }
        states
    }

    /// Means of each sentence's last hidden states.
    fn pooled(&self, last: &[f32]) -> Vec<Vec<f32>> {
        let width = self.architecture.hidden;
        let mean = |rows: &[f32]| {
            let count = rows.len() / width;
            let sum = |c: usize| rows.iter().skip(c).step_by(width).map(|&v| f64::from(v)).sum::<f64>();
            (0..width).map(|c| (sum(c) / count as f64) as f32).collect()
        };
        self.batch.offsets.windows(2).map(|w| mean(&last[w[0] * width..w[1] * width])).collect()
    }

    fn logits(&self, pooled: &[f32], head: &[f32]) -> Vec<f64> {
        let width = pooled.len();
        let classes = head.len() / (width + 1);
        let dot = |c: usize| head[c * width..][..width].iter().zip(pooled).map(|(&w, &p)| f64::from(w) * f64::from(p));
        (0..classes).map(|c| dot(c).sum::<f64>() + f64::from(head[classes * width + c])).collect()
    }

    fn check_logits(&self, states: &[Vec<f32>], head: &[f32], expected: &Value, what: &str) {
        let pooled = self.pooled(&states[states.len() - 1]);
        for (s, logits) in expected.as_array().expect("logits").iter().enumerate() {
            let found = self.logits(&pooled[s], head);
            for (found, expected) in found.into_iter().zip(numbers(logits)) {
                assert_close(found, expected, 2e-5, &format!("{what}: logits of sentence {s}"));
            }
        }
    }

    fn check_base(&self) {
        let (what, base) = (format!("{} base", self.file), &self.json["base"]);
        let layout = ParameterLayout::new(&self.architecture, &[], self.objective).expect("a head alone");
        let seed = self.json["constants"]["seed"].as_u64().expect("a seed");
        let amp = number(&self.json["constants"]["head_amp"]) as f32;
        let head: Vec<f32> =
            (1..).zip(layout.tensors()).flat_map(|(t, tensor)| fill(seed, t, tensor.range().len(), amp)).collect();
        let states = self.hidden_states(&layout, &head);
        let (width, offsets, mut worst) = (self.architecture.hidden, &self.batch.offsets, 0f64);
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
        self.check_logits(&states, &head, &base["logits"], &what);
        let loss = self.model.evaluate(&layout, &head, &self.batch).loss_sum / self.batch.sequences() as f64;
        assert_close(loss, number(&base["loss"]), 1e-5, &what);
        println!("golden {} base worst_hidden_rel={worst:.1e} ok", self.file);
    }

    fn check_method(&self, method: &str, expected: &Value) {
        let what = format!("{} {method}", self.file);
        let tensors = expected["tensors"].as_array().expect("tensors");
        let listed = Listed { method, tensors, constants: &self.json["constants"] };
        let methods = listed.peft(&self.architecture);
        let layout = ParameterLayout::new(&self.architecture, &methods, self.objective).expect("fits MiniLM");
        let parameters = listed.parameters(&layout, self.files.weights());
        let trainable = number(&expected["trainable_params_without_head"]) as usize;
        let head_start = layout.len() - numbers(&self.json["head"]["bias"]).len() * (self.architecture.hidden + 1);
        assert_eq!(head_start, trainable, "{what}: trainable parameters beside the head");
        for tensor in tensors {
            let ours = listed.find(&layout, tensor);
            assert_prefix(&parameters[ours.range()], &tensor["init_first16"], 1e-6, &format!("{what}: {}", ours.name));
        }

        let states = self.hidden_states(&layout, &parameters);
        for (k, (state, norm)) in states.iter().zip(numbers(&expected["hidden_l2_real_tokens"])).enumerate() {
            assert_close(l2(state), norm, 1e-5 * norm, &format!("{what}: hidden norm after {k}"));
        }
        let pooled = self.pooled(&states[states.len() - 1]);
        for (found, first) in pooled.iter().zip(expected["pooled_first16"].as_array().into_iter().flatten()) {
            assert_prefix(found, first, 2e-5, &format!("{what}: pooled"));
        }
        let reference = ["logits_f64", "logits"].into_iter().find(|key| !expected[*key].is_null()).expect("logits");
        self.check_logits(&states, &parameters[head_start..], &expected[reference], &what);

        let outcome = &self.model.loss_and_gradients(&layout, &[StackItem::new(&parameters, &self.batch)])[0];
        let loss = if expected["loss_before_f64"].is_null() { "loss_before" } else { "loss_before_f64" };
        assert_close(outcome.loss, number(&expected[loss]), 1e-5, &what);
        let mut worst = 0f64;
        for tensor in tensors {
            let ours = listed.find(&layout, tensor);
            let gradient = &outcome.gradient[ours.range()];
            if vanishes(&ours.name) {
                assert!(l2(gradient) < 1e-6, "{what}: the gradient of {} should vanish", ours.name);
                continue;
            }
            let difference = gradient_difference(gradient, tensor);
            assert!(difference <= GRADIENT_TOLERANCE, "{what}: gradient of {} off by {difference:e}", ours.name);
            worst = worst.max(difference);
        }
        for run in ["head_frozen", "head_trained"] {
            self.check_training(&listed, &layout, &parameters, expected, run);
        }
        println!("golden {} {method} worst_grad_rel={worst:.1e} ok", self.file);
    }

    fn check_training(&self, listed: &Listed, layout: &ParameterLayout, start: &[f32], expected: &Value, run: &str) {
        if expected[run].is_null() {
            return;
        }
        let what = format!("{} {} {run}", self.file, listed.method);
        let trains_head = run == "head_trained";
        let curve_key = if expected[run]["curve_f64"].is_null() { "curve_f32" } else { "curve_f64" };
        let reference = numbers(&expected[run][curve_key]);
        let learning_rate = number(&expected["lr"]);
        let head_learning_rate = if trains_head { learning_rate } else { 0.0 };
        let optimizer = Optimizer::AdamW(AdamW {
            learning_rate,
            head_learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        });
        let (mut parameters, mut moments) = (start.to_vec(), Moments::default());
        for (k, expected_loss) in reference.iter().enumerate() {
            let outcome = &self.model.loss_and_gradients(layout, &[StackItem::new(&parameters, &self.batch)])[0];
            let tolerance = if k < 2 { 1e-5 } else { 1e-4 };
            assert_close(outcome.loss, *expected_loss, tolerance, &format!("{what}: loss after {k} steps"));
            optimizer.update(layout, &mut parameters, &outcome.gradient, &mut moments);
            if k > 0 {
                continue;
            }
            for tensor in listed.tensors {
                let ours = listed.find(layout, tensor);
                // `head.*` is stored as the run that trains it leaves it, the others as the run that does not.
                if ours.name.starts_with("head") == trains_head && !vanishes(&ours.name) {
                    let after = &tensor["after_step1_first16"];
                    assert_prefix(&parameters[ours.range()], after, 1e-5, &format!("{what}: {}", ours.name));
                }
            }
        }
    }
}

/// Softmax ignores what all keys have in common.
fn vanishes(name: &str) -> bool {
    name.ends_with("attention.self.key.bias")
}
