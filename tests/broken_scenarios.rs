//! Whatever is wrong with a scenario, its author is told where, what and how to mend it.

#[path = "broken/cases.rs"]
mod cases;
#[path = "broken/dealt_cases.rs"]
mod dealt_cases;
#[path = "broken/federated_cases.rs"]
mod federated_cases;
#[path = "broken/learning_cases.rs"]
mod learning_cases;
#[path = "broken/prompt_cases.rs"]
mod prompt_cases;

use cases::{CASES, Case};
use dealt_cases::DEALT_CASES;
use deft::scenario::{PeftMethod, Place, Scenario, ScenarioError, ScenarioSource, parse_override};
use federated_cases::FEDERATED_CASES;
use learning_cases::LEARNING_CASES;
use prompt_cases::PROMPT_CASES;
use serde_json::json;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn error(file: &str) -> ScenarioError {
    let path = folder("tests/broken").join(format!("{file}.yaml"));
    let read = ScenarioSource::read(path).and_then(|source| source.resolve());
    read.expect_err(file)
}

fn all_cases() -> impl Iterator<Item = &'static Case> {
    [CASES, LEARNING_CASES, DEALT_CASES, FEDERATED_CASES, PROMPT_CASES].into_iter().flatten()
}

#[test]
fn every_broken_file_is_refused_where_and_why_expected() {
    let mut wrong = Vec::new();
    for (file, (line, column), phrases) in all_cases() {
        let error = error(file);
        let message = error.to_string();
        let here = Place::At { line: *line, column: *column };
        if !error.problems.iter().any(|p| p.place == here) || !phrases.iter().all(|p| message.contains(p)) {
            wrong.push(format!("{file}: expected {line}:{column} and {phrases:?}, got\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn no_broken_file_is_forgotten() {
    let whole_file = ["empty", "only_comments"];
    for entry in std::fs::read_dir(folder("tests/broken")).expect("the folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        let Some(name) = name.strip_suffix(".yaml") else { continue };
        let listed = all_cases().any(|(file, ..)| *file == name);
        assert!(listed || whole_file.contains(&name), "{name} has no expectation");
    }
}

#[test]
fn a_message_has_place_source_line_caret_and_help() {
    let message = error("unknown_key_plural").to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert!(lines[0].ends_with("unknown_key_plural.yaml:3:36: technique.split_points: unknown key `split_points`"));
    assert_eq!(lines[1], "  3 | technique: {kind: split_federated, split_points: 3}");
    assert_eq!(lines[2].find('^'), lines[1].find("split_points"));
    assert_eq!(lines[3], "  help: did you mean `split_point`?");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    assert_eq!(error("five_at_once").problems.len(), 5);
    assert_eq!(error("several_wrong_kinds").problems.len(), 3);
}

#[test]
fn what_is_no_scenario_file_is_refused_as_a_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let cases = [
        (folder("tests/broken/empty.yaml"), "the file is empty"),
        (folder("tests/broken/only_comments.yaml"), "the file is empty"),
        (dir.path().join("absent.yaml"), "there is no such file"),
        (dir.path().to_owned(), "this is a folder"),
        (write("latin1.yaml", b"name: a\ndescription: caf\xe9\n"), "UTF-8: line 2"),
        (write("big.yaml", &vec![b'#'; (1 << 26) + 1]), "67108865 bytes, allowed are at most 67108864"),
    ];
    for (path, phrase) in cases {
        let error = ScenarioSource::read(&path).and_then(|source| source.resolve()).expect_err(phrase);
        assert_eq!(error.problems[0].place, Place::File, "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        assert!(error.to_string().contains(phrase), "{error}");
    }
}

fn quickstart() -> ScenarioSource {
    ScenarioSource::read(folder("scenarios/quickstart.yaml")).expect("the shipped example")
}

#[test]
fn overrides_reach_every_depth_and_make_missing_sections() {
    let set = |key: &str, value: serde_json::Value| quickstart().resolve_with(&[(key.to_owned(), value)]);
    assert_eq!(set("technique.split_point", json!(3)).expect("valid").technique.split_point.fixed(), Some(3));
    assert_eq!(set("devices[0].count", json!(5)).expect("valid").device_count(), 10);
    assert_eq!(set("devices.0.count", json!(5)).expect("valid").device_count(), 10);
    assert_eq!(set("prices.radio_usd_per_gb", json!(2)).expect("valid").prices.radio_usd_per_gb, 2.0);
    let PeftMethod::Lora(lora) = set("peft.rank.blocks", json!([8, 0, 0, 0, 0, 0])).expect("valid").peft.method else {
        panic!("the shipped example is about LoRA");
    };
    assert_eq!(lora.rank.per_block(&lora.blocks, 6), [8, 0, 0, 0, 0, 0]);
    assert!(set("training", json!("none")).expect("valid").training.is_none());

    let minimal = "name: m\nmodel: {architecture: t5-11b}\ntechnique: {kind: federated}\n\
                   devices: [{name: d, hardware: apple_m2}]\n";
    let source = ScenarioSource::from_text("minimal", minimal);
    let height = source.resolve_with(&[("cells[0].antenna_height_m".to_owned(), json!(30))]).expect("valid");
    assert_eq!((height.cells[0].antenna_height_m, height.cells[0].name.as_str()), (30.0, "gnb"));
    let hops = source.resolve_with(&[("network.route_by".to_owned(), json!("hops"))]).expect("valid");
    assert_eq!(hops.network.links.len(), 1);
}

#[test]
fn a_wrong_override_is_named_instead_of_a_line() {
    let message = |key: &str, value: serde_json::Value| {
        let error = quickstart().resolve_with(&[(key.to_owned(), value)]).expect_err(key);
        assert!(error.problems.iter().all(|p| matches!(&p.place, Place::Override(o) if o.starts_with(key))), "{error}");
        error.to_string()
    };
    assert!(message("technique.splitpoint", json!(3)).contains("did you mean `split_point`?"));
    assert!(message("technique.split_point", json!(7)).contains("found 7, allowed 0..=6"));
    assert!(message("radio.bandwidth_khz", json!(7)).contains("did you mean `bandwidth_mhz`?"));
    assert!(message("devices[9].count", json!(1)).contains("a list of 3"));
    assert!(message("devices.count", json!(1)).contains("devices[0].count"));
    assert!(message("technique..rounds", json!(1)).contains("names no key"));
    assert!(message("prices.radio_usd_per_gb", json!("2 USD")).contains("US dollars per GB"));
}

#[test]
fn a_command_lines_override_is_read_as_yaml() {
    let read = |text: &str| parse_override(text).map_err(|e| e.to_string());
    assert_eq!(read("technique.rounds=20"), Ok(("technique.rounds".to_owned(), json!(20))));
    assert_eq!(read("peft.targets=[query, key]"), Ok(("peft.targets".to_owned(), json!(["query", "key"]))));
    assert_eq!(read("technique.aggregation={method: air_comp}").expect("valid").1, json!({"method": "air_comp"}));
    for bad in ["technique.rounds", "=3", "a..b=1", "a=[1", "a={b: 1, b: 2}", "a=*x"] {
        assert!(read(bad).expect_err(bad).contains(bad), "{bad}");
    }
}

fn shipped() -> Vec<PathBuf> {
    let mut waiting = vec![folder("scenarios")];
    let mut files = Vec::new();
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|e| e.to_str()) {
                Some("yaml") => files.push(path),
                _ if path.is_dir() => waiting.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_shipped_scenario_resolves_and_survives_being_written_and_read_again() {
    for path in shipped() {
        let scenario = ScenarioSource::read(&path).and_then(|s| s.resolve()).unwrap_or_else(|e| panic!("{e}"));
        let again = ScenarioSource::from_text("again", scenario.to_yaml()).resolve().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again, scenario, "{}", path.display());
    }
}

#[test]
fn rare_forms_survive_being_written_and_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("w.safetensors"), b"unread here").expect("written");
    std::fs::write(dir.path().join("t.csv"), "text,label,split\na,x,train\nb,y,train\nc,z,train\nd,x,test\n")
        .expect("written");
    let text = "name: rare\nseed: 18446744073709551615\n\
        model: {architecture: bert-base, checkpoint: {file: w.safetensors}}\n\
        peft: {rank: {blocks: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}, targets: [ffn_down, key]}\n\
        training: {dataset: {file: t.csv}, partition: {kind: dirichlet, alpha: 0.3}, stop_at_accuracy: 0.9}\n\
        technique: {kind: federated, round_deadline_s: 12.5, devices_per_round: 1}\n\
        devices: [{name: d, count: 2, hardware: apple_m2}]\n\
        placement: {kind: fixed, positions_m: [[1, 2], [-3.5, 4e1]]}\n\
        radio: {preset: 6g_subthz, fading: {kind: rician, k_factor_db: 3}}\n\
        search: {sampler: {kind: random, trials: 3}, space: {technique.rounds: [1, 2], technique.round_deadline_s: [null, 1.5]}}\n";
    let path = dir.path().join("rare.yaml");
    std::fs::write(&path, text).expect("written");
    let scenario = ScenarioSource::read(&path).and_then(|s| s.resolve()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(scenario.model.classes, Some(3));
    assert_eq!(scenario.training.as_ref().map(|t| t.evaluation_samples), Some(1));
    let again = ScenarioSource::from_text("again", scenario.to_yaml()).resolve().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again, scenario);
}

/// One scenario a method, alone and combined, and what they leave to their defaults.
fn methods() -> Vec<ScenarioSource> {
    let methods = [
        "{method: dora, blocks: {last: 2}, scaling: rank_root, dropout: 0.1}",
        "{method: ada_lora, rank: {blocks: [12, 12, 9, 9, 0, 0]}, targets: [key, ffn_down]}",
        "{method: adapter, placement: pfeiffer, bottleneck: {blocks: [8, 0, 0, 0, 0, 8]}, combine_with: [{method: lora}]}",
        "{method: prefix, blocks: {first: 3}, combine_with: [{method: parallel_adapter, adapter_scale: 4}]}",
        "{method: prompt, tokens: 20, combine_with: [{method: ia3, blocks: [0, 5]}, {method: layer_norm}]}",
        "{method: bitfit, outside_blocks: true, blocks: all}",
        "{method: selective, blocks: {last: 1}, combine_with: [{method: lora, blocks: {first: 5}}]}",
        "{method: full}",
        "{method: head_only}",
    ];
    let source = |peft: &&str| {
        let rest = "technique: {kind: federated}\ndevices: [{name: d, hardware: apple_m2}]";
        ScenarioSource::from_text(
            "method",
            format!("name: m\nmodel: {{architecture: minilm-l6}}\npeft: {peft}\n{rest}\n"),
        )
    };
    methods.iter().map(source).collect()
}

#[test]
fn every_method_survives_being_written_and_read_again() {
    for source in methods() {
        let scenario = source.resolve().unwrap_or_else(|e| panic!("{e}"));
        let again = ScenarioSource::from_text("again", scenario.to_yaml()).resolve().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again, scenario, "{}", source.text);
    }
}

/// Found by fuzzing: what was written was once longer than what was read.
#[test]
fn many_cells_survive_being_written_and_read_again() {
    let text = "name: m\nmodel: {architecture: minilm-l6}\ntraining: none\ntechnique: {kind: federated}\n\
                devices: [{name: d, hardware: apple_m2}]\ncells: [{name: gnb, count: 20000, spacing_m: 500}]\n";
    let scenario = ScenarioSource::from_text("cells", text).resolve().unwrap_or_else(|e| panic!("{e}"));
    let written = scenario.to_yaml();
    assert!(written.len() > 1 << 20, "{} bytes", written.len());
    assert_eq!(ScenarioSource::from_text("again", written).resolve().unwrap_or_else(|e| panic!("{e}")), scenario);
}

#[test]
fn every_task_and_optimizer_survives_being_written_and_read_again() {
    let task = |model: &str, training: &str| {
        let rest = "technique: {kind: federated}\ndevices: [{name: d, hardware: apple_m2}]";
        let text = format!("name: m\nmodel: {model}\ntraining: {training}\n{rest}\n");
        let scenario = ScenarioSource::from_text("task", text).resolve().unwrap_or_else(|e| panic!("{e}"));
        let again = ScenarioSource::from_text("again", scenario.to_yaml()).resolve().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again, scenario);
        scenario
    };
    let minilm = "{architecture: minilm-l6, precision: fp16}";
    let regression = task(minilm, "{dataset: movie_ratings, optimizer: {kind: sgd, momentum: 0.9}}");
    assert_eq!((regression.model.classes, regression.training.map(|t| t.task.name())), (None, Some("regression")));
    task("{architecture: gpt2, checkpoint: random}", "{dataset: nyt, task: language_model}");
    task("{architecture: t5-small, checkpoint: random}", "{dataset: movie, task: sequence_to_sequence}");
    task(minilm, "{dataset: movie, optimizer: {kind: zeroth_order}}");
}

