//! What tests of whole runs share: scenarios of `tests/data`, and playing them.

use deft::experiment::{self, Options, Record, WhenToCompute};
use deft::learning::Store;
use deft::scenario::{Scenario, ScenarioSource};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The scenario in `file` of `tests/data`, as written.
pub fn source(file: &str) -> ScenarioSource {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    ScenarioSource::read(path).unwrap_or_else(|error| panic!("{error}"))
}

/// The scenario in `file` of `tests/data` with some keys set.
pub fn scenario<K: AsRef<str>>(file: &str, set: &[(K, Value)]) -> Scenario {
    let set: Vec<(String, Value)> = set.iter().map(|(key, value)| (key.as_ref().to_owned(), value.clone())).collect();
    source(file).resolve_with(&set).unwrap_or_else(|error| panic!("{error}"))
}

/// All replications of `scenario`, as a search would play them.
pub fn play(scenario: &Scenario, store: &Arc<Store>) -> Record {
    let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
    experiment::run(scenario, store, &options).unwrap_or_else(|error| panic!("{error}")).record
}
