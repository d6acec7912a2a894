//! Cases of tiny models of several families with made-up weights, trained whole and by LoRA: no checkpoint is needed.
//!
//! The architecture is read from the config.json that transformers was given, so its defaults are compared as well.

use crate::compare::{assert_close, fill, l2, number, numbers};
use crate::made_up::{MadeUp, full, seed, t, whole_difference};
use deft::backend::Cpu;
use deft::data::{ImageSize, Objective, PackedBatch};
use deft::fomo::{Architecture, CheckpointError, TensorSource, architecture_from_config};
use deft::nn::{
    LoraConfig, LoraScaling, LoraVariant, Model, Overlaid, ParameterLayout, PeftMethod, Projection, Share, StackItem,
};
use deft::random::Streams;
use serde_json::Value;

/// Both sides compute in double precision; ours hands gradients over in single.
const TOLERANCE: f64 = 2e-7;
/// Log probabilities are sums and differences of losses.
const ANSWER_TOLERANCE: f64 = 1e-8;

/// A checkpoint of zeros, in which gradients take their places.
struct Zeros;

impl TensorSource for Zeros {
    fn tensor(&self, _: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        Ok(vec![0.0; shape.iter().product()])
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

struct Case<'a> {
    what: String,
    constants: &'a Value,
    weights: MadeUp<'a>,
    architecture: Architecture,
    objective: Objective,
    model: Model<Cpu<f64>>,
    batch: PackedBatch,
}

/// Compares everything that `json` holds; returns the methods that it compared, as paths in the file.
pub fn check(file: &str, json: &Value) -> Vec<String> {
    let mut compared = Vec::new();
    for (name, case) in json["models"].as_object().expect("models") {
        let methods = case["methods"].as_object().expect("methods");
        let constants = &json["constants"];
        // The list of all tensors.
        let weights = MadeUp { constants, tensors: methods["full"]["tensors"].as_array().expect("tensors") };
        let config = case["config"].to_string();
        let architecture = architecture_from_config(name, file, config.as_bytes()).expect("a family's config.json");
        let batch = batch(case, &architecture);
        let labels = if case["labels"].is_array() { numbers(&case["labels"]) } else { Vec::new() };
        let objective = match labels.iter().copied().reduce(f64::max) {
            Some(largest) => Objective::Classification { classes: largest as usize + 1 },
            None => Objective::NextToken,
        };
        let model = Model::load(Cpu::<f64>::new(), &architecture, objective, &weights).expect("the family's tensors");
        let what = format!("{file} {name}");
        let case = Case { what, constants, weights, architecture, objective, model, batch };
        for (method, expected) in methods {
            let worst = case.check_method(method, expected);
            println!("golden {file} {method} ({name}) worst_grad_rel={worst:.1e} ok");
            compared.push(format!("models/{name}/methods/{method}"));
        }
    }
    compared
}

fn batch(case: &Value, architecture: &Architecture) -> PackedBatch {
    let whole = |row: &Value| -> Vec<u32> { numbers(row).into_iter().map(|x| x as u32).collect() };
    let rows = |key: &str| -> Vec<Vec<u32>> { case[key].as_array().expect("inputs").iter().map(whole).collect() };
    let label = |s: usize| case["labels"][s].as_u64().unwrap_or(0) as u32;
    let Some(image) = architecture.image else {
        let texts = rows("input_ids");
        return PackedBatch::pack(texts.iter().enumerate().map(|(s, text)| (text.as_slice(), label(s))));
    };
    let bytes: Vec<Vec<u8>> = rows("images").iter().map(|i| i.iter().map(|&x| x as u8).collect()).collect();
    let images = bytes.iter().enumerate().map(|(s, image)| (image.as_slice(), label(s)));
    PackedBatch::pack_images(images, ImageSize { side_px: image.side_px, channels: image.channels }, image.patch_px)
}

impl Case<'_> {
    fn peft(&self, method: &str) -> PeftMethod {
        match method {
            "full" => full(&self.architecture),
            "lora" => PeftMethod::Lora(LoraConfig {
                rank_per_block: vec![number(&self.constants["lora_r"]) as usize; self.architecture.blocks()],
                alpha: number(&self.constants["lora_alpha"]),
                targets: vec![Projection::Query, Projection::Value],
                scaling: LoraScaling::Rank,
                dropout: 0.0,
                variant: LoraVariant::Plain,
            }),
            other => panic!("{}: no reader for method `{other}`", self.what),
        }
    }

