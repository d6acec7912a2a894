//! The program as a user meets it: exit codes, messages, files, and what survives being killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const QUICKSTART: &str = "scenarios/quickstart.yaml";
/// Shrinks the quickstart to a run of about a second without changing what it is.
const SMALL: [&str; 10] = [
    "--set",
    "technique.rounds=2",
    "--set",
    "technique.local_steps=1",
    "--set",
    "workload.batch_size=4",
    "--set",
    "training.evaluation_samples=20",
    "--set",
    "training.final_evaluation_samples=40",
];

fn deft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deft"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    deft().args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("temporary folders have plain names")
}

/// Every regular file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut found: Vec<PathBuf> = entries
        .flat_map(|e| {
            let path = e.expect("an entry").path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect();
    found.sort();
    found
}

fn only<'a>(files: &'a [PathBuf], name: &str) -> &'a Path {
    let found: Vec<&PathBuf> = files.iter().filter(|f| f.ends_with(name)).collect();
    assert_eq!(found.len(), 1, "{name} among {files:?}");
    found[0]
}

#[test]
fn a_run_leaves_every_promised_file() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let ran = deft()
        .args(["run", QUICKSTART, "--trace", "--out", path(out.path())])
        .args(SMALL)
        .output()
        .expect("the program starts");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let shown = text(&ran.stdout);
    for expected in ["Results: ", "uplink", "waiting", "accuracy", "peak device memory"] {
        assert!(shown.contains(expected), "{expected} is missing in\n{shown}");
    }
    assert!(text(&ran.stderr).contains("accuracy"), "progress names accuracies where no bar is drawn");
    let written = files(&out.path().join("quickstart"));
    for name in ["manifest.json", "scenario.resolved.yaml", "summary.json", "rounds.csv", "devices.csv", "flows.csv"] {
        only(&written, name);
    }
    for plot in ["accuracy_vs_time", "latency_breakdown", "device_time"] {
        for kind in ["svg", "png"] {
            assert!(fs::metadata(only(&written, &format!("{plot}.{kind}"))).expect("a plot").len() > 1000);
        }
    }
    let trace: serde_json::Value =
        serde_json::from_slice(&fs::read(only(&written, "trace.json")).expect("a trace")).expect("JSON");
    let events = trace.as_array().or_else(|| trace["traceEvents"].as_array()).expect("a list of events");
    assert!(events.iter().any(|e| e["ph"] == "X" && e["dur"].as_f64().is_some_and(|d| d > 0.0)));

    // The resolved scenario is a scenario: running it again lands in the same folder.
    let again = run(&["check", path(only(&written, "scenario.resolved.yaml"))]);
    assert!(again.status.success(), "{}", text(&again.stderr));

    let folder = only(&written, "manifest.json").parent().expect("a folder").to_owned();
    let plot = only(&written, "latency_breakdown.svg");
    let before = fs::read(plot).expect("a plot");
    fs::remove_file(plot).expect("removed");
    assert!(run(&["plot", path(&folder)]).status.success());
    assert_eq!(fs::read(plot).expect("drawn again"), before);
}

#[test]
fn what_the_user_can_mend_is_exit_code_2_and_leaves_nothing() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let broken: Vec<PathBuf> = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken"));
    assert!(broken.len() >= 20, "at least twenty kinds of broken scenario");
    for file in &broken {
        let ran = run(&["run", path(file), "--out", path(out.path())]);
        assert_eq!(ran.status.code(), Some(2), "{}: {}", file.display(), text(&ran.stderr));
        let message = text(&ran.stderr);
        assert!(message.contains(path(file)), "the message names the file: {message}");
    }
    for arguments in [
        vec!["run", "no/such/file.yaml"],
        vec!["run", QUICKSTART, "--set", "technique.split_pont=3"],
        vec!["run", QUICKSTART, "--set", "rounds"],
        vec!["search", QUICKSTART],
        vec!["run", QUICKSTART, "--threads", "0"],
        vec!["frobnicate"],
    ] {
        let ran = deft().args(&arguments).args(["--out", path(out.path())]).output().expect("the program starts");
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {}", text(&ran.stderr));
    }
    assert_eq!(files(out.path()), Vec::<PathBuf>::new());
}

