//! The model, its trainable parameters, and how much data a step sees.

use super::check::{Check, above_to};
use super::training::existing_file;
use crate::compute::Precision;
use crate::fomo::{Architecture, Family};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, DatasetFacts, VENDORED_ARCHITECTURE};
use crate::scenario::raw::{self, PlainOrMap};
use crate::scenario::schema::{Checkpoint, ModelSpec, PeftMethod, PeftSpec, Projection, Rank, TrainingSpec, Workload};
use std::path::{Path, PathBuf};

/// Families that the learning plane has forward and backward passes for.
const LEARNABLE: [Family; 1] = [Family::Bert];
/// [CLS], one token of text, [SEP].
const SHORTEST_SEQUENCE: usize = 3;
const LONGEST_SEQUENCE: usize = 65_536;

/// The model, and its architecture if that is known.
pub(super) fn model(
    c: &mut Check,
    raw: Option<raw::Model>,
    training: Option<&TrainingSpec>,
    facts: Option<DatasetFacts>,
    folder: &Path,
) -> (ModelSpec, Option<Architecture>) {
    let top = KeyPath::default();
    let at = top.key("model");
    let name = c
        .required(&top, "model", raw.as_ref(), "model: {architecture: minilm-l6}")
        .and_then(|raw| c.required(&at, "architecture", raw.architecture.clone(), "architecture: minilm-l6"));
    let raw = raw.unwrap_or_default();
    let architecture = name.as_deref().and_then(names::architecture);
    if let Some(name) = &name {
        c.known(at.key("architecture"), name, &names::architectures(), "`deft list models` shows them all");
    }
    let checkpoint = checkpoint(c, &at.key("checkpoint"), raw.checkpoint, training.is_some(), folder);
    let precision = raw.precision.unwrap_or(if training.is_some() { Precision::Fp32 } else { Precision::Fp16 });
    if training.is_some() {
        if let Some(architecture) = &architecture {
            trainable(c, &at, architecture, &checkpoint);
        }
        if precision != Precision::Fp32 {
            let help = "drop the key to train in fp32, or write `training: none` to emulate time alone";
            c.conflict(at.key("precision"), "training runs in fp32 only", help);
        }
    }
    let classes = c.count(&at, "classes", raw.classes, facts.map_or(2, |f| f.classes), 2..=100_000);
    if let Some(facts) = facts.filter(|facts| facts.classes != classes) {
        let allowed = format!("{}, as many as the data set has", facts.classes);
        c.issues.push(Issue::value(at.key("classes"), classes, allowed).help("drop the key".to_owned()));
    }
    (ModelSpec { architecture: name.unwrap_or_default(), checkpoint, precision, classes }, architecture)
}

/// Notes why real fine-tuning of `architecture` from `checkpoint` is impossible: the one place with this rule.
fn trainable(c: &mut Check, at: &KeyPath, architecture: &Architecture, checkpoint: &Checkpoint) {
    let name = &architecture.name;
    if !LEARNABLE.contains(&architecture.family) {
        let message = format!("`{name}` is of the {:?} family; only BERT encoders can be trained", architecture.family);
        c.conflict(at.key("architecture"), message, "write `training: none` to emulate its time, energy and bytes");
    } else if *checkpoint == Checkpoint::Vendored && name != VENDORED_ARCHITECTURE {
        let message =
            format!("training `{name}` needs weights, and only those of `{VENDORED_ARCHITECTURE}` are vendored");
        let help = "give `checkpoint: {file: model.safetensors}`, or write `training: none`";
        c.conflict(at.key("architecture"), message, help);
    }
}

fn checkpoint(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<PlainOrMap<raw::CheckpointWord, raw::FileChoice>>,
    training: bool,
    folder: &Path,
) -> Checkpoint {
    match raw {
        None | Some(PlainOrMap::Plain(raw::CheckpointWord::Vendored)) => Checkpoint::Vendored,
        Some(PlainOrMap::Map(choice)) => match c.required(at, "file", choice.file, "file: model.safetensors") {
            None => Checkpoint::Vendored,
            Some(file) if training => Checkpoint::File(existing_file(c, at.key("file"), &file, folder)),
            Some(file) => Checkpoint::File(PathBuf::from(file)),
        },
    }
}

