//! Real fine-tuning: data, how they are dealt, and step sizes.

use super::Surroundings;
use super::check::{Check, above_to, from_to};
use super::model::existing_file;
use crate::adapter::AdapterFile;
use crate::fomo::Architecture;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, DatasetFacts};
use crate::scenario::raw::{self, CountOrAll, OptimizerKind, PartitionKind, PlainOrMap};
use crate::scenario::schema::{
    DatasetChoice, ImageSize, LearningTask, Optimizer, Partition, TechniqueKind, TrainingSpec, USUAL_PERTURBATION,
};
use std::path::PathBuf;

const DATASET_EXAMPLE: &str = "dataset: movie";
const DATASET_LIST: &str = "`deft list datasets` shows them";

/// The training section and what is known of its data; `None` for both asks for time alone.
pub(super) fn training(
    c: &mut Check,
    raw: Option<PlainOrMap<raw::TrainingWord, raw::Training>>,
    architecture: Option<&Architecture>,
    technique: Option<TechniqueKind>,
    around: &Surroundings,
) -> (Option<TrainingSpec>, Option<DatasetFacts>) {
    let Some(PlainOrMap::Map(raw)) = raw else { return (None, None) };
    let at = KeyPath::default().key("training");
    let reading = Reading { task: raw.task, images: architecture.is_some_and(|a| a.image.is_some()), around };
    let (dataset, facts) = dataset(c, &at, raw.dataset, &reading);
    let task = facts.as_ref().map_or(raw.task.unwrap_or(LearningTask::Classification), |f| f.task);
    let rate = above_to(0.0, 10.0);
    let partition = partition(c, &at.key("partition"), raw.partition.unwrap_or_default(), &dataset, task);
    let test_samples = facts.as_ref().map_or(1, |f| f.test_samples);
    let mut samples = |key: &str, written: Option<CountOrAll>| match written {
        Some(CountOrAll::Count(n)) if facts.is_some() => {
            let reason = format!("the test split has {test_samples}");
            c.count_because(&at, key, Some(n), test_samples, 1..=test_samples, &reason)
        }
        _ => test_samples,
    };
    let evaluation_samples = samples("evaluation_samples", raw.evaluation_samples);
    let final_evaluation_samples = samples("final_evaluation_samples", raw.final_evaluation_samples);
    if let Some(written) = raw.stop_at_accuracy.filter(|_| task == LearningTask::Regression) {
        let message = format!("a regression has no accuracy that could reach {written}");
        c.conflict(at.key("stop_at_accuracy"), message, "drop the key");
    }
    let optimizer = optimizer(c, &at.key("optimizer"), raw.optimizer.unwrap_or_default(), technique);
    let weight_decay = weight_decay(c, &at, raw.weight_decay, optimizer);
    let training = TrainingSpec {
        task,
        dataset,
        partition,
        samples_per_device: raw
            .samples_per_device
            .map(|written| c.count(&at, "samples_per_device", Some(written), 1, 1..=1_000_000_000)),
        optimizer,
        learning_rate: c.number(&at, "learning_rate", raw.learning_rate, 2e-3, rate),
        head_learning_rate: c.number(&at, "head_learning_rate", raw.head_learning_rate, 1e-2, rate),
        weight_decay,
        evaluate_every_rounds: c.count(&at, "evaluate_every_rounds", raw.evaluate_every_rounds, 1, 1..=1_000_000),
        evaluation_samples,
        final_evaluation_samples,
        stop_at_accuracy: raw
            .stop_at_accuracy
            .map(|written| c.number(&at, "stop_at_accuracy", Some(written), 1.0, above_to(0.0, 1.0))),
        start_from: raw.start_from.map(|file| adapter(c, at.key("start_from"), &file, architecture, around)),
    };
    (Some(training), facts)
}

/// The adapter file to start from. Whether the scenario's methods are those of the adapter shows when the run begins.
fn adapter(
    c: &mut Check,
    at: KeyPath,
    file: &str,
    architecture: Option<&Architecture>,
    around: &Surroundings,
) -> PathBuf {
    let problems = c.issues.len();
    let path = existing_file(c, at.clone(), file, around.folder);
    if c.issues.len() == problems {
        let read = AdapterFile::read(&path);
        let fits = read.and_then(|adapter| match architecture {
            Some(architecture) => adapter.layout_for(&path.display().to_string(), architecture).map(drop),
            None => Ok(()),
        });
        if let Err(error) = fits {
            c.conflict(at, error.to_string(), "`deft adapter show FILE` tells what an adapter was made for");
        }
    }
    path
}

