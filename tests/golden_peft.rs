//! The learning arithmetic against PyTorch: every case file of format `deft-golden/1` in a folder.
//!
//! `$DEFT_GOLDEN` names the folder of the case files (default `tests/golden/`, whose README gives every formula),
//! `$DEFT_MODELS` that of the weights (default `models/`, where `scripts/fetch_models.sh` puts them). Without the
//! weights a case says so and checks nothing, except where `CI` is set: there it fails. Run with `--nocapture` to see
//! one line a case.

#[path = "golden_peft/case.rs"]
mod case;
#[path = "golden_peft/compare.rs"]
mod compare;
#[path = "golden_peft/families.rs"]
mod families;
#[path = "golden_peft/made_up.rs"]
mod made_up;
#[path = "golden_peft/methods.rs"]
mod methods;
#[path = "golden_peft/minilm.rs"]
mod minilm;
#[path = "golden_peft/smollm2.rs"]
mod smollm2;
#[path = "golden_peft/t5.rs"]
mod t5;

use compare::fill;
use serde_json::Value;
use std::path::{Path, PathBuf};

const FORMAT: &str = "deft-golden/1";

fn folder(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(default), PathBuf::from)
}

/// Blocks of quantised weights, which `tests/model_files.rs` reads: the only JSON file of the folder that is no case.
const NO_CASE: &str = "deft-gguf-blocks/1";

/// All case files, in alphabetical order.
fn cases() -> Vec<(String, Value)> {
    let folder = folder("DEFT_GOLDEN", "tests/golden");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        is_case(&json).unwrap_or_else(|e| panic!("{name}: {e}")).then_some((name, json))
    };
    paths.into_iter().filter_map(read).collect()
}

/// A file that is neither a case nor known to be none would be skipped unseen.
fn is_case(json: &Value) -> Result<bool, String> {
    match json["format"].as_str() {
        Some(FORMAT) => Ok(true),
        Some(NO_CASE) => Ok(false),
        _ => Err(format!("of format {}, which this test has no reader for; {FORMAT} is read", json["format"])),
    }
}

/// Paths of all that a file asks to be compared: its base, each of its models and methods, and whatever else lists tensors.
fn asked(json: &Value) -> Vec<String> {
    let mut paths: Vec<String> = json.get("base").map(|_| "base".to_owned()).into_iter().collect();
    collect(json, "", &mut paths);
    paths
}

fn collect(json: &Value, at: &str, paths: &mut Vec<String>) {
    for (key, value) in json.as_object().into_iter().flatten() {
        let path = if at.is_empty() { key.clone() } else { format!("{at}/{key}") };
        let parent = at.rsplit('/').next().unwrap_or_default();
        let method = value["tensors"].is_array();
        if method || ["methods", "models", "full"].contains(&parent) {
            paths.push(path.clone());
        }
        if !method {
            collect(value, &path, paths);
        }
    }
}

/// What a file asks for and no reader took.
fn ignored(json: &Value, compared: &[String]) -> Vec<String> {
    let inside = |asked: &str, compared: &str| compared.strip_prefix(asked).is_some_and(|rest| rest.starts_with('/'));
    let taken = |asked: &String| compared.iter().any(|compared| compared == asked || inside(asked, compared));
    asked(json).into_iter().filter(|path| !taken(path)).collect()
}

/// Where the weights of a case lie, if they are there.
fn weights(file: &str, place: &str) -> Option<PathBuf> {
    let path = folder("DEFT_MODELS", "models").join(place);
    if path.exists() {
        return Some(path);
    }
    let message = format!("{file}: no weights at {}; scripts/fetch_models.sh fetches them", path.display());
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("skipped: {message}");
    None
}

#[test]
fn every_case_file_is_matched() {
    let cases = cases();
    assert!(!cases.is_empty(), "no file of format {FORMAT}");
    for (file, json) in cases {
        let model = json["model"].as_str().unwrap_or_else(|| panic!("{file} names no model"));
        let checked = if model.contains("MiniLM") {
            weights(&file, "minilm-f32").map(|folder| minilm::check(&file, &json, &folder))
        } else if model.contains("SmolLM2") {
            weights(&file, "smollm2-135m/model.gguf").map(|path| smollm2::check(&file, &json, &path))
        } else if model.contains("tiny T5") {
            Some(t5::check(&file, &json))
        } else if model.contains("tiny families") {
            Some(families::check(&file, &json))
        } else {
            panic!("{file} is of model `{model}`, which this test has no reader for");
        };
        if let Some(compared) = checked {
            assert!(!compared.is_empty(), "{file}: nothing was compared");
            let ignored = ignored(&json, &compared);
            assert!(ignored.is_empty(), "{file}: no reader takes {ignored:?} of a file of `{model}`");
        }
    }
}

#[test]
fn made_up_numbers_are_the_references() {
    for (file, json) in cases() {
        let seed = json["constants"]["seed"].as_u64().expect("a seed");
        if let Some(expected) = json["splitmix_check"].as_array() {
            for (found, expected) in fill(seed, 7, 8, 1.0).iter().zip(expected) {
                assert!((f64::from(*found) - expected.as_f64().expect("a number")).abs() < 1e-7, "{file}");
            }
        }
    }
}

#[test]
fn nothing_that_a_file_holds_is_passed_over() {
    use serde_json::json;
    let method = json!({ "tensors": [] });
    let compared = ["base", "lora"].map(str::to_owned);
    assert!(ignored(&json!({ "base": {}, "lora": method, "note": { "lora": 4 } }), &compared).is_empty());
    let more = json!({ "base": {}, "lora": method, "methods": { "dora": method, "prefix": {} }, "prompt": method });
    assert_eq!(ignored(&more, &compared), ["methods/dora", "methods/prefix", "prompt"]);
    let compared = ["models/small/methods/full".to_owned()];
    let models = json!({ "models": { "small": { "methods": { "full": method, "lora": method } }, "large": {} } });
    assert_eq!(ignored(&models, &compared), ["models/large", "models/small/methods/lora"]);

    assert_eq!(is_case(&json!({ "format": FORMAT })), Ok(true));
    assert_eq!(is_case(&json!({ "format": NO_CASE })), Ok(false));
    for other in [json!({ "format": "deft-golden/2" }), json!({ "format": 1 }), json!({}), json!([])] {
        assert!(is_case(&other).is_err(), "{other}");
    }
}