/// A model of one's own: its weights have no tensors, its tokenizer four words.
#[test]
fn a_model_that_cannot_be_used_is_exit_code_2() {
    const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 8, "vocab_size": 4, "max_position_embeddings": 32, "type_vocab_size": 1,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#;
    const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model":
        {"type": "WordLevel", "vocab": {"[UNK]": 0, "good": 1, "bad": 2, "film": 3}, "unk_token": "[UNK]"}}"#;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("written");
    write("config.json", CONFIG.as_bytes());
    write("model.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    let scenario = "{name: own, model: {checkpoint: {folder: .}}, training: {task: classification, dataset: movie},
        workload: {batch_size: 4, sequence_tokens: 16}, technique: {kind: federated, rounds: 1, local_steps: 1},
        devices: [{name: phone, count: 2, hardware: apple_a15}]}";
    write("own.yaml", scenario.as_bytes());
    let file = folder.path().join("own.yaml");
    let out = folder.path().join("out");
    let codes = |tokenizer: &str, expected: &str| {
        write("tokenizer.json", tokenizer.as_bytes());
        let commands =
            [vec!["check", path(&file)], vec!["run", path(&file), "--quiet", "--no-cache", "--out", path(&out)]];
        commands.map(|arguments| {
            let ran = run(&arguments);
            let message = text(&ran.stderr);
            let sound = ran.status.success() || message.contains(expected) && !message.contains("panicked");
            assert!(sound, "{arguments:?}: {message}");
            ran.status.code()
        })
    };
    // `check` does not read weights.
    assert_eq!(codes(TOKENIZER, "model.safetensors: tensor `"), [Some(0), Some(2)]);
    let unreadable = TOKENIZER.replace("\"version\"", "\"normalizer\": {\"type\": \"Precompiled\"}, \"version\"");
    for tokenizer in [&unreadable, "{", &TOKENIZER.replace("\"film\": 3", "\"film\": 4")] {
        assert_eq!(codes(tokenizer, "tokenizer.json: "), [Some(2), Some(2)], "{tokenizer}");
    }
}

/// Where there is no GPU: `cuda` says so, and the default computes on the CPU.
#[test]
fn a_gpu_that_is_not_there_is_one_line() {
    if Path::new("/proc/driver/nvidia").exists() {
        return;
    }
    let out = tempfile::tempdir().expect("a temporary folder");
    let half = ["run", QUICKSTART, "--set", "model.precision=fp16", "--out", path(out.path()), "--backend", "cuda"];
    let ran = run(&half);
    assert_eq!(ran.status.code(), Some(2));
    let message = text(&ran.stderr);
    let line = message.lines().find(|l| l.starts_with("error: ")).expect("a message");
    assert!(line.starts_with("error: --backend cuda: no NVIDIA "), "{message}");
    assert_eq!(message.lines().filter(|l| !l.starts_with("warning: this is an unoptimised")).count(), 1, "{message}");
    let single = run(&["run", QUICKSTART, "--out", path(out.path()), "--backend", "cuda"]);
    assert_eq!(single.status.code(), Some(2));
    assert!(text(&single.stderr).contains("--set model.precision=fp16"), "{}", text(&single.stderr));
    assert_eq!(files(out.path()), Vec::<PathBuf>::new());
    assert_eq!(run(&["run", QUICKSTART, "--backend", "gpu"]).status.code(), Some(2));
}

#[test]
fn check_and_list_answer_without_running() {
    let check = text(&run(&["check", QUICKSTART]).stdout);
    for expected in ["split_point: 2", "fits", "Events of the time plane", "Local steps"] {
        assert!(check.contains(expected), "{expected} is missing in\n{check}");
    }
    let big = run(&["check", QUICKSTART, "--set", "model={architecture: t5-11b}", "--set", "training=none"]);
    assert!(text(&big.stdout).contains("DOES NOT FIT"), "{}{}", text(&big.stdout), text(&big.stderr));
    let list = text(&run(&["list"]).stdout);
    for expected in ["split_federated", "t5-11b", "movie", "snapdragon_8_gen_3", "6g_subthz"] {
        assert!(list.contains(expected), "{expected} is missing in\n{list}");
    }
}

const SEARCH: &str = "\
name: killed
model: {architecture: minilm-l6}
workload: {batch_size: 4, sequence_tokens: 24}
training: {dataset: movie, evaluation_samples: 24, final_evaluation_samples: 24}
technique: {kind: split_federated, rounds: 2, local_steps: 1, split_point: 2}
devices: [{name: phone, count: 2, hardware: apple_a15}]
replications: 2
search:
  sampler: {kind: grid}
  space:
    technique.aggregation: [{method: digital}, {method: air_comp}]
    technique.split_point: [1, 3, 5]
    radio.bandwidth_mhz: [20, 100]
  objective: {target_accuracy: 0.3}
