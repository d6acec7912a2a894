//! Whole runs as `deft run --backend cuda` plays them, on the device of the tests: the same scenario on the CPU in half precision
//! tells the same.

use crate::cuda_device::{device, on_gpu};
use crate::cuda_host::{HostDevice, Schedule};
use crate::tiny::MadeUp;
use crate::watched::Watched;
use deft::experiment::{self, Options, WhenToCompute};
use deft::fomo::{Architecture, CheckpointError, TensorSource, architecture_from_config};
use deft::learning::{Processor, Store};
use deft::nn::Model;
use deft::scenario::{Scenario, ScenarioSource};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const CONFIGS: [(&str, &str, &str); 4] = [
    (
        "bert",
        "classification",
        r#"{"model_type": "bert", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size":
        40, "vocab_size": 40, "max_position_embeddings": 24, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act":
        "gelu"}"#,
    ),
    (
        "gpt2",
        "language_model",
        r#"{"model_type": "gpt2", "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "n_embd": 24, "n_head": 3,
        "n_layer": 2, "n_positions": 24, "n_ctx": 24, "vocab_size": 40}"#,
    ),
    (
        "llama",
        "language_model",
        r#"{"model_type": "llama", "attention_bias": false, "hidden_act": "silu", "hidden_size": 24, "intermediate_size": 40,
        "max_position_embeddings": 64, "mlp_bias": false, "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_scaling": null, "rope_theta": 10000, "tie_word_embeddings":
        true, "vocab_size": 40}"#,
    ),
    (
        "t5",
        "sequence_to_sequence",
        r#"{"model_type": "t5", "d_ff": 40, "d_kv": 6, "d_model": 24, "is_encoder_decoder": true, "layer_norm_epsilon": 1e-6,
        "n_positions": 24, "num_heads": 2, "num_layers": 2, "relative_attention_num_buckets": 8, "vocab_size": 40}"#,
    ),
];

const WORDS: [&str; 12] =
    ["warm", "cold", "good", "bad", "film", "soup", "never", "again", "loved", "it", "the", "worst"];

/// Hands out made-up tensors, small ones where they are products, and remembers them.
struct Recorder(RefCell<BTreeMap<String, Tensor>>);

/// Shape and values.
type Tensor = (Vec<usize>, Vec<f32>);

impl TensorSource for Recorder {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let shrunk = if shape.len() > 1 { 0.5 } else { 1.0 };
        let values: Vec<f32> = MadeUp.tensor(name, shape)?.iter().map(|v| shrunk * v).collect();
        self.0.borrow_mut().insert(name.to_owned(), (shape.to_vec(), values.clone()));
        Ok(values)
    }

    fn has(&self, name: &str) -> bool {
        !name.ends_with("lm_head.weight")
    }
}

/// A model hub's folder with a model of the configuration, and a scenario beside it.
fn write_model(folder: &Path, config: &str, task: &str) {
    let architecture: Architecture =
        architecture_from_config("tiny", "config.json", config.as_bytes()).expect("a model");
    let objective = match task {
        "classification" => deft::data::Objective::Classification { classes: 2 },
        _ => deft::data::Objective::NextToken,
    };
    let recorder = Recorder(RefCell::default());
    Model::load(deft::backend::Cpu::<f32>::new(), &architecture, objective, &recorder).expect("made-up weights");
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (name, (shape, values)) in recorder.0.borrow().iter() {
        let begin = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let end = data.len();
        header.push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#));
    }
    let header = format!("{{{}}}", header.join(","));
    let weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    let words: Vec<String> = WORDS.iter().enumerate().map(|(i, w)| format!(r#""{w}": {}"#, i + 4)).collect();
    let tokenizer = format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer":
        {{"type": "Whitespace"}}, "post_processor": null, "decoder": null, "model": {{"type": "WordLevel", "vocab":
        {{"[UNK]": 0, "<pad>": 1, "</s>": 2, "<s>": 3, {}}}, "unk_token": "[UNK]"}}}}"#,
        words.join(", ")
    );
    let line = |i: usize| {
        let word = |k: usize| WORDS[(i * 7 + k * k * 5 + k) % WORDS.len()];
        let text: Vec<&str> = (0..4 + i % 5).map(word).collect();
        let target: Vec<&str> = (0..2 + i % 2).map(|k| word(k + 1)).collect();
        let split = if i % 4 == 3 { "test" } else { "train" };
        match task {
            "classification" => format!("{}\t{}\t{split}", text.join(" "), ["plus", "minus"][i % 2]),
            "language_model" => format!("{}\t{split}", text.join(" ")),
            _ => format!("{}\t{}\t{split}", text.join(" "), target.join(" ")),
        }
    };
    let columns = match task {
        "classification" => "text\tlabel\tsplit",
        "language_model" => "text\tsplit",
        _ => "text\ttarget\tsplit",
    };
    let lines: Vec<String> = std::iter::once(columns.to_owned()).chain((0..48).map(line)).collect();
    let scenario = format!(
        "
name: tiny
seed: 3
model: {{checkpoint: {{folder: .}}, precision: fp16}}
peft: {{rank: 2}}
workload: {{batch_size: 3, sequence_tokens: 12}}
training:
  dataset: {{file: data.tsv}}
  task: {task}
  learning_rate: 5.0e-3
  evaluation_samples: 8
technique: {{kind: federated, rounds: 2, local_steps: 2}}
devices: [{{name: phone, count: 3, hardware: snapdragon_8_gen_3}}]
"
    );
    for (name, bytes) in [
        ("model.safetensors", weights),
        ("config.json", config.into()),
        ("tokenizer.json", tokenizer.into()),
        ("data.tsv", lines.join("\n").into()),
        ("tiny.yaml", scenario.into()),
    ] {
        std::fs::write(folder.join(name), bytes).expect("a writable folder");
    }
}

