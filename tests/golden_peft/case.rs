//! What is compared of one method, whatever the model: start, hidden states, loss, gradients and steps of AdamW.

use crate::compare::{assert_close, assert_prefix, gradient_difference, l2, number, numbers};
use crate::methods::Listed;
use deft::backend::Cpu;
use deft::data::{Objective, PackedBatch};
use deft::fomo::{Architecture, ModelFiles, TensorSource as _};
use deft::nn::{AdamW, Model, Moments, Optimizer, ParameterLayout, Share, StackItem};
use serde_json::Value;

/// How far ours may be from a reference.
#[derive(Clone, Copy)]
pub struct Tolerances {
    pub gradient: f64,
    /// At the start and after one step.
    pub loss: f64,
    pub trained_loss: f64,
    /// Relative, of norms of hidden states.
    pub hidden: f64,
    /// Relative, of parameters after one step.
    pub stepped: f64,
}

/// Losses before each step; those in double precision count where both are there.
const CURVES: [&str; 2] = ["curve_f64", "curve_f32"];

pub struct Case<'a> {
    pub file: &'a str,
    pub json: &'a Value,
    pub files: ModelFiles,
    pub architecture: Architecture,
    pub model: Model<Cpu>,
    pub batch: PackedBatch,
    pub objective: Objective,
    pub tolerances: Tolerances,
}

