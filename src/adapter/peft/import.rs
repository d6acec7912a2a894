//! From a folder of `peft` to deft's parameters.

use super::super::AdapterError;
use super::super::modules::Modules;
use super::super::native::{AdapterFile, bare_objective};
use super::super::tensors::TensorFile;
use super::config::{Config, is_end_of};
use super::{CONFIG, HEAD, PREFIX, TENSORS, ia3, lora_import, prompts};
use crate::data::Objective;
use crate::fomo::{Architecture, CheckpointError, Family};
use crate::nn::{ParameterLayout, PeftMethod};
use std::collections::BTreeMap;
use std::path::Path;

/// The name that `peft` gives an adapter unless told otherwise; it is in keys taken from a live model.
const ADAPTER_NAME: &str = "default";
/// Ends of keys, and the parameters that they stand for.
const PARAMETERS: [(&str, &str); 7] = [
    (".lora_A.weight", "lora_A"),
    (".lora_A", "lora_A"),
    (".lora_B.weight", "lora_B"),
    (".lora_B", "lora_B"),
    (".lora_magnitude_vector.weight", "lora_magnitude_vector"),
    (".lora_magnitude_vector", "lora_magnitude_vector"),
    (".ia3_l", "ia3_l"),
];

/// A folder that is being read, and the model that it is read for.
pub(super) struct Source<'a> {
    pub architecture: &'a Architecture,
    pub modules: &'a Modules,
    pub config: &'a Config,
    pub tensors: &'a TensorFile,
    pub objective: Option<Objective>,
    names: Vec<String>,
}

/// The name of a tensor in a folder.
pub(super) struct Key<'a> {
    /// As the file has it.
    pub stored: &'a str,
    /// Without what stands in front of the model, and without the adapter's name.
    pub name: String,
}

impl Key<'_> {
    /// The module's path and the parameter.
    pub fn split(&self) -> Option<(&str, &'static str)> {
        PARAMETERS.iter().find_map(|(end, parameter)| Some((self.name.strip_suffix(end)?, *parameter)))
    }
}

/// The adapter in `folder`, for a model of this shape. A head in [`HEAD`] comes along.
///
/// # Errors
/// If a file is missing or damaged, the method is none that deft knows, or tensors are missing, too many or of another shape.
pub fn import(folder: &Path, architecture: &Architecture) -> Result<AdapterFile, AdapterError> {
    let config = Config::read(&folder.join(CONFIG))?;
    let kind: String = config.require("peft_type")?;
    let tensors = TensorFile::read(&folder.join(TENSORS))?;
    let head = Head::read(&folder.join(HEAD), architecture)?;
    let objective = match (&head, bare_objective(architecture.family)) {
        (Some(head), _) => Some(head.objective),
        (None, Objective::NextToken) => Some(Objective::NextToken),
        (None, _) => None,
    };
    let modules = Modules::of(architecture)?;
    let names = tensors.names();
    let source = Source { architecture, modules: &modules, config: &config, tensors: &tensors, objective, names };
    let (method, mut values) = match kind.as_str() {
        "LORA" => lora_import::read(&source)?,
        "IA3" => ia3::read(&source)?,
        "PROMPT_TUNING" if architecture.family != Family::Vit => prompts::read_prompt(&source)?,
        "PREFIX_TUNING" => prompts::read_prefix(&source)?,
        "ADALORA" => {
            let cause =
                "is `ADALORA`, whose scale depends on the state of its budget, which the folder does not hold; \
                         save it as LORA"
                    .to_owned();
            return Err(config.refuse("peft_type", cause));
        }
        other => {
            let cause = format!("is `{other}`; deft reads LORA, IA3, PROMPT_TUNING and PREFIX_TUNING for text models");
            return Err(config.refuse("peft_type", cause));
        }
    };
    values.extend(head.into_iter().flat_map(|head| head.values));
    AdapterFile::from_tensors(architecture, &[method], objective, &values).map_err(|error| config.at_fault(error))
}

impl<'a> Source<'a> {
    pub fn keys(&'a self) -> Vec<Key<'a>> {
        let key = |stored: &'a String| {
            let bare = stored.strip_prefix(PREFIX).unwrap_or(stored);
            let name = bare.split('.').filter(|part| *part != ADAPTER_NAME).collect::<Vec<_>>().join(".");
            Key { stored, name }
        };
        self.names.iter().map(key).collect()
    }

    /// The layout of `method` alone.
    pub fn layout(&self, method: &PeftMethod) -> Result<ParameterLayout, AdapterError> {
        let objective = self.objective.unwrap_or(bare_objective(self.architecture.family));
        let layout = ParameterLayout::new(self.architecture, std::slice::from_ref(method), objective);
        layout.map_err(|error| self.config.at_fault(error.into()))
    }

