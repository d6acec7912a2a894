//! A run that is killed goes on: whatever the technique and the moment, its files are those of a run that nobody disturbed.

mod support;

use deft::experiment::{self, Journal, LearningCounts, Options, Progress, Record, ReplicationRecord, WhenToCompute};
use deft::learning::Store;
use deft::scenario::{Scenario, TechniqueKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS: usize = 5;

/// A journal of the learning plane alone.
struct EveryRounds(usize);

impl Journal for EveryRounds {
    fn every_rounds(&self) -> usize {
        self.0
    }

    fn finished(&self, _: u64) -> Option<ReplicationRecord> {
        None
    }

    fn finish(&self, _: &ReplicationRecord) -> std::io::Result<()> {
        Ok(())
    }
}

/// Plays `scenario` with its journal in `folder`; a panic after round `killed_after`, or the next that trains, stands for the
/// kill.
fn play_on(scenario: &Scenario, folder: &Path, every: usize, killed_after: Option<usize>) -> Option<Record> {
    let store = Store::open(None).and_then(|s| s.with_journal(folder)).expect("a store with a journal");
    let watch = |_, p: Progress| {
        if killed_after.is_some_and(|round| p.round >= round) {
            std::panic::panic_any("killed");
        }
    };
    let journal = EveryRounds(every);
    let options = Options { when: WhenToCompute::AsRoundsEnd, trace: false, watch: &watch, journal: Some(&journal) };
    let run = || experiment::run(scenario, &Arc::new(store), &options).unwrap_or_else(|error| panic!("{error}")).record;
    match killed_after {
        None => Some(run()),
        Some(_) => catch_unwind(AssertUnwindSafe(run)).ok(),
    }
}

/// Each kind of technique, and settings whose states outlive a round: those that the server, devices or the air keep.
fn settings() -> Vec<(String, Vec<(&'static str, Value)>)> {
    let plain = TechniqueKind::ALL.iter().map(|kind| {
        let mut set = vec![("technique.kind", json!(kind.name()))];
        if kind.needs_prompts() {
            set.push(("peft", json!({"method": "prompt", "tokens": 2})));
        }
        if *kind == TechniqueKind::GradientDownload {
            set.push(("peft", json!({"method": "head_only"})));
        }
        if !kind.is_split() {
            set.push(("technique.split_point", Value::Null));
        }
        if *kind == TechniqueKind::OffsiteTuning {
            set.push(("peft.blocks", json!([0, 5])));
            set.push(("technique.emulator", json!({"keep_blocks": 3})));
        }
        (kind.name().to_owned(), set)
    });
    let federated = |name: &str, settings: &[(&'static str, Value)]| {
        let set =
            [&[("technique.kind", json!("federated")), ("technique.split_point", Value::Null)], settings].concat();
        (name.to_owned(), set)
    };
    let sgd = ("training.optimizer", json!({"kind": "sgd"}));
    let some = ("technique.devices_per_round", json!(2));
    let outliving = [
        federated("scaffold", &[sgd, some.clone(), ("technique.local", json!({"correction": "scaffold"}))]),
        federated("server momentum", &[("technique.server", json!({"optimizer": "adam"}))]),
        federated("asynchronous", &[("technique.synchrony", json!({"kind": "asynchronous"}))]),
        federated("semi-asynchronous", &[("technique.synchrony", json!({"kind": "semi_asynchronous", "buffer": 1}))]),
        federated("by utility", &[some.clone(), ("technique.sampling", json!({"kind": "by_utility"}))]),
        federated(
            "residuals",
            &[some, ("technique.aggregation", json!({"compression": {"kind": "top_k", "error_feedback": true}}))],
        ),
        federated("seldom tested", &[("training.evaluate_every_rounds", json!(3))]),
    ];
    plain.chain(outliving).collect()
}

fn scenario(set: &[(&str, Value)]) -> Scenario {
    let small = [("technique.rounds", json!(ROUNDS)), ("technique.local_steps", json!(1))];
    support::scenario("tiny.yaml", &[&small, set].concat())
}

/// What was played, and how much arithmetic that took.
fn apart(record: Option<Record>) -> (Record, u64) {
    let mut record = record.expect("nobody killed it");
    let counts = record.replications.iter_mut().map(|r| std::mem::take(&mut r.learning));
    let computed = counts.map(|c: LearningCounts| c.operations_computed).sum();
    (record, computed)
}

#[test]
fn every_technique_goes_on_where_it_was_killed() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"killed") {
            quiet(info);
        }
    }));
    for (name, set) in settings() {
        let scenario = scenario(&set);
        let folder = || tempfile::tempdir().expect("a temporary folder");
        let in_memory = Arc::new(Store::open(None).expect("a store in memory"));
        let (whole, all) = apart(Some(support::play(&scenario, &in_memory)));
        for (every, kills) in [(1, &[3][..]), (2, &[0, 2, 2, 3, 4])] {
            let folder = folder();
            for &kill in kills {
                assert!(play_on(&scenario, folder.path(), every, Some(kill)).is_none(), "{name}: not killed in {kill}");
            }
            let (resumed, computed) = apart(play_on(&scenario, folder.path(), every, None));
            assert_eq!(resumed, whole, "{name}, every {every} rounds");
            // What is left: two rounds of five, and the last test.
            assert!(
                computed * 4 < all * 3,
                "{name}, every {every} rounds: {computed} of {all} operations computed again"
            );
        }
    }
}

