//! The model: what it looks like, where its weights come from, and whether it can learn the task.

use super::check::Check;
use crate::compute::Precision;
use crate::fomo::{Architecture, Family};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, DatasetFacts, VENDORED_ARCHITECTURE};
use crate::scenario::raw::{self, CheckpointWord, PlainOrMap};
use crate::scenario::schema::{AttentionMemory, Checkpoint, DatasetChoice, LearningTask, ModelSpec, TrainingSpec};
use std::path::{Path, PathBuf};

/// The model before it is known what it shall learn.
pub(super) struct Shape {
    name: Option<String>,
    checkpoint: Checkpoint,
    precision: Option<Precision>,
    classes: Option<u64>,
    attention: AttentionMemory,
    /// What it looks like, if that is known.
    pub architecture: Option<Architecture>,
}

/// What the model looks like. Files must exist where weights or a configuration are read from them.
pub(super) fn shape(c: &mut Check, raw: Option<raw::Model>, training: bool, folder: &Path) -> Shape {
    let top = KeyPath::default();
    let at = top.key("model");
    let missing = c.required(&top, "model", raw.as_ref(), "model: {architecture: minilm-l6}").is_none();
    let raw::Model { architecture: name, checkpoint, precision, classes, attention } = raw.unwrap_or_default();
    let before = c.issues.len();
    let checkpoint = self::checkpoint(c, &at.key("checkpoint"), checkpoint, training || name.is_none(), folder);
    let is_there = c.issues.len() == before;
    let place = checkpoint.path().filter(|_| is_there);
    let architecture = match (&name, place) {
        (Some(name), place) => {
            c.known(at.key("architecture"), name, &names::architectures(), "`deft list models` shows them all");
            let preset = names::architecture(name);
            let place = place.filter(|_| training && names::has_configuration(&checkpoint));
            if let (Some(preset), Some(place)) = (&preset, place) {
                compare(c, &at, preset, place);
            }
            preset
        }
        (None, Some(place)) => match names::configured_architecture(place) {
            Ok(architecture) => Some(architecture),
            Err(reason) => {
                c.conflict(at.key("checkpoint"), reason, "name the model with the key architecture, if deft knows it");
                None
            }
        },
        (None, None) => {
            if !missing && is_there {
                c.required(&at, "architecture", name.clone(), "architecture: minilm-l6");
            }
            None
        }
    };
    Shape { name, checkpoint, precision, classes, attention: attention.unwrap_or_default(), architecture }
}

/// Notes a checkpoint whose own configuration contradicts the name.
fn compare(c: &mut Check, at: &KeyPath, preset: &Architecture, place: &Path) {
    let help = "drop the key: the checkpoint says itself what the model looks like";
    match names::configured_architecture(place) {
        Ok(own) if Architecture { name: preset.name.clone(), ..own.clone() } != *preset => {
            let message = format!("{} holds another model than `{}`", place.display(), preset.name);
            c.conflict(at.key("architecture"), message, help);
        }
        Ok(_) => {}
        Err(reason) => c.conflict(at.key("checkpoint"), reason, "give a checkpoint that deft can run"),
    }
}

fn checkpoint(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<PlainOrMap<CheckpointWord, raw::CheckpointPlace>>,
    must_exist: bool,
    folder: &Path,
) -> Checkpoint {
    let place = match raw {
        None | Some(PlainOrMap::Plain(CheckpointWord::Vendored)) => return Checkpoint::Vendored,
        Some(PlainOrMap::Plain(CheckpointWord::Random)) => return Checkpoint::Random,
        Some(PlainOrMap::Map(place)) => place,
    };
    match (place.file, place.folder) {
        (Some(file), None) if must_exist => Checkpoint::File(existing_file(c, at.key("file"), &file, folder)),
        (Some(file), None) => Checkpoint::File(PathBuf::from(file)),
        (None, Some(inner)) if must_exist => Checkpoint::Folder(existing_folder(c, at.key("folder"), &inner, folder)),
        (None, Some(inner)) => Checkpoint::Folder(PathBuf::from(inner)),
        _ => {
            let issue = Issue::value(at.clone(), "a map with both or neither", "one of the keys file and folder");
            c.issues.push(issue.help("for example: checkpoint: {file: model.safetensors}".to_owned()));
            Checkpoint::Vendored
        }
    }
}

/// The whole section, once it is known what the model shall learn.
pub(super) fn model(
    c: &mut Check,
    shape: Shape,
    training: Option<&TrainingSpec>,
    facts: Option<&DatasetFacts>,
) -> ModelSpec {
    let at = KeyPath::default().key("model");
    let Shape { name, checkpoint, precision, classes, attention, architecture } = shape;
    let precision = precision.unwrap_or(if training.is_some() { Precision::Fp32 } else { Precision::Fp16 });
    if let Some(training) = training {
        if let Some(architecture) = &architecture {
            has_weights(c, &at, architecture, &checkpoint);
            can_learn(c, architecture, training, facts);
        }
        if !matches!(precision, Precision::Fp32 | Precision::Fp16) {
            let help = "drop the key to train in fp32, or write `training: none` to emulate time alone";
            c.conflict(at.key("precision"), "training runs in fp32 or fp16 only", help);
        }
    }
    let task = training.map_or(LearningTask::Classification, |t| t.task);
    let classes = self::classes(c, &at, classes, task, facts);
    ModelSpec { architecture: name, checkpoint, precision, classes, attention }
}

