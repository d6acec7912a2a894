//! Files that scenarios of the table of keys point at, made once.

use crate::support;
use deft::experiment::{self, Options, WhenToCompute};
use deft::learning::Store;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Two checkpoints that differ a little from the vendored one and from each other, the tokenizer beside each.
pub fn checkpoints() -> &'static [PathBuf; 2] {
    static MADE: OnceLock<[PathBuf; 2]> = OnceLock::new();
    MADE.get_or_init(|| {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minilm");
        let vendored =
            std::fs::read(assets.join("model.int8.safetensors")).expect("the weights are part of the sources");
        ["one", "two"].map(|name| {
            let mut bytes = vendored.clone();
            let (some, from) = (bytes.len() / 4, bytes.len() / if name == "one" { 2 } else { 4 });
            // The last bits of 8-bit weights.
            bytes[from..][..some].iter_mut().for_each(|byte| *byte ^= 1);
            for file in ["tokenizer.json", "config.json"] {
                std::fs::copy(assets.join(file), own_file(name, file)).expect("a copy");
            }
            let path = own_file(name, "model.safetensors");
            std::fs::write(&path, bytes).expect("the checkpoint can be written");
            path
        })
    })
}

/// A phone of nobody's make.
pub fn own_hardware() -> serde_json::Value {
    json!({
        "name": "mine", "fp32_gflops": 100, "fp16_gflops": 200, "int8_gops": 400, "memory_gb": 6,
        "memory_bandwidth_gb_per_s": 20, "launch_overhead_us": 10, "idle_w": 0.5, "active_w": 4, "battery_wh": 12,
    })
}

/// The same as `deft calibrate` would write it, three times as fast.
pub fn other_hardware() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut hardware = own_hardware();
        hardware["fp16_gflops"] = json!(600);
        let path = own_file("hardware", "mine.yaml");
        std::fs::write(&path, serde_json::to_string(&hardware).expect("a map")).expect("a file can be written");
        path
    })
}

pub fn folder_of(file: &Path) -> PathBuf {
    file.parent().expect("a file lies in a folder").to_owned()
}

/// What a run of the tiny scenario without a partition of its own ends with.
pub fn trained_adapter() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
        let store = Arc::new(Store::open(None).expect("a store in memory"));
        let trial = experiment::run(&support::scenario::<&str>("tiny.yaml", &[]), &store, &options).expect("a run");
        let adapters = trial.models.expect("something was trained").adapters().expect("the last state");
        let path = own_file("adapter", "global.safetensors");
        std::fs::write(&path, adapters[0].1.to_bytes()).expect("the adapter can be written");
        path
    })
}

/// A folder with an untrained vision transformer for grey images of 8 x 8 pixels.
pub fn image_model() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let (hidden, inner, patches) = (16, 32, 4);
        let config = json!({
            "model_type": "vit", "hidden_size": hidden, "num_hidden_layers": 6, "num_attention_heads": 2,
            "intermediate_size": inner, "image_size": 8, "patch_size": 4, "num_channels": 1, "layer_norm_eps": 1e-6,
            "hidden_act": "gelu", "qkv_bias": true,
        });
        std::fs::write(own_file("images", "config.json"), config.to_string()).expect("a file can be written");
        let mut shapes = vec![
            ("embeddings.cls_token".to_owned(), vec![1, 1, hidden]),
            ("embeddings.position_embeddings".to_owned(), vec![1, patches + 1, hidden]),
            ("embeddings.patch_embeddings.projection.weight".to_owned(), vec![hidden, 1, 4, 4]),
            ("embeddings.patch_embeddings.projection.bias".to_owned(), vec![hidden]),
        ];
        let mut layer = |name: String, outputs: usize, inputs: usize| {
            shapes.push((format!("{name}.weight"), if inputs > 0 { vec![outputs, inputs] } else { vec![outputs] }));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        };
        for i in 0..6 {
            let block = |part: &str| format!("encoder.layer.{i}.{part}");
            for part in ["attention.attention.query", "attention.attention.key", "attention.attention.value"] {
                layer(block(part), hidden, hidden);
            }
            layer(block("attention.output.dense"), hidden, hidden);
            layer(block("intermediate.dense"), inner, hidden);
            layer(block("output.dense"), hidden, inner);
            layer(block("layernorm_before"), hidden, 0);
            layer(block("layernorm_after"), hidden, 0);
        }
        layer("layernorm".to_owned(), hidden, 0);
        let path = own_file("images", "model.safetensors");
        std::fs::write(&path, safetensors(&shapes)).expect("the checkpoint can be written");
        folder_of(&path)
    })
}

/// A safetensors file with tensors of these shapes, whose values wander between -0.5 and 0.5.
fn safetensors(shapes: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut values) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape) in shapes {
        let from = values.len();
        for n in 0..shape.iter().product::<usize>() {
            values.extend((((from + 7 * n) as f32).sin() / 2.0).to_le_bytes());
        }
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [from, values.len()]}));
    }
    let header = serde_json::to_vec(&header).expect("a header");
    [&(header.len() as u64).to_le_bytes()[..], &header, &values].concat()
}

/// Bright and dark images.
pub fn image_table() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let pixels = |pixel: &dyn Fn(usize) -> String| (0..64).map(pixel).collect::<Vec<_>>().join(",");
        let mut table = format!("label,split,{}\n", pixels(&|p| format!("p{p}")));
        for i in 0..48 {
            let (label, split) = (i % 2, if i < 36 { "train" } else { "test" });
            table +=
                &format!("{label},{split},{}\n", pixels(&|p| (40 + 120 * label + (i * 31 + p * 17) % 90).to_string()));
        }
        let path = own_file("images", "images.csv");
        std::fs::write(&path, table).expect("the table can be written");
        path
    })
}

/// The tiny data set without its first rows.
pub fn other_table() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.tsv");
    let text = std::fs::read_to_string(path).expect("the data set is part of the sources");
    let rows = text.lines().enumerate().filter(|(i, _)| !(1..9).contains(i)).map(|(_, row)| row);
    let path = own_file("table", "other.tsv");
    std::fs::write(&path, rows.collect::<Vec<_>>().join("\n")).expect("the table can be written");
    path
}

/// A place for a file that this test makes.
fn own_file(folder: &str, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keys_have_effect").join(folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder.join(name)
}
