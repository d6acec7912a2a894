//! Equal scenarios give equal bytes, however they are computed; and one device's draws are its own.

mod support;

use deft::experiment::{FlowRecord, Record};
use deft::learning::Store;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What must not depend on how it was computed.
const TABLES: [&str; 5] = ["rounds.csv", "devices.csv", "flows.csv", "summary.json", "replications.csv"];

/// Runs the program on the tiny scenario and returns its tables.
fn tables(arguments: &[&str]) -> BTreeMap<&'static str, String> {
    let out = tempfile::tempdir().expect("a temporary folder");
    let ran = Command::new(env!("CARGO_BIN_EXE_deft"))
        .args(["run", "tests/data/tiny.yaml", "--quiet", "--replications", "2", "--out"])
        .arg(out.path())
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    let runs: Vec<_> = fs::read_dir(out.path().join("tiny")).expect("results").map(|e| e.expect("an entry")).collect();
    assert_eq!(runs.len(), 1, "{arguments:?}: one folder a run");
    let folder = runs[0].path();
    assert_eq!(folder.join("trace.json").exists(), arguments.contains(&"--trace"), "{arguments:?}");
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    TABLES.iter().map(|name| (*name, read(name))).collect()
}

#[test]
fn threads_trace_and_cache_leave_no_mark_on_the_tables() {
    for method in ["digital", "air_comp"] {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let cache = cache.path().to_str().expect("temporary folders have plain names");
        let setting = format!("technique.aggregation.method={method}");
        let with = |arguments: &[&str]| tables(&[&["--set", setting.as_str()], arguments].concat());
        let reference = with(&["--threads", "1", "--no-cache"]);
        for arguments in [
            ["--threads", "2", "--no-cache"].as_slice(),
            &["--threads", "2", "--no-cache", "--trace"],
            &["--threads", "1", "--cache", cache],
            &["--threads", "2", "--cache", cache],
        ] {
            let tables = with(arguments);
            for name in TABLES {
                assert_eq!(tables[name], reference[name], "{method}, {arguments:?}: {name}");
            }
        }
        assert!(entries(Path::new(cache)) > 0, "the cache was used");
    }
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

#[test]
fn another_seed_gives_other_tables() {
    let [one, other] = ["3", "4"].map(|seed| tables(&["--no-cache", "--seed", seed]));
    for name in TABLES {
        assert_ne!(one[name], other[name], "{name}");
    }
    // The replications of one run are as different from each other.
    let record = support::play(
        &support::scenario("tiny.yaml", &[("replications", json!(2)), ("training", json!("none"))]),
        &Arc::new(Store::open(None).expect("a store in memory")),
    );
    let [a, b] = record.replications.as_slice() else { panic!("two replications") };
    assert_ne!((a.digest, &a.rounds[0].end_s), (b.digest, &b.rounds[0].end_s));
    assert_ne!(a.flows[0].distance_m, b.flows[0].distance_m);
}

/// Where each device is, how its signal spreads there, and how its channel fades at the start of the run.
fn surroundings(record: &Record) -> BTreeMap<String, String> {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut first_fading = BTreeMap::new();
    for FlowRecord { device, distance_m, line_of_sight, path_loss_db, shadowing_db, fading_db, start_s, .. } in
        &record.replications[0].flows
    {
        let place = format!("{distance_m} m, {line_of_sight}, {path_loss_db} dB, {shadowing_db} dB");
        seen.entry(device.clone()).or_default().insert(place);
        first_fading.entry(device.clone()).or_insert((*start_s, *fading_db));
    }
    seen.into_iter()
        .map(|(device, places)| (device.clone(), format!("{places:?}, {:?}", first_fading[&device])))
        .collect()
}

#[test]
fn more_devices_leave_the_others_where_they_were() {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let play = |set: &[(&str, Value)]| {
        let time_alone = [("training", json!("none")), ("technique.kind", json!("federated"))];
        support::play(&support::scenario("tiny.yaml", &[&time_alone, set].concat()), &store)
    };
    let phone = json!({"name": "phone", "count": 2, "hardware": "snapdragon_8_gen_3"});
    let board = json!({"name": "board", "count": 1, "hardware": "raspberry_pi_5"});
    // Too little memory to take part.
    let idle = json!({"name": "idle", "count": 3, "hardware": "snapdragon_8_gen_3", "memory_share": 1e-6});
    let few = surroundings(&play(&[]));
    assert_eq!(few.len(), 3);
    for (what, devices, expected) in [
        ("an idle group behind", json!([phone, board, idle]), 3),
        ("an idle group in front", json!([idle, phone, board]), 3),
        ("a larger group", json!([{"name": "phone", "count": 4, "hardware": "snapdragon_8_gen_3"}, board]), 5),
        ("another order", json!([board, phone]), 3),
    ] {
        let more = surroundings(&play(&[("devices", devices)]));
        assert_eq!(more.len(), expected, "{what}");
        for (device, place) in &few {
            assert_eq!(more[device], *place, "{what}: {device}");
        }
    }
    // Devices that stand idle change nothing at all for the others.
    let with_idle = play(&[("devices", json!([phone, board, idle]))]);
    assert_eq!(with_idle.replications[0].flows, play(&[]).replications[0].flows);
    assert_eq!(with_idle.replications[0].digest, play(&[]).replications[0].digest);
}
