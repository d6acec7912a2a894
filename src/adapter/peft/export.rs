//! From deft's parameters to a folder of `peft`.

use super::super::modules::{Modules, class_of};
use super::super::tensors::{Tensor, to_bytes};
use super::super::{AdapterError, AdapterFile, method_names};
use super::{CONFIG, HEAD, TENSORS, ia3, lora, prompts};
use crate::data::Objective;
use crate::fomo::{Architecture, Family};
use crate::nn::{AdapterPlacement, Group, PeftMethod, Selection};
use serde_json::{Map, Value, json};

const README: &str = "README.md";

/// What a folder says that the parameters do not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportOptions<'a> {
    /// Where others find the base model: a name on a hub, or a path; deft's own name for it if `None`.
    pub base_model: Option<&'a str>,
}

/// The files of a folder, and what its user should know.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftFolder {
    /// Names and contents.
    pub files: Vec<(&'static str, Vec<u8>)>,
    pub notes: Vec<String>,
}

/// What one method becomes.
pub(super) struct Written {
    pub config: Map<String, Value>,
    /// Sorted by name, as `peft` writes them.
    pub tensors: Vec<Tensor>,
    pub notes: Vec<String>,
}

/// What all methods need to know of the model and of the class that holds it.
pub(super) struct Target<'a> {
    pub file: &'a AdapterFile,
    pub architecture: &'a Architecture,
    pub modules: &'a Modules,
    /// In front of the paths of modules.
    pub wrapper: &'static str,
}

impl Target<'_> {
    /// The module's path in the class, as `target_modules` names it.
    pub fn path(&self, module: &str) -> String {
        format!("{}{module}", self.wrapper)
    }

    /// Whether the class keeps its matrices as `[inputs, outputs]`.
    pub fn fan_in_fan_out(&self) -> bool {
        self.architecture.family == Family::Gpt2
    }
}

/// The folder that `peft` loads.
///
/// # Errors
/// If `peft` has no format for the methods, with what to do instead.
pub fn export(file: &AdapterFile, options: &ExportOptions<'_>) -> Result<PeftFolder, AdapterError> {
    let architecture = file.layout_architecture();
    let modules = Modules::of(&architecture)?;
    let (wrapper, task_type) = class_of(architecture.family, file.objective());
    let target = Target { file, architecture: &architecture, modules: &modules, wrapper };
    let mut written = match file.methods() {
        [PeftMethod::Lora(config)] => lora::write(&target, config)?,
        [PeftMethod::Ia3(_)] => ia3::write(&target)?,
        [PeftMethod::Prompt(config)] => prompts::write_prompt(&target, *config)?,
        [PeftMethod::Prefix(config)] => prompts::write_prefix(&target, config)?,
        others => return Err(no_format(others)),
    };
    let base_model = options.base_model.unwrap_or(&architecture.name);
    for (field, value) in [
        ("base_model_name_or_path", json!(base_model)),
        ("task_type", json!(task_type)),
        ("inference_mode", json!(true)),
        ("revision", Value::Null),
    ] {
        written.config.insert(field.to_owned(), value);
    }
    written.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut config = serde_json::to_vec_pretty(&written.config).expect("a map of JSON values becomes JSON");
    config.push(b'\n');
    let notes = [("format", "pt".to_owned())];
    let mut files = vec![(CONFIG, config), (TENSORS, to_bytes(&notes, &written.tensors))];
    if let Some(head) = head(file) {
        files.push((HEAD, to_bytes(&notes, &head)));
        written.notes.push(head_note(&architecture));
    }
    files.push((README, readme(file, base_model, &written.notes).into_bytes()));
    Ok(PeftFolder { files, notes: written.notes })
}

/// The linear head, if there is one.
fn head(file: &AdapterFile) -> Option<Vec<Tensor>> {
    let mut tensors: Vec<Tensor> = vec![];
    for (tensor, values) in file.tensors().filter(|(tensor, _)| tensor.group == Group::Head) {
        let [outputs, columns] = tensor.shape;
        let (name, shape) = match tensor.name.as_str() {
            "head.bias" => ("bias", vec![columns]),
            _ => ("weight", vec![outputs, columns]),
        };
        tensors.push(Tensor { name: name.into(), shape, values: values.to_vec() });
    }
    (!tensors.is_empty()).then_some(tensors)
}

fn head_note(architecture: &Architecture) -> String {
    let read = match architecture.family {
        Family::Bert | Family::Roberta | Family::T5 => "the mean of the last hidden states of the text's tokens",
        Family::Gpt2 | Family::Llama => "the last hidden state of the text's last token",
        Family::Vit => "the last hidden state of the class token",
    };
    format!("{HEAD} is the linear head on {read}, which no class of transformers has: logits = weight x + bias.")
}

fn readme(file: &AdapterFile, base_model: &str, notes: &[String]) -> String {
    let objective = match file.objective() {
        Some(Objective::Classification { classes }) => format!("to tell {classes} classes apart"),
        Some(Objective::Regression) => "to answer with a number".to_owned(),
        Some(Objective::NextToken) => "to predict tokens".to_owned(),
        None => "without a head".to_owned(),
    };
    let methods = method_names(file.methods());
    let mut text =
        format!("---\nlibrary_name: peft\n---\n\n# {methods} for {base_model}\n\nTrained with deft {objective}.\n");
    for note in notes {
        text += &format!("\n- {note}");
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    text
}

fn no_format(methods: &[PeftMethod]) -> AdapterError {
    const NATIVE: &str = "other programs can read deft's own file, whose tensors are in safetensors under their names";
    let (what, instead) = match methods {
        [] => ("a head alone".to_owned(), NATIVE),
        [_, _, ..] => {
            (format!("{} together", method_names(methods)), "it holds one method; train one, or read deft's own file")
        }
        [PeftMethod::Adapter(config)] => match config.placement {
            AdapterPlacement::Parallel => ("parallel adapters".to_owned(), NATIVE),
            AdapterPlacement::Houlsby | AdapterPlacement::Pfeiffer => ("bottleneck adapters".to_owned(), NATIVE),
        },
        [PeftMethod::Selective(config)] => {
            let what = match config.selection {
                Selection::Biases => "trained biases (BitFit)",
                Selection::Norms => "trained norms",
                Selection::Everything => "the model's own weights",
            };
            (what.to_owned(), "copy the tensors of deft's own file over those of the model, whose names they have")
        }
        [other] => (method_names(std::slice::from_ref(other)), NATIVE),
    };
    AdapterError::NoPeftFormat { what, instead }
}
