//! Whatever is wrong with a scenario, its author is told where, what and how to mend it.

use deft::scenario::{Place, ScenarioError, ScenarioSource, parse_override};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A file of `tests/broken`, the line and column that the message must name, and words that it must contain.
type Case = (&'static str, (usize, usize), &'static [&'static str]);

const CASES: &[Case] = &[
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn error(file: &str) -> ScenarioError {
    let path = folder("tests/broken").join(format!("{file}.yaml"));
    let read = ScenarioSource::read(path).and_then(|source| source.resolve());
    read.expect_err(file)
}

#[test]
fn every_broken_file_is_refused_where_and_why_expected() {
    let mut wrong = Vec::new();
    for (file, (line, column), phrases) in CASES {
        let error = error(file);
        let message = error.to_string();
        let here = Place::At { line: *line, column: *column };
        if !error.problems.iter().any(|p| p.place == here) || !phrases.iter().all(|p| message.contains(p)) {
            wrong.push(format!("{file}: expected {line}:{column} and {phrases:?}, got\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