fn sets_every_key_to_its_own_value(source: &ScenarioSource, scenario: &Scenario) {
    for (key, value) in scenario.keys() {
        let set = source.resolve_with(&[(key.clone(), value)]).unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_eq!(set, *scenario, "{key}");
    }
}

#[test]
fn every_key_can_be_set_to_its_own_value() {
    let source = quickstart();
    let scenario = source.resolve().expect("the shipped example");
    let keys = scenario.keys();
    assert_eq!(keys[0].0, "name");
    assert!(keys.contains(&("devices[1].count".to_owned(), json!(3))));
    sets_every_key_to_its_own_value(&source, &scenario);
    for source in methods() {
        sets_every_key_to_its_own_value(&source, &source.resolve().expect("a method"));
    }
}

#[test]
fn every_key_is_documented() {
    let reference = include_str!("../docs/scenario.md");
    let scenarios = methods().into_iter().chain([quickstart()]).map(|source| source.resolve().expect("a scenario"));
    for (key, _) in scenarios.flat_map(|scenario| scenario.keys()) {
        let name = key.rsplit('.').next().expect("a part").split('[').next().expect("a part");
        assert!(reference.contains(&format!("`{name}`")), "docs/scenario.md does not explain `{name}`");
    }
}

/// Numbers that are the same in every run (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