impl Case<'_> {
    /// Hidden states of the real tokens after the embedding and after each block, `[tokens, hidden]`; of a decoder the last
    /// behind its final norm.
    pub fn hidden_states(&self, layout: &ParameterLayout, parameters: &[f32]) -> Vec<Vec<f32>> {
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
        if self.objective == Objective::NextToken {
            self.final_norm(states.last_mut().expect("a state"));
        }
        states
    }

    /// Llama's: its root mean square and gain.
    fn final_norm(&self, rows: &mut [f32]) {
        let Architecture { hidden: width, norm_eps, .. } = self.architecture;
        let gain = self.files.weights().tensor("model.norm.weight", &[width]).expect("Llama's final norm");
        for row in rows.chunks_exact_mut(width) {
            let square = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / width as f64;
            row.iter_mut().zip(&gain).for_each(|(v, &g)| *v = (f64::from(*v) / (square + norm_eps).sqrt()) as f32 * g);
        }
    }

    /// Means of each sentence's last hidden states.
    pub fn pooled(&self, last: &[f32]) -> Vec<Vec<f32>> {
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

    pub fn check_logits(&self, states: &[Vec<f32>], head: &[f32], expected: &Value, what: &str) {
        let pooled = self.pooled(&states[states.len() - 1]);
        for (s, logits) in expected.as_array().expect("logits").iter().enumerate() {
            let found = self.logits(&pooled[s], head);
            for (found, expected) in found.into_iter().zip(numbers(logits)) {
                assert_close(found, expected, 2e-5, &format!("{what}: logits of sentence {s}"));
            }
        }
    }

    /// Everything that the file holds of one method.
    pub fn check_method(&self, method: &str, expected: &Value) {
        let what = format!("{} {method}", self.file);
        let tensors = expected["tensors"].as_array().unwrap_or_else(|| panic!("{what}: no list of tensors"));
        let listed = Listed { file: self.file, method, tensors, constants: &self.json["constants"] };
        let methods = listed.peft(&self.architecture);
        let layout = ParameterLayout::new(&self.architecture, &methods, self.objective).expect("fits the model");
        let parameters = listed.parameters(&layout, self.files.weights());
        let head_start = layout.len() - self.head_parameters();
        if let Some(trainable) = expected["trainable_params_without_head"].as_u64() {
            assert_eq!(head_start as u64, trainable, "{what}: trainable parameters beside the head");
        }
        for tensor in tensors {
            let ours = listed.find(&layout, tensor);
            assert_prefix(&parameters[ours.range()], &tensor["init_first16"], 1e-6, &format!("{what}: {}", ours.name));
        }
        self.check_states(&layout, &parameters, head_start, expected, &what);

        let outcome = &self.model.loss_and_gradients(&layout, &[StackItem::new(&parameters, &self.batch)])[0];
        let loss = ["loss_before_f64", "loss_before"].into_iter().find_map(|key| expected[key].as_f64());
        let loss = loss.unwrap_or_else(|| panic!("{what}: no loss at the start"));
        assert_close(outcome.loss, loss, self.tolerances.loss, &what);
        let mut worst = 0f64;
        for tensor in tensors {
            let ours = listed.find(&layout, tensor);
            let gradient = &outcome.gradient[ours.range()];
            if vanishes(&ours.name) {
                assert!(l2(gradient) < 1e-6, "{what}: the gradient of {} should vanish", ours.name);
                continue;
            }
            let difference = gradient_difference(gradient, tensor);
            let close = difference <= self.tolerances.gradient;
            assert!(close, "{what}: gradient of {} off by {difference:e}", ours.name);
            worst = worst.max(difference);
        }
        let learning_rate = expected["lr"].as_f64().unwrap_or(1e-3);
        for run in ["head_frozen", "head_trained"].into_iter().filter(|run| !expected[*run].is_null()) {
            self.check_training(&listed, &layout, &parameters, (run, &expected[run], learning_rate));
        }
        // A decoder has no head: its curve stands beside the tensors.
        if CURVES.iter().any(|key| !expected[*key].is_null()) {
            self.check_training(&listed, &layout, &parameters, ("alone", expected, learning_rate));
        }
        println!("golden {} {method} worst_grad_rel={worst:.1e} ok", self.file);
    }

    fn head_parameters(&self) -> usize {
        match self.objective {
            Objective::Classification { classes } => classes * (self.architecture.hidden + 1),
            Objective::Regression => self.architecture.hidden + 1,
            Objective::NextToken => 0,
        }
    }

    /// Hidden states, their means and what the head makes of them.
    fn check_states(&self, layout: &ParameterLayout, parameters: &[f32], head: usize, expected: &Value, what: &str) {
        let norms = ["hidden_l2_real_tokens", "hidden_l2"].into_iter().find_map(|key| expected[key].as_array());
        let logits = ["logits_f64", "logits"].into_iter().map(|key| &expected[key]).find(|l| !l.is_null());
        let classifies = self.objective != Objective::NextToken;
        assert!(!classifies || (norms.is_some() && logits.is_some()), "{what}: no hidden norms or no logits");
        let Some(norms) = norms else { return };
        let states = self.hidden_states(layout, parameters);
        assert_eq!(states.len(), norms.len(), "{what}: hidden norms");
        for (k, (state, norm)) in states.iter().zip(norms.iter().map(number)).enumerate() {
            assert_close(l2(state), norm, self.tolerances.hidden * norm, &format!("{what}: hidden norm after {k}"));
        }
        if classifies {
            let pooled = self.pooled(&states[states.len() - 1]);
            for (found, first) in pooled.iter().zip(expected["pooled_first16"].as_array().into_iter().flatten()) {
                assert_prefix(found, first, 2e-5, &format!("{what}: pooled"));
            }
            self.check_logits(&states, &parameters[head..], logits.expect("asked above"), what);
        }
    }

    /// Steps of AdamW on one batch; the run has a name, its numbers in the file and a learning rate.
    fn check_training(&self, listed: &Listed, layout: &ParameterLayout, start: &[f32], run: (&str, &Value, f64)) {
        let (name, run, learning_rate) = run;
        let what = format!("{} {} {name}", self.file, listed.method);
        let curve = CURVES.into_iter().find(|key| !run[*key].is_null());
        let curve = numbers(&run[curve.unwrap_or_else(|| panic!("{what}: no losses"))]);
        let (trains_head, decodes) = (name == "head_trained", self.objective == Objective::NextToken);
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
        for (k, expected_loss) in curve.iter().enumerate() {
            let outcome = &self.model.loss_and_gradients(layout, &[StackItem::new(&parameters, &self.batch)])[0];
            let Tolerances { loss, trained_loss, .. } = self.tolerances;
            let tolerance = if k < 2 { loss } else { trained_loss };
            assert_close(outcome.loss, *expected_loss, tolerance, &format!("{what}: loss after {k} steps"));
            optimizer.update(layout, &mut parameters, &outcome.gradient, &mut moments);
            if k > 0 {
                continue;
            }
            for tensor in listed.tensors {
                let ours = listed.find(layout, tensor);
                let (at, after) = (format!("{what}: {}", ours.name), &tensor["after_step1_first16"]);
                // `head.*` is stored as the run that trains it leaves it, the others as the run that does not.
                let stored = ours.name.starts_with("head") == trains_head && !(decodes && after.is_null());
                if stored && !vanishes(&ours.name) {
                    assert_prefix(&parameters[ours.range()], after, self.tolerances.stepped, &at);
                }
            }
        }
    }
}

/// Softmax ignores what all keys have in common.
fn vanishes(name: &str) -> bool {
    name.ends_with("attention.self.key.bias")
}