fn classes(
    c: &mut Check,
    at: &KeyPath,
    written: Option<u64>,
    task: LearningTask,
    facts: Option<&DatasetFacts>,
) -> Option<usize> {
    if task != LearningTask::Classification {
        if written.is_some() {
            let message = format!("`task: {}` has no classes", task.name());
            c.conflict(at.key("classes"), message, "drop the key");
        }
        return None;
    }
    let of_data = facts.and_then(|f| f.classes);
    let classes = c.count(at, "classes", written, of_data.unwrap_or(2), 2..=100_000);
    if let Some(of_data) = of_data.filter(|n| *n != classes) {
        let allowed = format!("{of_data}, as many as the data set has");
        c.issues.push(Issue::value(at.key("classes"), classes, allowed).help("drop the key".to_owned()));
    }
    Some(classes)
}

/// Notes where the weights of `architecture` are nowhere to be had.
fn has_weights(c: &mut Check, at: &KeyPath, architecture: &Architecture, checkpoint: &Checkpoint) {
    let name = &architecture.name;
    if *checkpoint == Checkpoint::Vendored && name != VENDORED_ARCHITECTURE {
        let message =
            format!("training `{name}` needs weights, and only those of `{VENDORED_ARCHITECTURE}` are vendored");
        let help = "give `checkpoint: {file: model.safetensors}` or {folder: ...}, train from `random` ones, or write \
                    `training: none`";
        c.conflict(at.key("architecture"), message, help);
    }
}

/// Notes why `architecture` cannot learn the task: the one place with these rules.
fn can_learn(c: &mut Check, architecture: &Architecture, training: &TrainingSpec, facts: Option<&DatasetFacts>) {
    use LearningTask::{Classification, LanguageModel, Regression, SequenceToSequence};
    let at = KeyPath::default().key("training");
    let name = &architecture.name;
    let (message, help) = match (training.task, architecture.family) {
        (Classification | Regression, Family::T5) => (
            format!("`{name}` answers in text only and has no head for {}", training.task.name()),
            "write it as text to text: task: sequence_to_sequence",
        ),
        (Regression | LanguageModel | SequenceToSequence, Family::Vit) => {
            (format!("`{name}` reads images, and can only classify them"), "write `task: classification`")
        }
        (LanguageModel, Family::Bert | Family::Roberta | Family::T5) => (
            format!("`{name}` sees the tokens that it should predict: `language_model` needs a decoder"),
            "take a gpt2 or llama architecture, or another task",
        ),
        (SequenceToSequence, Family::Bert | Family::Roberta | Family::Gpt2 | Family::Llama) => (
            format!("`{name}` is no encoder-decoder, which `sequence_to_sequence` needs"),
            "take a t5 architecture, or another task",
        ),
        _ => return images(c, architecture, training, facts),
    };
    c.conflict(at.key("task"), message, help);
}

/// Notes data of another kind or size than the model reads.
fn images(c: &mut Check, architecture: &Architecture, training: &TrainingSpec, facts: Option<&DatasetFacts>) {
    let at = KeyPath::default().key("training").key("dataset");
    let Some(facts) = facts else { return };
    let name = &architecture.name;
    match (architecture.image, facts.image) {
        (Some(reads), Some(holds)) if (reads.side_px, reads.channels) != (holds.side_px, holds.channels) => {
            let at = if matches!(training.dataset, DatasetChoice::File { .. }) { at.key("file") } else { at };
            let message = format!(
                "`{name}` reads images of {} px and {} channels, and these have {} px and {}",
                reads.side_px, reads.channels, holds.side_px, holds.channels
            );
            c.conflict(at, message, "give images of that size, or a checkpoint folder of a model for these");
        }
        (Some(_), None) => c.conflict(at, format!("`{name}` reads images, and this is text"), "for example: digits"),
        (None, Some(_)) => {
            c.conflict(at, format!("`{name}` reads text, and these are images"), "take a vit architecture");
        }
        _ => {}
    }
}

/// The absolute path of `file`, which starts at the scenario's `folder`; notes where there is no such file.
///
/// Absolute, so that the resolved scenario means the same file wherever it is kept.
pub(super) fn existing_file(c: &mut Check, at: KeyPath, file: &str, folder: &Path) -> PathBuf {
    let path = absolute(file, folder);
    if !path.is_file() || path.to_str().is_none() {
        let message = format!("there is no file {}", path.display());
        c.conflict(at, message, "a relative path starts at the folder of the scenario file");
    }
    path
}

fn existing_folder(c: &mut Check, at: KeyPath, inner: &str, folder: &Path) -> PathBuf {
    let path = absolute(inner, folder);
    if !path.is_dir() || path.to_str().is_none() {
        let message = format!("there is no folder {}", path.display());
        c.conflict(at, message, "a relative path starts at the folder of the scenario file");
    }
    path
}

fn absolute(path: &str, folder: &Path) -> PathBuf {
    let path = folder.join(path);
    std::path::absolute(&path).unwrap_or(path)
}
