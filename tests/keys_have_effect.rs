//! Every key that a scenario may hold does something.
//!
//! A table names for each key a base scenario and another value; setting it must change what the key is about. The test
//! fails for a key that the table lacks, whether a base scenario has it or only the reader of scenarios knows it.

mod support;

#[path = "support/key_bases.rs"]
mod key_bases;
#[path = "support/key_files.rs"]
mod key_files;
#[path = "support/key_table.rs"]
mod key_table;
#[path = "support/peft_table.rs"]
mod peft_table;
#[path = "support/prompt_table.rs"]
mod prompt_table;

use deft::experiment::{LearningCounts, Record};
use deft::learning::Store;
use deft::results::{RunDescription, write_run};
use deft::scenario::{Complaint, Scenario};
use deft::search::{self, Settings};
use key_bases::{Base, bases};
use key_table::{Effect, Row, table};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// No key has this name or one like it.
const NONSENSE: &str = "zzqqxxzzqqxx";

/// `devices[0].count` as the table spells it: `devices[*].count`.
fn general(key: &str) -> String {
    let mut general = String::new();
    for (i, part) in key.split('[').enumerate() {
        match part.split_once(']') {
            Some((_, rest)) if i > 0 => general += &format!("[*]{rest}"),
            _ => general += part,
        }
    }
    general
}

