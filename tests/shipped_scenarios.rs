//! Every scenario that comes with deft, and every variant of its search, played in time alone: it runs, its books balance,
//! raw data crosses under `centralized` only, and whatever it measures is documented.

#[path = "support/balance.rs"]
mod balance;

use balance::balanced;
use deft::experiment::{self, Options, ReplicationRecord, WhenToCompute};
use deft::learning::Store;
use deft::scenario::{MEASURES, Scenario, ScenarioSource, TechniqueKind};
use deft::search::candidates;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn shipped() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")];
    let mut files = vec![];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of scenarios") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What makes a scenario quick: nothing is trained. Books balance where all transfers are listed.
fn quick() -> Vec<(String, Value)> {
    [("training", json!("none")), ("replications", json!(1)), ("results.flow_devices", json!("all"))]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
}

/// More devices than this are played for a few device-rounds only: books are looked through once a device.
const MANY_DEVICES: usize = 10_000;

/// What makes a scenario of many devices quick.
fn few_take_part() -> Vec<(String, Value)> {
    [("technique.rounds", json!(2)), ("technique.devices_per_round", json!(50))]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
}

/// The scenario as it is, and once for each variant at the first point of its space.
fn plays(source: &ScenarioSource) -> Vec<(String, Scenario)> {
    let large = source.resolve().is_ok_and(|scenario| scenario.device_count() > MANY_DEVICES);
    let resolve = |set: &[(String, Value)]| {
        let set = [set, &quick(), &if large { few_take_part() } else { vec![] }].concat();
        source.resolve_trial(&set).unwrap_or_else(|error| panic!("{error}"))
    };
    let whole = source.resolve().unwrap_or_else(|error| panic!("{error}"));
    let mut plays = vec![("as it is".to_owned(), resolve(&[]))];
    let mut seen = BTreeSet::new();
    for candidate in whole.search.iter().flat_map(|search| candidates(search, 1)) {
        if let Some(name) = &candidate.variant
            && seen.insert(name.clone())
        {
            // What only training has cannot be set without it.
            let settings: Vec<_> =
                candidate.settings.iter().filter(|(k, _)| !k.starts_with("training")).cloned().collect();
            plays.push((name.clone(), resolve(&settings)));
        }
    }
    plays
}

fn play(scenario: &Scenario) -> ReplicationRecord {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
    experiment::run_replication(scenario, 0, &store, &options).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_shipped_scenario_and_variant_plays_and_its_books_balance() {
    let page = include_str!("../docs/metrics.md");
    let mut played = 0;
    for path in shipped() {
        let source = ScenarioSource::read(&path).unwrap_or_else(|error| panic!("{error}"));
        for (name, scenario) in plays(&source) {
            let what = format!("{}, {name}", path.display());
            let record = play(&scenario);
            balanced(&record, &what);
            let raw = record.flows.iter().any(|f| f.content == "raw_data");
            assert!(!raw || scenario.technique.kind == TechniqueKind::Centralized, "{what}: raw data crosses the air");
            for measure in &record.measures {
                let known = MEASURES.iter().any(|(name, _)| *name == measure.measure);
                assert!(known, "{what}: the measure `{}` is in no table", measure.measure);
            }
            played += 1;
        }
    }
    assert!(played >= shipped().len() && played > 10, "{played} played");
    for (name, _) in MEASURES {
        assert!(page.contains(&format!("| `{name}` |")), "the measure `{name}` is not in docs/metrics.md");
    }
}