";

/// As behind `| head`.
#[test]
fn a_reader_that_is_gone_ends_a_command_quietly() {
    for arguments in [&["list"][..], &["check", QUICKSTART]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = deft().args(arguments).stdout(writer).output().expect("the program starts");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
}

fn search(scenario: &Path, out: &Path, resume: bool) -> Child {
    let mut command = deft();
    command.args(["search", path(scenario), "--no-cache", "--out", path(out)]);
    if resume {
        command.arg("--resume");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts")
}

fn trials(out: &Path) -> Vec<PathBuf> {
    files(out).into_iter().filter(|f| f.parent().is_some_and(|p| p.ends_with("trials"))).collect()
}

#[test]
fn a_killed_search_resumes_to_the_same_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = folder.path().join("killed.yaml");
    fs::write(&scenario, SEARCH).expect("written");
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    assert!(search(&scenario, &whole, false).wait().expect("ends").success());

    let mut child = search(&scenario, &killed, false);
    while trials(&killed).len() < 3 && child.try_wait().expect("a status").is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("ends");
    let survived = trials(&killed).len();
    assert!((3..24).contains(&survived), "{survived} trials were done when the search was killed");

    let resumed = search(&scenario, &killed, true).wait_with_output().expect("ends");
    assert!(resumed.status.success());
    assert!(text(&resumed.stdout).contains("24 trials"), "{}", text(&resumed.stdout));
    for table in ["trials.csv", "combinations.csv"] {
        let read = |root: &Path| fs::read(only(&files(root), table)).expect("a table");
        assert_eq!(text(&read(&killed)), text(&read(&whole)), "{table}");
    }
}

#[test]
fn a_search_without_training_ranks_by_time() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let ran = run(&["search", "scenarios/search/lte_to_6g.yaml", "--replications", "1", "--out", path(out.path())]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let shown = text(&ran.stdout);
    let seconds: Vec<f64> = shown.lines().filter(|l| l.contains("radio.preset=")).map(first_number).collect();
    assert_eq!(seconds.len(), 20, "{shown}");
    assert!(seconds.windows(2).all(|w| w[0] <= w[1]) && seconds[0] > 0.0, "{shown}");
    assert!(shown.contains(" 0 computed"), "{shown}");
}

fn first_number(line: &str) -> f64 {
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// The commands in README.md's `sh` fences.
fn readme_commands() -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let mut commands = vec![];
    let mut inside = false;
    for line in readme.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() && !command.starts_with('#') => commands.push(command.to_owned()),
            _ => {}
        }
    }
    commands
}

#[test]
fn every_command_in_the_readme_works() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let results = path(out.path());
    let program = env!("CARGO_BIN_EXE_deft");
    let commands = readme_commands();
    assert!(commands.iter().any(|c| c == "cargo run --release -- run scenarios/quickstart.yaml"));
    assert!(commands.iter().any(|c| c.contains("search scenarios/search/split_and_aggregation.yaml")));
    for command in &commands {
        let Some(arguments) = command.strip_prefix("cargo run --release -- ") else {
            assert!(!command.contains("deft"), "a command of this program that is not tested: {command}");
            continue;
        };
        let mut line = format!("{program} {}", arguments.replace("results/", &format!("{results}/")));
        let trains = !command.contains("training=none") && !command.contains("lte_to_6g");
        if ["run ", "search "].iter().any(|c| arguments.starts_with(c)) {
            line += &format!(" --out {results}");
            if trains {
                line += " --set technique.rounds=1 --set technique.local_steps=1 --set workload.batch_size=2 \
                          --set training.evaluation_samples=8 --set training.final_evaluation_samples=8";
            }
        }
        if arguments.starts_with("search ") {
            line += " --replications 1";
        }
        if arguments.starts_with("calibrate") {
            line += &format!(" --out {results}/this_machine.yaml");
        }
        if arguments.starts_with("compare ") && !arguments.contains("--out") {
            line += &format!(" --out {results}/comparison");
        }
        let ran = Command::new("sh")
            .args(["-c", &line])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        assert!(ran.status.success(), "{command}\n{}{}", text(&ran.stdout), text(&ran.stderr));
    }
}