    /// The complaint about a tensor that is not of this model or method.
    pub fn unexpected(&self, tensor: &str) -> AdapterError {
        const INSTEAD: &str =
            "name the model that it was trained on; heads and whole modules saved beside an adapter are not read";
        self.unexpected_but(tensor, INSTEAD)
    }

    /// The same, with what would be in place.
    pub fn unexpected_but(&self, tensor: &str, instead: &'static str) -> AdapterError {
        AdapterError::Unexpected {
            file: self.tensors.file().to_owned(),
            tensor: tensor.to_owned(),
            owner: format!("this method on {}", self.architecture.name),
            instead,
        }
    }

    /// The complaint about a folder without any tensor.
    pub fn empty(&self) -> AdapterError {
        let (file, tensor) = (self.tensors.file().to_owned(), "any of the method".to_owned());
        CheckpointError::Missing { file, tensor }.into()
    }

    /// Checks that every module that `target_modules` lists by name has its tensors; `found` are paths of modules.
    pub fn check_targets(&self, found: &[&str], parameter: &str) -> Result<(), AdapterError> {
        let targets = match self.config.get::<serde_json::Value>("target_modules")? {
            Some(serde_json::Value::Array(_)) => self.config.get::<Vec<String>>("target_modules")?.unwrap_or_default(),
            // A pattern: which modules it fits is for `peft` to say.
            _ => return Ok(()),
        };
        let keys = self.keys();
        let stored = || keys.iter().filter_map(|key| key.split()).map(|(path, _)| path);
        let is_there = |target: &String| {
            self.modules.find(target).is_some() || {
                let mut paths = stored().chain(self.modules.iter().map(|(path, _)| path));
                paths.any(|path| is_end_of(target, path))
            }
        };
        if !targets.iter().any(is_there) {
            let (found, model) = (serde_json::json!(targets), &self.architecture.name);
            let cause = format!("is {found}, which names no module of {model}; `peft` refuses such a folder too");
            return Err(self.config.refuse("target_modules", cause));
        }
        if self.config.get::<serde_json::Value>("exclude_modules")?.is_some() {
            return Ok(());
        }
        let layers = match self.config.get::<serde_json::Value>("layers_to_transform")? {
            Some(serde_json::Value::Number(_)) => self.config.get::<usize>("layers_to_transform")?.map(|n| vec![n]),
            Some(_) => self.config.get::<Vec<usize>>("layers_to_transform")?,
            None => None,
        };
        let number = |path: &str| path.split('.').find_map(|part| part.parse::<usize>().ok());
        let in_layers = |path: &str| layers.as_ref().is_none_or(|l| number(path).is_some_and(|n| l.contains(&n)));
        for target in &targets {
            let whole = self.modules.find(target).map(|(path, _)| path);
            let fits = |path: &str| whole == Some(path) || is_end_of(target, path);
            let missing = self.modules.iter().find(|(path, _)| fits(path) && in_layers(path) && !found.contains(path));
            if let Some((path, _)) = missing {
                let (file, tensor) = (self.tensors.file().to_owned(), format!("{PREFIX}{path}.{parameter}"));
                return Err(CheckpointError::Missing { file, tensor }.into());
            }
        }
        Ok(())
    }
}

/// deft's linear head.
struct Head {
    objective: Objective,
    values: BTreeMap<String, Vec<f32>>,
}

impl Head {
    /// The head in the file at `path`; `None` if there is no such file.
    fn read(path: &Path, architecture: &Architecture) -> Result<Option<Self>, AdapterError> {
        if !path.exists() {
            return Ok(None);
        }
        let file = TensorFile::read(path)?;
        let outputs = file.shape("weight").and_then(|shape| shape.first().copied()).unwrap_or(1);
        if outputs == 0 {
            let (file, field) = (file.file().to_owned(), "weight".to_owned());
            return Err(AdapterError::Config {
                file,
                field,
                cause: "has no rows; a head has one an output".to_owned(),
            });
        }
        let weight = file.values("weight", &[outputs, architecture.hidden])?;
        let bias = file.values("bias", &[outputs])?;
        if let Some(tensor) = file.names().into_iter().find(|name| name != "weight" && name != "bias") {
            let (file, owner) = (file.file().to_owned(), "a linear head".to_owned());
            return Err(AdapterError::Unexpected { file, tensor, owner, instead: "it has `weight` and `bias`" });
        }
        let objective = match outputs {
            1 => Objective::Regression,
            classes => Objective::Classification { classes },
        };
        let values = BTreeMap::from([("head.weight".to_owned(), weight), ("head.bias".to_owned(), bias)]);
        Ok(Some(Self { objective, values }))
    }
}
