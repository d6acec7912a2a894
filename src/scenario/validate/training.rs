//! Real fine-tuning: data, how they are dealt, and step sizes.

use super::Surroundings;
use super::check::{Check, above_to, from_to};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, DatasetFacts};
use crate::scenario::raw::{self, CountOrAll, PartitionKind, PlainOrMap};
use crate::scenario::schema::{DatasetChoice, Partition, TrainingSpec};
use std::path::{Path, PathBuf};

const DATASET_EXAMPLE: &str = "dataset: movie";
const DATASET_LIST: &str = "`deft list datasets` shows them";

/// The training section and what is known of its data; `None` for both asks for time alone.
pub(super) fn training(
    c: &mut Check,
    raw: Option<PlainOrMap<raw::TrainingWord, raw::Training>>,
    around: &Surroundings,
) -> (Option<TrainingSpec>, Option<DatasetFacts>) {
    let Some(PlainOrMap::Map(raw)) = raw else { return (None, None) };
    let at = KeyPath::default().key("training");
    let (dataset, facts) = dataset(c, &at, raw.dataset, around);
    let rate = above_to(0.0, 10.0);
    let partition = partition(c, &at.key("partition"), raw.partition.unwrap_or_default(), &dataset);
    let test_samples = facts.map_or(1, |f| f.test_samples);
    let mut samples = |key: &str, written: Option<CountOrAll>| match written {
        Some(CountOrAll::Count(n)) if facts.is_some() => {
            let reason = format!("the test split has {test_samples}");
            c.count_because(&at, key, Some(n), test_samples, 1..=test_samples, &reason)
        }
        _ => test_samples,
    };
    let evaluation_samples = samples("evaluation_samples", raw.evaluation_samples);
    let final_evaluation_samples = samples("final_evaluation_samples", raw.final_evaluation_samples);
    let training = TrainingSpec {
        dataset,
        partition,
        learning_rate: c.number(&at, "learning_rate", raw.learning_rate, 2e-3, rate),
        head_learning_rate: c.number(&at, "head_learning_rate", raw.head_learning_rate, 1e-2, rate),
        weight_decay: c.number(&at, "weight_decay", raw.weight_decay, 0.01, from_to(0.0, 10.0)),
        evaluate_every_rounds: c.count(&at, "evaluate_every_rounds", raw.evaluate_every_rounds, 1, 1..=1_000_000),
        evaluation_samples,
        final_evaluation_samples,
        stop_at_accuracy: raw
            .stop_at_accuracy
            .map(|written| c.number(&at, "stop_at_accuracy", Some(written), 1.0, above_to(0.0, 1.0))),
    };
    (Some(training), facts)
}

fn dataset(
    c: &mut Check,
    training: &KeyPath,
    raw: Option<PlainOrMap<String, raw::Dataset>>,
    around: &Surroundings,
) -> (DatasetChoice, Option<DatasetFacts>) {
    let at = training.key("dataset");
    let nothing = DatasetChoice::Vendored(String::new());
    match c.required(training, "dataset", raw, DATASET_EXAMPLE) {
        None => (nothing, None),
        Some(PlainOrMap::Plain(name)) => {
            c.known(at, &name, &names::datasets(), DATASET_LIST);
            let facts = names::dataset(&name);
            (DatasetChoice::Vendored(name), facts)
        }
        Some(PlainOrMap::Map(raw::Dataset { domains: Some(domains), file: None })) => {
            let facts = domain_facts(c, &at.key("domains"), &domains);
            (DatasetChoice::Domains { domains }, facts)
        }
        Some(PlainOrMap::Map(raw::Dataset { domains: None, file: Some(file) })) => {
            let at = at.key("file");
            let before = c.issues.len();
            let file = existing_file(c, at.clone(), &file, around.folder);
            if c.issues.len() > before {
                return (DatasetChoice::File { file }, None);
            }
            let facts = around.tables.facts(&file);
            if let Err(reason) = &facts {
                c.conflict(at, reason.clone(), "a table has the columns text, label and split (train or test)");
            }
            (DatasetChoice::File { file }, facts.ok())
        }
        Some(PlainOrMap::Map(_)) => {
            let allowed = "a name, or a map with one of the keys domains and file";
            c.issues.push(Issue::value(at, "a map with both or neither", allowed).help(DATASET_EXAMPLE.to_owned()));
            (nothing, None)
        }
    }
}

/// What the joined `domains` amount to.
fn domain_facts(c: &mut Check, at: &KeyPath, domains: &[String]) -> Option<DatasetFacts> {
    if domains.len() < 2 {
        let found = format!("{} domains", domains.len());
        c.issues
            .push(Issue::value(at.clone(), found, "at least 2").help("for a single set: dataset: movie".to_owned()));
        return None;
    }
    let mut whole: Option<DatasetFacts> = None;
    for (i, name) in domains.iter().enumerate() {
        if !c.known(at.index(i), name, &names::datasets(), DATASET_LIST) {
            return None;
        }
        if domains[..i].contains(name) {
            c.conflict(at.index(i), format!("domain \"{name}\" is listed twice"), "keep one of the two");
            return None;
        }
        let facts = names::dataset(name)?;
        whole = Some(match whole {
            None => facts,
            Some(before) => DatasetFacts { test_samples: before.test_samples + facts.test_samples, ..before },
        });
    }
    whole
}

fn partition(c: &mut Check, at: &KeyPath, raw: raw::Partition, dataset: &DatasetChoice) -> Partition {
    let alpha = [("alpha", raw.alpha.is_some())];
    match raw.kind.unwrap_or(PartitionKind::Iid) {
        PartitionKind::Iid => {
            c.unused(at, &alpha, "iid", "kind");
            Partition::Iid
        }
        PartitionKind::Dirichlet => {
            Partition::Dirichlet { alpha: c.number(at, "alpha", raw.alpha, 0.5, from_to(0.001, 1e6)) }
        }
        PartitionKind::Domain => {
            c.unused(at, &alpha, "domain", "kind");
            if !matches!(dataset, DatasetChoice::Domains { .. }) {
                let message = "`domain` deals one domain a device, and the data set has no domains";
                c.conflict(at.key("kind"), message, "for example: dataset: {domains: [movie, amazon]}");
            }
            Partition::Domain
        }
    }
}

/// The absolute path of `file`, which starts at the scenario's `folder`; notes where there is no such file.
///
/// Absolute, so that the resolved scenario means the same file wherever it is kept.
pub(super) fn existing_file(c: &mut Check, at: KeyPath, file: &str, folder: &Path) -> PathBuf {
    let path = folder.join(file);
    let path = std::path::absolute(&path).unwrap_or(path);
    if !path.is_file() || path.to_str().is_none() {
        let message = format!("there is no file {}", path.display());
        c.conflict(at, message, "a relative path starts at the folder of the scenario file");
    }
    path
}