/// How a data set is going to be read.
struct Reading<'a> {
    /// As written.
    task: Option<LearningTask>,
    /// Whether the model reads images.
    images: bool,
    around: &'a Surroundings<'a>,
}

fn dataset(
    c: &mut Check,
    training: &KeyPath,
    raw: Option<PlainOrMap<String, raw::Dataset>>,
    reading: &Reading,
) -> (DatasetChoice, Option<DatasetFacts>) {
    let at = training.key("dataset");
    let nothing = DatasetChoice::Vendored(String::new());
    match c.required(training, "dataset", raw, DATASET_EXAMPLE) {
        None => (nothing, None),
        Some(PlainOrMap::Plain(name)) => {
            let facts = vendored(c, at, &name, reading);
            (DatasetChoice::Vendored(name), facts)
        }
        Some(PlainOrMap::Map(raw::Dataset { domains: Some(domains), file: None, image })) => {
            c.unused(&at, &[("image", image.is_some())], "domains", "domains");
            let facts = domain_facts(c, &at.key("domains"), &domains, reading);
            (DatasetChoice::Domains { domains }, facts)
        }
        Some(PlainOrMap::Map(raw::Dataset { domains: None, file: Some(file), image })) => {
            table(c, &at, &file, image, reading)
        }
        Some(PlainOrMap::Map(_)) => {
            let allowed = "a name, or a map with one of the keys domains and file";
            c.issues.push(Issue::value(at, "a map with both or neither", allowed).help(DATASET_EXAMPLE.to_owned()));
            (nothing, None)
        }
    }
}

/// The data of the section at `at`, read for the task of `training`, whose samples they are not.
pub(super) fn public_dataset(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<PlainOrMap<String, raw::Dataset>>,
    training: &TrainingSpec,
    (architecture, around): (&Architecture, &Surroundings),
) -> DatasetChoice {
    let reading = Reading { task: Some(training.task), images: architecture.image.is_some(), around };
    let (choice, _) = dataset(c, at, raw, &reading);
    if share_samples(&choice, &training.dataset) {
        let message = "these are the samples of the devices, and distilling is done on data that are nobody's";
        c.conflict(at.key("dataset"), message, "name another data set: `deft list datasets` shows them");
    }
    choice
}

/// Whether two choices have a data set in common.
fn share_samples(a: &DatasetChoice, b: &DatasetChoice) -> bool {
    let names = |choice: &DatasetChoice| match choice {
        DatasetChoice::Vendored(name) => vec![name.clone()],
        DatasetChoice::Domains { domains } => domains.clone(),
        DatasetChoice::File { .. } => vec![],
    };
    a == b || names(a).iter().any(|name| names(b).contains(name))
}

/// What is known of the vendored set `name`, read for the task.
fn vendored(c: &mut Check, at: KeyPath, name: &str, reading: &Reading) -> Option<DatasetFacts> {
    if !c.known(at.clone(), name, &names::datasets(), DATASET_LIST) {
        return None;
    }
    match names::dataset(name, reading.task) {
        Ok(facts) => Some(facts),
        Err(served) => {
            let task = reading.task.unwrap_or(LearningTask::Classification).name();
            let message = format!("data set \"{name}\" cannot be read for `{task}`");
            c.conflict(at, message, &format!("it serves {served}"));
            None
        }
    }
}

/// The user's own table.
fn table(
    c: &mut Check,
    at: &KeyPath,
    file: &str,
    image: Option<raw::Image>,
    reading: &Reading,
) -> (DatasetChoice, Option<DatasetFacts>) {
    let image = image.map(|raw| {
        let at = at.key("image");
        let side = c.required(&at, "side_px", raw.side_px, "side_px: 28");
        ImageSize {
            side_px: c.count(&at, "side_px", side, 28, 1..=4096),
            channels: c.count(&at, "channels", raw.channels, 1, 1..=3),
        }
    });
    let task = reading.task.unwrap_or(LearningTask::Classification);
    let images = image.is_some() || reading.images && task == LearningTask::Classification;
    if image.is_some() && task != LearningTask::Classification {
        c.conflict(at.key("image"), format!("`{}` reads text", task.name()), "drop the key");
        return (DatasetChoice::File { file: file.into(), image }, None);
    }
    let file_at = at.key("file");
    let before = c.issues.len();
    let file = existing_file(c, file_at.clone(), file, reading.around.folder);
    if c.issues.len() > before {
        return (DatasetChoice::File { file, image }, None);
    }
    let facts = reading.around.tables.facts(&file, task, images, image);
    if let Err(reason) = &facts {
        c.conflict(file_at, reason.clone(), columns(task, images));
    }
    (DatasetChoice::File { file, image }, facts.ok())
}