#[test]
fn a_checkpoint_that_is_damaged_or_gone_costs_time_alone() {
    let scenario = scenario(&[("technique.aggregation", json!({"method": "air_comp"}))]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, _) = apart(play_on(&scenario, folder.path(), 1, None));
    let files = files(folder.path());
    assert!(files.len() > ROUNDS, "{files:?}");
    for (i, file) in files.iter().enumerate() {
        let path = folder.path().join(file);
        if i % 2 == 0 {
            fs::remove_file(&path).expect("removed");
        } else {
            let half = fs::metadata(&path).expect("a file").len() / 2;
            fs::OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(half)).expect("cut");
        }
    }
    let (again, computed) = apart(play_on(&scenario, folder.path(), 1, None));
    assert_eq!(again, whole);
    assert!(computed > 0);
}

/// Every regular file below `folder`, relative to it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fn walk(root: &Path, folder: &Path, into: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(root, &path, into);
            } else {
                into.insert(path.strip_prefix(root).expect("below the root").to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(folder, folder, &mut found);
    found
}

/// The program on `tests/data/tiny.yaml`, with results in `out`.
fn start(out: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_deft"))
        .args(["run", "tests/data/tiny.yaml", "--quiet", "--no-cache", "--threads", "1", "--out"])
        .arg(out)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// The bytes of every file of the only run in `out`, but for what the manifest says of time and arithmetic spent.
fn result(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |file: &PathBuf| {
        let bytes = fs::read(out.join(file)).expect("a file");
        if file.file_name().is_none_or(|name| name != "manifest.json") {
            return bytes;
        }
        let mut manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
        manifest["wall_seconds"] = Value::Null;
        for replication in manifest["replications"].as_array_mut().expect("replications") {
            replication["operations_computed"] = Value::Null;
        }
        serde_json::to_vec(&manifest).expect("JSON")
    };
    files(out)
        .into_iter()
        .map(|file| {
            let bytes = read(&file);
            (file, bytes)
        })
        .collect()
}

/// Starts the program again and again and kills it after ever longer times, until it comes to its end.
fn killed_again_and_again(out: &Path, arguments: &[&str], step: Duration) -> usize {
    for kills in 0.. {
        let mut child = start(out, arguments);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = child.try_wait().expect("a status") {
                assert!(status.success(), "{arguments:?}");
                return kills;
            }
            // Unlike enough to end at many places, and with no limit that a slow machine would never pass.
            if waited > step * (1 + kills as u32) {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
            waited += Duration::from_millis(3);
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("ends");
    }
    unreachable!("the loop has no end")
}

#[test]
fn files_of_a_killed_run_are_those_of_a_whole_one() {
    let training = ["--set", "technique.rounds=12", "--replications", "2", "--trace"];
    let emulation = ["--set", "training=none", "--set", "technique.rounds=400", "--replications", "6"];
    for arguments in [&training[..], &emulation] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
        assert!(start(&whole, arguments).wait().expect("ends").success());
        let going_on = [arguments, &["--checkpoint-every", "2", "--resume"]].concat();
        let kills = killed_again_and_again(&killed, &going_on, Duration::from_millis(60));
        assert!(kills > 0, "it was over too soon to be killed");
        let (whole, killed) = (result(&whole), result(&killed));
        assert_eq!(whole.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>(), "nothing is left over");
        for (file, bytes) in &whole {
            assert!(killed[file] == *bytes, "{} differs after {kills} kills", file.display());
        }
    }
}

#[test]
fn there_must_be_something_to_go_on_from() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let refused = start(out.path(), &["--resume"]).wait_with_output().expect("ends");
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("--checkpoint-every ROUNDS"), "{message}");
    assert!(files(out.path()).is_empty(), "nothing is written");
}