/// Whether `key` is `whole` or one of the keys that lead to it.
fn leads_to(key: &str, whole: &str) -> bool {
    whole.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn base_scenario(base: Base) -> Scenario {
    support::scenario(base.file(), &base.overrides(&[]))
}

#[test]
fn the_table_holds_every_key_of_the_base_scenarios() {
    let rows: BTreeSet<&str> = table().iter().map(|row| row.key).collect();
    let keys = bases().into_iter().flat_map(|base| base_scenario(base).keys()).map(|(key, _)| general(&key));
    let missing: BTreeSet<String> = keys.filter(|key| !rows.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "keys without a row: {missing:?}");
}

/// A key that nobody knows is refused with a list of those known in its section: what the reader accepts is listed there.
#[test]
fn the_table_holds_every_key_that_the_reader_accepts() {
    let mut accepted = BTreeSet::new();
    for base in bases() {
        let mut sections = BTreeSet::from([String::new()]);
        for (key, _) in base_scenario(base).keys() {
            sections.extend(key.match_indices('.').map(|(at, _)| key[..at].to_owned()));
        }
        if base == Base::Searched {
            sections.extend(["search", "search.sampler", "search.objective"].map(str::to_owned));
        }
        accepted.extend(sections.iter().flat_map(|section| keys_known_in(base, section)));
    }
    let rows = table();
    let missing: Vec<&String> = accepted.iter().filter(|key| !rows.iter().any(|row| leads_to(key, row.key))).collect();
    assert!(missing.is_empty(), "accepted keys without a row: {missing:?}");
    let unknown: Vec<&str> =
        rows.iter().map(|row| row.key).filter(|key| !accepted.iter().any(|known| leads_to(known, key))).collect();
    assert!(unknown.is_empty(), "rows that the reader knows nothing of: {unknown:?}");
}

fn keys_known_in(base: Base, section: &str) -> Vec<String> {
    let key = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let refused = base.with(&[(key(NONSENSE), json!(1))]).expect_err("nobody knows this key");
    let problem = &refused.problems[0];
    assert!(matches!(problem.complaint, Complaint::UnknownKey(_)), "{refused}");
    let help = problem.help.as_deref().unwrap_or_default();
    let names = help.strip_prefix("keys here: ").unwrap_or_else(|| panic!("no list of keys in: {refused}"));
    names.split(", ").map(|name| general(&key(name))).collect()
}

#[test]
fn every_key_has_an_effect() {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let bases = bases();
    let before: Vec<Record> = bases.iter().map(|base| record(&base_scenario(*base), &store)).collect();
    for (base, before) in bases.iter().zip(&before) {
        assert_eq!(record(&base_scenario(*base), &store), *before, "{base:?} differs from itself");
    }
    let mut failures = vec![];
    for row in table() {
        let place = bases.iter().position(|base| *base == row.base).expect("every base is listed");
        if let Err(complaint) = effect(&row, &before[place], &store) {
            failures.push(format!("{} in {:?}: {complaint}", row.key, row.base));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What was played. How much arithmetic that took depends on what was played before.
fn record(scenario: &Scenario, store: &Arc<Store>) -> Record {
    let mut record = support::play(scenario, store);
    for replication in &mut record.replications {
        replication.learning = LearningCounts::default();
    }
    record
}

fn effect(row: &Row, before: &Record, store: &Arc<Store>) -> Result<(), String> {
    let require = |yes: bool, complaint: &str| if yes { Ok(()) } else { Err(complaint.to_owned()) };
    let changed = match row.base.with(&row.changes) {
        Err(_) if row.effect == Effect::Refused => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(_) if row.effect == Effect::Refused => return Err("accepted".to_owned()),
        Ok(scenario) => scenario,
    };
    if row.effect == Effect::Found {
        let found = [findings(row.base, &[], store), findings(row.base, &row.changes, store)];
        return require(found[0] != found[1], "the search finds the same");
    }
    let expanded = row.effect == Effect::Expanded;
    require(expanded || differing_keys(row.base, &changed).contains(row.key), "the row changes other keys")?;
    let after = record(&changed, store);
    match row.effect {
        Effect::Played | Effect::Expanded => require(after != *before, "the record stays the same"),
        Effect::Cost => {
            require(after != *before, "the record stays the same")?;
            require(without_cost(after) == without_cost(before.clone()), "more than the cost changes")
        }
        Effect::Written => {
            let [old, new] = [base_scenario(row.base), changed].map(|scenario| report(&scenario, before));
            let text = row.changes[0].1.as_str().unwrap_or_default();
            require(after == *before, "what is played changes")?;
            require(new.contains(text) && !old.contains(text), "the report does not say so")
        }
        Effect::Found | Effect::Refused => Ok(()),
    }
}

/// Keys with another value than in `base`, or that only one of the two has.
fn differing_keys(base: Base, changed: &Scenario) -> BTreeSet<String> {
    let [old, new] = [base_scenario(base).keys(), changed.keys()];
    let only_in = |a: &[(String, Value)], b: &[(String, Value)]| -> Vec<String> {
        a.iter().filter(|entry| !b.contains(entry)).map(|(key, _)| general(key)).collect()
    };
    only_in(&old, &new).into_iter().chain(only_in(&new, &old)).collect()
}

fn without_cost(mut record: Record) -> Record {
    for round in record.replications.iter_mut().flat_map(|r| &mut r.rounds) {
        round.cost_usd = 0.0;
    }
    record
}

/// The page that a run leaves behind.
fn report(scenario: &Scenario, record: &Record) -> String {
    let out = tempfile::tempdir().expect("a temporary folder");
    let run = RunDescription {
        scenario_name: &scenario.name,
        resolved_yaml: &scenario.to_yaml(),
        version: "test",
        seed: scenario.seed,
        wall_seconds: 0.0,
        threads: 1,
        backend: "none",
        adapters: &[],
    };
    let folder = write_run(out.path(), &run, record, None).expect("the results can be written");
    std::fs::read_to_string(folder.path().join("report.html")).expect("the report can be read")
}

fn findings(base: Base, changes: &[(String, Value)], store: &Arc<Store>) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings { folder: folder.path(), resume: false, threads: 1, version: "test", watch: &|_, _| {} };
    let source = support::source(base.file());
    let report = search::search(&source, &base.overrides(changes), store, &settings).expect("a search");
    let written = report.write(folder.path()).expect("a folder to write to");
    let names: Vec<_> = written.iter().filter_map(|path| path.file_name()).collect();
    format!("{:?}\n{:?}\n{names:?}", report.trials, report.findings)
}