    /// The made-up numbers of what no checkpoint has.
    fn parameters(&self, layout: &ParameterLayout, tensors: &[Value]) -> Vec<f32> {
        let mut parameters = layout.initial(&Streams::new(0, 0), &self.weights).expect("the family's own values");
        for ours in layout.tensors() {
            let amp = match ours.name.rsplit('.').next() {
                _ if ours.name.starts_with("head.") => "head_amp",
                Some("lora_A") => "lora_amp_a",
                Some("lora_B") => "lora_amp_b",
                _ => continue,
            };
            let listed = tensors.iter().find(|t| t["name"] == ours.name);
            let t = t(listed.unwrap_or_else(|| panic!("{}: the file has no {}", self.what, ours.name)));
            let values = fill(seed(self.constants), t, ours.range().len(), number(&self.constants[amp]) as f32);
            parameters[ours.range()].copy_from_slice(&values);
        }
        parameters
    }

    /// Returns the worst relative difference of a gradient.
    fn check_method(&self, method: &str, expected: &Value) -> f64 {
        let what = format!("{} {method}", self.what);
        let tensors = expected["tensors"].as_array().expect("tensors");
        let layout =
            ParameterLayout::new(&self.architecture, &[self.peft(method)], self.objective).expect("fits the family");
        let parameters = self.parameters(&layout, tensors);
        self.model.check_batch(&layout, &self.batch).expect("a batch of the family");
        self.check_answers(&layout, &parameters, &expected["logits"], &what);
        let outcome = &self.model.loss_and_gradients(&layout, &[StackItem::new(&parameters, &self.batch)])[0];
        assert_close(outcome.loss, number(&expected["loss"]), ANSWER_TOLERANCE, &what);

        // The file has gradients in a checkpoint's layout: GPT-2's of queries, keys and values are one matrix, and RoBERTa's
        // positions have rows that nothing trains.
        let placed = Overlaid { checkpoint: &Zeros, layout: &layout, parameters: &outcome.gradient };
        let mut worst = 0f64;
        for tensor in tensors {
            let (name, shape) = (tensor["name"].as_str().expect("a name"), numbers(&tensor["shape"]));
            let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
            let gradient = match layout.tensors().iter().find(|ours| ours.name == name) {
                Some(ours) if name.starts_with("head.") || name.contains(".lora_") => {
                    outcome.gradient[ours.range()].to_vec()
                }
                _ => placed.tensor(name, &shape).expect("zeros at least"),
            };
            assert_eq!(gradient.len(), shape.iter().product::<usize>(), "{what}: size of {name}");
            // Softmax ignores what all keys have in common.
            if name.ends_with("key.bias") {
                assert!(l2(&gradient) < 1e-12, "{what}: the gradient of {name} should vanish");
                continue;
            }
            let difference = whole_difference(&gradient, tensor, self.constants);
            assert!(difference <= TOLERANCE, "{what}: gradient of {name} off by {difference:e}");
            worst = worst.max(difference);
        }
        worst
    }

    /// Log probabilities of the classes, or of every token after each text.
    fn check_answers(&self, layout: &ParameterLayout, parameters: &[f32], logits: &Value, what: &str) {
        let logits: Vec<Vec<f64>> = logits.as_array().expect("logits").iter().map(numbers).collect();
        assert_eq!(logits.len(), self.batch.sequences(), "{what}: a row of logits a sequence");
        let found: Vec<Vec<f64>> = if let Objective::Classification { classes } = self.objective {
            let answers = self.model.class_answers(layout, parameters, &self.batch, classes, None);
            answers.into_iter().map(|a| a.log_probabilities).collect()
        } else {
            (0..logits.len()).map(|s| self.next_token(layout, parameters, self.batch.sequence(s))).collect()
        };
        for (s, (found, expected)) in found.iter().zip(&logits).enumerate() {
            assert_eq!(found.len(), expected.len(), "{what}: answers to sequence {s}");
            for (found, expected) in found.iter().zip(normalised(expected)) {
                assert_close(*found, expected, ANSWER_TOLERANCE, &format!("{what}: log probabilities of sequence {s}"));
            }
        }
    }

    /// The text with each token behind it: their losses differ by what that token's probability is.
    fn next_token(&self, layout: &ParameterLayout, parameters: &[f32], text: &[u32]) -> Vec<f64> {
        let longer: Vec<Vec<u32>> = (0..self.architecture.vocabulary as u32).map(|v| [text, &[v]].concat()).collect();
        let batch = PackedBatch::pack(longer.iter().map(|text| (text.as_slice(), 0)));
        let mut pass = self.model.pass(layout, &[Share::whole(parameters, &batch)], false);
        pass.embed();
        pass.forward_blocks(0..self.architecture.blocks());
        normalised(&pass.classify().iter().map(|outcome| -outcome.loss).collect::<Vec<_>>())
    }
}

fn normalised(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum = largest + logits.iter().map(|l| (l - largest).exp()).sum::<f64>().ln();
    logits.iter().map(|l| l - sum).collect()
}