/// The columns that a table needs.
fn columns(task: LearningTask, images: bool) -> &'static str {
    match task {
        LearningTask::Classification if images => {
            "a table of images has the columns label, split (train or test) and p0, p1, ... for the pixels, 0 to 255"
        }
        LearningTask::Classification => "a table has the columns text, label and split (train or test)",
        LearningTask::Regression => "a table has the columns text, label (a number) and split (train or test)",
        LearningTask::LanguageModel => "a table has the columns text and split (train or test)",
        LearningTask::SequenceToSequence => "a table has the columns text, target and split (train or test)",
    }
}

/// What the joined `domains` amount to.
fn domain_facts(c: &mut Check, at: &KeyPath, domains: &[String], reading: &Reading) -> Option<DatasetFacts> {
    if domains.len() < 2 {
        let found = format!("{} domains", domains.len());
        c.issues
            .push(Issue::value(at.clone(), found, "at least 2").help("for a single set: dataset: movie".to_owned()));
        return None;
    }
    let mut whole: Option<DatasetFacts> = None;
    for (i, name) in domains.iter().enumerate() {
        let facts = vendored(c, at.index(i), name, reading)?;
        if domains[..i].contains(name) {
            c.conflict(at.index(i), format!("domain \"{name}\" is listed twice"), "keep one of the two");
            return None;
        }
        match &mut whole {
            None => whole = Some(facts),
            Some(all) if all.goes_with(&facts) => all.test_samples += facts.test_samples,
            Some(_) => {
                let message = format!("\"{name}\" is of another kind than \"{}\"", domains[0]);
                c.conflict(at.index(i), message, "join sets of the same task and classes");
                return None;
            }
        }
    }
    whole
}

fn optimizer(c: &mut Check, at: &KeyPath, raw: raw::Optimizer, technique: Option<TechniqueKind>) -> Optimizer {
    let usual = match technique {
        Some(TechniqueKind::ZerothOrderFederated) => OptimizerKind::ZerothOrder,
        _ => OptimizerKind::AdamW,
    };
    let (momentum, perturbation) = (("momentum", raw.momentum.is_some()), ("perturbation", raw.perturbation.is_some()));
    match raw.kind.unwrap_or(usual) {
        OptimizerKind::AdamW => {
            c.unused(at, &[momentum, perturbation], "adamw", "kind");
            Optimizer::AdamW
        }
        OptimizerKind::Sgd => {
            c.unused(at, &[perturbation], "sgd", "kind, momentum");
            Optimizer::Sgd { momentum: c.number(at, "momentum", raw.momentum, 0.0, from_to(0.0, 0.9999)) }
        }
        OptimizerKind::ZerothOrder => {
            c.unused(at, &[momentum], "zeroth_order", "kind, perturbation");
            let perturbation = c.number(at, "perturbation", raw.perturbation, USUAL_PERTURBATION, above_to(0.0, 1.0));
            Optimizer::ZerothOrder { perturbation }
        }
    }
}

/// None where steps go along one random direction: all devices replay them from the slope alone.
fn weight_decay(c: &mut Check, at: &KeyPath, raw: Option<f64>, optimizer: Optimizer) -> f64 {
    let zeroth_order = matches!(optimizer, Optimizer::ZerothOrder { .. });
    let usual = if zeroth_order { 0.0 } else { 0.01 };
    let weight_decay = c.number(at, "weight_decay", raw, usual, from_to(0.0, 10.0));
    if zeroth_order && weight_decay > 0.0 {
        let message = "steps of `zeroth_order` go along one random direction, without decay";
        c.conflict(at.key("weight_decay"), message, "drop the key, or use another optimizer");
    }
    weight_decay
}

fn partition(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::Partition,
    dataset: &DatasetChoice,
    task: LearningTask,
) -> Partition {
    let alpha = [("alpha", raw.alpha.is_some())];
    match raw.kind.unwrap_or(PartitionKind::Iid) {
        PartitionKind::Iid => {
            c.unused(at, &alpha, "iid", "kind");
            Partition::Iid
        }
        PartitionKind::Dirichlet => {
            if task != LearningTask::Classification {
                let message = format!("`dirichlet` skews shares of classes, and `task: {}` has none", task.name());
                c.conflict(at.key("kind"), message, "use `iid`, or `domain` with several data sets");
            }
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
