//! The keys of `peft`: each method once alone and once combined with another one.

use crate::key_bases::Base;
use crate::key_table::{Row, row, together};
use Base::{Beside, Emulated, Method, TrainedBeside, TrainedMethod};
use serde_json::{Value, json};

const LORA: &str = r#"{"method": "lora", "rank": 8, "blocks": {"last": 4}}"#;
const LOWEST: &str = r#"{"method": "lora", "rank": 8, "blocks": {"first": 4}}"#;
const LISTED: &str = r#"{"method": "lora", "rank": 8, "blocks": [1, 3]}"#;
const RANKS: &str = r#"{"method": "lora", "rank": {"blocks": [8, 4, 4, 2, 0, 0]}}"#;
const ADAPTIVE: &str =
    r#"{"method": "ada_lora", "rank": 4, "target_rank": 2, "warmup_steps": 1, "final_step": 3, "orthogonality": 1}"#;
const ADAPTER: &str = r#"{"method": "adapter", "placement": "houlsby", "bottleneck": 8, "activation": "gelu"}"#;
const WIDTHS: &str = r#"{"method": "parallel_adapter", "bottleneck": {"blocks": [8, 4, 4, 2, 0, 0]}}"#;
const PREFIX: &str = r#"{"method": "prefix", "tokens": 8}"#;
const PREFIXES: &str = r#"{"method": "prefix", "tokens": {"blocks": [8, 4, 4, 2, 0, 0]}}"#;
const BIASES: &str = r#"{"method": "bitfit", "outside_blocks": false}"#;

/// A key of a method, the method, and another value. `true` where only training shows the difference.
fn keys() -> Vec<(&'static str, &'static str, Value, bool)> {
    vec![
        ("rank", LORA, json!(4), false),
        ("rank.blocks[*]", RANKS, json!(2), false),
        ("blocks", LORA, json!("all"), false),
        ("blocks.last", LORA, json!(2), false),
        ("blocks.first", LOWEST, json!(2), false),
        ("blocks[*]", LISTED, json!(4), false),
        ("alpha", LORA, json!(64), true),
        ("scaling", LORA, json!("rank_root"), true),
        ("targets[*]", LORA, json!("key"), true),
        ("dropout", LORA, json!(0.5), true),
        ("target_rank", ADAPTIVE, json!(1), true),
        ("warmup_steps", ADAPTIVE, json!(0), true),
        ("final_step", ADAPTIVE, json!(2), true),
        ("orthogonality", ADAPTIVE, json!(100), true),
        ("placement", ADAPTER, json!("pfeiffer"), false),
        ("bottleneck", ADAPTER, json!(4), false),
        ("bottleneck.blocks[*]", WIDTHS, json!(2), false),
        ("activation", ADAPTER, json!("relu"), true),
        ("adapter_scale", ADAPTER, json!(4), true),
        ("tokens", PREFIX, json!(4), false),
        ("tokens.blocks[*]", PREFIXES, json!(2), false),
        ("outside_blocks", BIASES, json!(true), false),
    ]
}

/// The section with `method` alone.
pub fn first(method: &str) -> Value {
    serde_json::from_str(method).expect("a method in JSON")
}

/// The section with `method` beside a small prompt.
pub fn combined(method: &str) -> Value {
    json!({"method": "prompt", "tokens": 2, "combine_with": [first(method)]})
}

/// The bases of all rows, each once.
pub fn bases() -> Vec<Base> {
    let mut bases: Vec<Base> = rows().iter().map(|row| row.base).filter(|base| *base != Emulated).collect();
    let mut seen = Vec::new();
    bases.retain(|base| {
        !seen.contains(base) && {
            seen.push(*base);
            true
        }
    });
    bases
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        together("peft.method", Emulated, &[("peft", json!({"method": "head_only"}))]),
        row("peft.combine_with", Emulated, json!([first(BIASES)])),
        together("peft.combine_with[*].method", Beside(LORA), &[("peft.combine_with[0]", first(PREFIX))]),
    ];
    for (key, method, value, trained) in keys() {
        let (alone, beside) =
            if trained { (TrainedMethod(method), TrainedBeside(method)) } else { (Method(method), Beside(method)) };
        for (section, base) in [("peft", alone), ("peft.combine_with[*]", beside)] {
            let key: &'static str = String::leak(format!("{section}.{key}"));
            rows.push(row(key, base, value.clone()));
        }
    }
    rows
}