/// No input may bring the reader down, and what it refuses it refuses with a message that has a place in the text.
#[test]
fn mutilated_scenarios_are_read_or_refused_but_never_panic() {
    let original = quickstart().text;
    let mut numbers = Numbers(7);
    let mut accepted = 0;
    for round in 0..600 {
        let mut bytes = original.clone().into_bytes();
        for _ in 0..=round % 4 {
            let lines = bytes.split(|b| *b == b'\n').count();
            match numbers.below(5) {
                0 => {
                    let at = numbers.below(bytes.len());
                    bytes[at] ^= 1 << numbers.below(8);
                }
                1 => {
                    let at = numbers.below(bytes.len());
                    bytes[at] = b":-[]{},&*!|>'\"%@`#?\t \n0"[numbers.below(23)];
                }
                2 => bytes.truncate(1 + numbers.below(bytes.len())),
                change => {
                    let chosen = numbers.below(lines);
                    let copies = if change == 3 { 0 } else { 2 };
                    let old: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                    let new = old.into_iter().enumerate();
                    let new = new.flat_map(|(i, line)| vec![line; if i == chosen { copies } else { 1 }]);
                    bytes = new.collect::<Vec<_>>().join(&b'\n');
                    if bytes.is_empty() {
                        bytes.push(b' ');
                    }
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match ScenarioSource::from_text("mutilated", text.clone()).resolve() {
            Ok(_) => accepted += 1,
            Err(error) => {
                let lines = text.lines().count();
                for problem in &error.problems {
                    let Place::At { line, column } = problem.place else { continue };
                    assert!((1..=lines + 1).contains(&line) && column >= 1, "{error}\n{text}");
                }
            }
        }
    }
    // Changes to comments leave a scenario valid; changes to its keys do not.
    assert!((20..580).contains(&accepted), "{accepted} of 600 accepted");
}