/// Training loss, test loss and accuracy of each round.
fn learnt(scenario: &Scenario, processor: Processor) -> Vec<[f64; 3]> {
    let store = Arc::new(Store::open_on(processor, None).expect("a store in memory"));
    let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
    let record = experiment::run(scenario, &store, &options).unwrap_or_else(|error| panic!("{error}")).record;
    let rounds = record.replications.iter().flat_map(|r| &r.rounds);
    rounds.map(|r| [r.train_loss, r.test_loss, r.accuracy].map(|v| v.expect("it trains"))).collect()
}

#[test]
fn a_run_on_the_device_tells_what_the_cpu_tells_in_half_precision() {
    for (family, task, config) in CONFIGS {
        let Some(device) = device(Schedule::default()) else { return };
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_model(folder.path(), config, task);
        let source = ScenarioSource::read(folder.path().join("tiny.yaml")).unwrap_or_else(|error| panic!("{error}"));
        for technique in ["federated", "split_federated"] {
            let set = [("technique.kind".to_owned(), serde_json::json!(technique))];
            let scenario = source.resolve_with(&set).unwrap_or_else(|error| panic!("{family}: {error}"));
            let on_device = Processor::on(device.clone(), "of the tests", 64 << 20).expect("memory");
            assert_eq!(on_device.description(true), "cuda (of the tests)");
            let (there, here) = (learnt(&scenario, on_device), learnt(&scenario, Processor::Cpu));
            assert_eq!(there.len(), 2);
            for (there, here) in there.iter().zip(&here) {
                for (t, h) in there.iter().zip(here) {
                    assert!((t - h).abs() <= 1e-2 * h.abs(), "{family}, {technique}: {there:?}, not {here:?}");
                }
            }
            assert!(here[0][0] != here[1][0], "{family}: it learns nothing");
        }
    }
}

/// The devices of a round share W and have adapters of their own: one pass, each product with its terms one launch.
#[test]
fn the_devices_of_a_round_are_one_launch() {
    if on_gpu() {
        return;
    }
    let Some(device) = HostDevice::new(Schedule::default()) else { return };
    let device = Arc::new(Watched::new(device, |_| None));
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_model(folder.path(), CONFIGS[0].2, CONFIGS[0].1);
    let source = ScenarioSource::read(folder.path().join("tiny.yaml")).unwrap_or_else(|error| panic!("{error}"));
    let scenario = source.resolve().unwrap_or_else(|error| panic!("{error}"));
    learnt(&scenario, Processor::on(device.clone(), "of the tests", 64 << 20).expect("memory"));
    let launches = device.launches();
    let fused = &launches["low_rank_forward_64_r16"];
    // Two rounds of two steps of three devices, and three tests of one model: query and value are one product in each of two
    // blocks.
    let of = |clients: u32| fused.iter().filter(|grid| grid[2] == clients).count();
    assert_eq!((of(3), of(1), fused.len()), (2 * 2 * 2, 3 * 2, 14), "{fused:?}");
    assert!(launches["adamw"].len() >= 2 * 2 * 3 && !launches.contains_key("clip"));
}
