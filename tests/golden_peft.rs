//! The learning arithmetic against PyTorch: every case file of format `deft-golden/1` in a folder.
//!
//! `$DEFT_GOLDEN` names the folder of the case files (default `tests/golden/`, whose README gives every formula),
//! `$DEFT_MODELS` that of the weights (default `models/`, where `scripts/fetch_models.sh` puts them). Without the
//! weights a case says so and checks nothing, except where `CI` is set: there it fails. Run with `--nocapture` to see
//! one line a case.

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

/// All case files, in alphabetical order; other JSON files are not ours to judge.
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
        (json["format"] == FORMAT).then_some((name, json))
    };
    paths.into_iter().filter_map(read).collect()
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
            Some(families::check(&file, &json).len())
        } else {
            panic!("{file} is of model `{model}`, which this test has no reader for");
        };
        assert!(checked.is_none_or(|methods| methods > 0), "{file}: nothing was compared");
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