pub(super) fn peft(c: &mut Check, raw: raw::Peft, architecture: Option<&Architecture>) -> PeftSpec {
    let at = KeyPath::default().key("peft");
    let method = raw.method.unwrap_or(PeftMethod::Lora);
    let most = architecture.map_or(usize::MAX, |a| a.hidden);
    let rank = match raw.rank {
        None => Rank::Uniform(8.min(most)),
        Some(PlainOrMap::Plain(rank)) => Rank::Uniform(c.count(&at, "rank", Some(rank), 8, 0..=most)),
        Some(PlainOrMap::Map(list)) => {
            let at = at.key("rank");
            let written = c.required(&at, "blocks", list.blocks, "blocks: [8, 8, 4, 4, 0, 0]").unwrap_or_default();
            let at = at.key("blocks");
            if let Some(a) = architecture.filter(|a| a.blocks() != written.len()) {
                let allowed = format!("{}, one a block of {}", a.blocks(), a.name);
                c.issues.push(Issue::value(at.clone(), format!("{} ranks", written.len()), allowed));
            }
            let rank = |(i, rank): (usize, u64)| match usize::try_from(rank) {
                Ok(rank) if rank <= most => rank,
                _ => {
                    c.issues.push(Issue::value(at.index(i), rank, format!("0..={most}")));
                    0
                }
            };
            Rank::PerBlock { blocks: written.into_iter().enumerate().map(rank).collect() }
        }
    };
    let all_zero = match &rank {
        Rank::Uniform(rank) => *rank == 0,
        Rank::PerBlock { blocks } => blocks.iter().all(|rank| *rank == 0),
    };
    let noted = c.issues.iter().any(|issue| issue.path.starts_with(&at.key("rank")));
    if method == PeftMethod::Lora && all_zero && !noted {
        let help = "raise at least one rank, or write `method: head_only`";
        c.conflict(at.key("rank"), "all ranks are 0, so `lora` has nothing to train", help);
    }
    let targets = targets(c, &at.key("targets"), raw.targets, method);
    PeftSpec { method, rank, alpha: c.number(&at, "alpha", raw.alpha, 16.0, above_to(0.0, 1e6)), targets }
}

/// The targets in the order in which their parameters are laid out, so that equal sets are equal lists.
fn targets(c: &mut Check, at: &KeyPath, raw: Option<Vec<Projection>>, method: PeftMethod) -> Vec<Projection> {
    let mut targets = raw.unwrap_or_else(|| vec![Projection::Query, Projection::Value]);
    if targets.is_empty() && method == PeftMethod::Lora {
        c.conflict(at.clone(), "an empty list: `lora` has nothing to train", "for example: targets: [query, value]");
    }
    for i in 1..targets.len() {
        if targets[..i].contains(&targets[i]) {
            c.conflict(at.index(i), "this target is listed twice", "keep one of the two");
        }
    }
    targets.sort_unstable();
    targets.dedup();
    targets
}

pub(super) fn workload(c: &mut Check, raw: raw::Workload, architecture: Option<&Architecture>) -> Workload {
    let at = KeyPath::default().key("workload");
    // Images come in as many tokens as they have patches, and relative positions have no end.
    let (most, reason) = match architecture.filter(|a| a.positions > 0 && a.image.is_none()) {
        Some(a) => (a.positions, format!("{} has {} positions", a.name, a.positions)),
        None => (LONGEST_SEQUENCE, String::new()),
    };
    let allowed = SHORTEST_SEQUENCE..=most;
    Workload {
        batch_size: c.count(&at, "batch_size", raw.batch_size, 16, 1..=65_536),
        sequence_tokens: c.count_because(&at, "sequence_tokens", raw.sequence_tokens, 64, allowed, &reason),
    }
}
