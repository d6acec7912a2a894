//! deft's own file of trained parameters, `deft-adapter/1`.
//!
//! A safetensors file in F32 with the tensors of a [`ParameterLayout`], under its names, and in its notes the model's
//! shape, the methods and the objective, so that the file can be read without the run that it came from.

use super::AdapterError;
use super::description::{self, Shape};
use super::settings::{self, Difference};
use super::tensors::{self, Tensor, TensorFile};
use crate::data::Objective;
use crate::fomo::{Architecture, Family};
use crate::nn::{Group, Owner, ParameterLayout, PeftMethod, TensorSpec};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT: &str = "deft-adapter/1";
/// Keys of the notes.
const FORMAT_KEY: &str = "format";
const DESCRIPTION_KEYS: [&str; 3] = ["architecture", "methods", "objective"];
const CHECKSUM_KEY: &str = "sha256";

/// The trained parameters of one state, and what they are the parameters of.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFile {
    shape: Shape,
    /// `None` for an adapter of a bare model, as `peft` has them: no head is stored, and the layout's is zero.
    objective: Option<Objective>,
    layout: ParameterLayout,
    parameters: Vec<f32>,
}

/// What a bare model of the family is laid out for: its own output matrix where it has one, else the smallest head.
pub(super) fn bare_objective(family: Family) -> Objective {
    match family {
        Family::Bert | Family::Roberta | Family::Vit => Objective::Regression,
        Family::Gpt2 | Family::Llama | Family::T5 => Objective::NextToken,
    }
}

impl AdapterFile {
    /// The state `parameters` of a model trained as `layout` says.
    ///
    /// # Panics
    /// If the parameters are of another layout.
    pub fn new(architecture: &Architecture, layout: &ParameterLayout, parameters: Vec<f32>) -> Self {
        assert_eq!(parameters.len(), layout.len(), "parameters of another layout");
        let objective = Some(layout.objective());
        Self { shape: Shape::of(architecture), objective, layout: layout.clone(), parameters }
    }

    /// A state out of tensors by name; those that are not given, and the head of a bare model, are zero.
    ///
    /// # Errors
    /// If the methods do not fit the architecture.
    pub(super) fn from_tensors(
        architecture: &Architecture,
        methods: &[PeftMethod],
        objective: Option<Objective>,
        values: &BTreeMap<String, Vec<f32>>,
    ) -> Result<Self, AdapterError> {
        let laid_out_for = objective.unwrap_or(bare_objective(architecture.family));
        let layout = ParameterLayout::new(architecture, methods, laid_out_for)?;
        let mut parameters = vec![0.0; layout.len()];
        for tensor in layout.tensors() {
            if let Some(values) = values.get(&tensor.name) {
                parameters[tensor.range()].copy_from_slice(values);
            }
        }
        Ok(Self { shape: Shape::of(architecture), objective, layout, parameters })
    }

    /// Reads a file and checks it against the layout that it describes.
    ///
    /// # Errors
    /// If it cannot be read, is of another kind, was changed, or holds more, fewer or other tensors than it says.
    pub fn read(path: &Path) -> Result<Self, AdapterError> {
        Self::from_file(&TensorFile::read(path)?)
    }

    /// The same from bytes; `file` stands for them in messages.
    pub fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Self, AdapterError> {
        Self::from_file(&TensorFile::new(file.to_owned(), bytes)?)
    }

    pub(super) fn from_file(source: &TensorFile) -> Result<Self, AdapterError> {
        let refuse = |cause| AdapterError::NotNative { file: source.file().to_owned(), cause };
        match source.note(FORMAT_KEY) {
            Some(FORMAT) => {}
            Some(other) => return Err(refuse(format!("its format is `{other}`, expected `{FORMAT}`"))),
            None => return Err(refuse(format!("its notes do not name the format `{FORMAT}`"))),
        }
        let note = |key| source.note(key).ok_or_else(|| refuse(format!("its notes lack `{key}`")));
        let [shape_json, methods_json, objective_json] = DESCRIPTION_KEYS.map(note);
        let (shape_json, methods_json, objective_json) = (shape_json?, methods_json?, objective_json?);
        let shape: Shape = serde_json::from_str(shape_json).map_err(|e| refuse(format!("its architecture: {e}")))?;
        shape.check().map_err(refuse)?;
        let architecture = shape.architecture();
        let methods = description::methods_from_json(methods_json).map_err(refuse)?;
        let objective = description::objective_from_json(objective_json).map_err(refuse)?;
        let laid_out_for = objective.unwrap_or(bare_objective(architecture.family));
        let layout = ParameterLayout::new(&architecture, &methods, laid_out_for).map_err(|e| refuse(e.to_string()))?;
        let mut stored: Vec<&TensorSpec> = stored(&layout, objective).collect();
        let mut values = Vec::with_capacity(stored.len());
        for tensor in &stored {
            values.push(source.values(&tensor.name, &tensor.shape)?);
        }
        stored.sort_by(|a, b| a.name.cmp(&b.name));
        let known = |name: &String| stored.binary_search_by(|t| t.name.cmp(name)).is_ok();
        if let Some(tensor) = source.names().into_iter().find(|name| !known(name)) {
            let (file, owner) = (source.file().to_owned(), "the method that it describes".to_owned());
            return Err(AdapterError::Unexpected { file, tensor, owner, instead: "write it again" });
        }
        let expected = checksum([shape_json, methods_json, objective_json], source.data());
        if note(CHECKSUM_KEY)? != expected {
            return Err(AdapterError::Checksum { file: source.file().to_owned() });
        }
        // The head comes last, and stays zero where it is not stored.
        let mut parameters = values.concat();
        parameters.resize(layout.len(), 0.0);
        Ok(Self { shape, objective, layout, parameters })
    }

    /// The file's content: the same bytes for the same state.
    pub fn to_bytes(&self) -> Vec<u8> {
        let shape = serde_json::to_string(&self.shape).expect("plain structs become JSON");
        let methods = description::methods_to_json(self.layout.methods());
        let objective = description::objective_to_json(self.objective);
        let tensors: Vec<Tensor> = self
            .tensors()
            .map(|(t, values)| Tensor { name: t.name.clone(), shape: t.shape.to_vec(), values: values.to_vec() })
            .collect();
        let sum = checksum([&shape, &methods, &objective], &tensors::data_of(&tensors));
        let mut notes = vec![(FORMAT_KEY, FORMAT.to_owned()), (CHECKSUM_KEY, sum)];
        notes.extend(DESCRIPTION_KEYS.into_iter().zip([shape, methods, objective]));
        tensors::to_bytes(&notes, &tensors)
    }

    /// The layout of the same methods on `architecture`, checked to have the same tensors; `file` is where the adapter
    /// came from.
    ///
    /// # Errors
    /// If the adapter was made for a model of another shape; names the first tensor that differs, or the size that no tensor shows.
    pub fn layout_for(&self, file: &str, architecture: &Architecture) -> Result<ParameterLayout, AdapterError> {
        let made_for = self.layout_architecture().name;
        let refuse = |cause| {
            let (file, made_for, model) = (file.to_owned(), made_for.clone(), architecture.name.clone());
            AdapterError::OtherModel { file, made_for, model, cause }
        };
        let layout = ParameterLayout::new(architecture, self.layout.methods(), self.layout.objective());
        let layout = layout.map_err(|e| refuse(e.to_string()))?;
        let mut pairs = self.layout.tensors().iter().zip(layout.tensors());
        if let Some((ours, theirs)) = pairs.find(|(a, b)| (&a.name, a.shape) != (&b.name, b.shape)) {
            return Err(refuse(match ours.name == theirs.name {
                true => format!("tensor `{}` has shape {:?}, expected {:?}", ours.name, ours.shape, theirs.shape),
                false => format!("it has tensor `{}` where `{}` is expected", ours.name, theirs.name),
            }));
        }
        if self.layout.tensors().len() != layout.tensors().len() {
            return Err(refuse("it has another number of tensors".into()));
        }
        match self.shape.difference(&Shape::of(architecture)) {
            Some(difference) => Err(refuse(difference)),
            None => Ok(layout),
        }
    }

    /// Puts every stored tensor into `parameters`, laid out as `layout` says; `file` is where the adapter came from. A head
    /// of another size or objective stays as it is: the new task's head starts anew.
    ///
    /// # Errors
    /// If the layout lacks a tensor of the adapter, or has it in another shape, or its methods compute something else with it.
    pub fn place_into(&self, file: &str, layout: &ParameterLayout, parameters: &mut [f32]) -> Result<(), AdapterError> {
        if let Some(Difference { setting, found, expected }) = settings::difference(self.methods(), layout.methods()) {
            return Err(AdapterError::OtherSetting { file: file.to_owned(), setting, found, expected });
        }
        for (tensor, values) in self.tensors() {
            let place = layout.tensors().iter().find(|t| t.name == tensor.name && t.shape == tensor.shape);
            match place {
                Some(place) if tensor.group == Group::Peft || self.objective == Some(layout.objective()) => {
                    parameters[place.range()].copy_from_slice(values);
                }
                None if tensor.group == Group::Peft => {
                    let (file, tensor) = (file.to_owned(), tensor.name.clone());
                    let (owner, instead) =
                        ("the scenario's `peft`".to_owned(), "use the methods and sizes that it was trained with");
                    return Err(AdapterError::Unexpected { file, tensor, owner, instead });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The name of the model that it was made for.
    pub fn model_name(&self) -> String {
        self.layout_architecture().name
    }

    pub fn methods(&self) -> &[PeftMethod] {
        self.layout.methods()
    }

    /// What it was trained for; `None` if it has no head.
    pub fn objective(&self) -> Option<Objective> {
        self.objective
    }

    /// The flat state, in the order of [`AdapterFile::layout`].
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// All stored tensors with their values, in the order of the layout.
    pub fn tensors(&self) -> impl Iterator<Item = (&TensorSpec, &[f32])> {
        stored(&self.layout, self.objective).map(|tensor| (tensor, &self.parameters[tensor.range()]))
    }

    /// The values of the tensor called `name`.
    pub(super) fn tensor(&self, name: &str) -> Option<(&TensorSpec, &[f32])> {
        self.tensors().find(|(tensor, _)| tensor.name == name)
    }

    /// The values of the tensor of `block` whose name ends with `part`.
    pub(super) fn block_tensor(&self, block: usize, part: &str) -> Option<&[f32]> {
        self.tensors().find(|(tensor, _)| block_and_part(tensor) == Some((block, part))).map(|(_, values)| values)
    }

    /// An architecture of the same shape, good for layouts only.
    pub(super) fn layout_architecture(&self) -> Architecture {
        self.shape.architecture()
    }
}

/// A tensor's block, and the last part of its name.
pub(super) fn block_and_part(tensor: &TensorSpec) -> Option<(usize, &str)> {
    match tensor.owner {
        Owner::Block(block) => Some((block, tensor.name.rsplit('.').next()?)),
        Owner::Input | Owner::Head => None,
    }
}

/// The tensors that a file holds: all but the head of a bare model.
fn stored(layout: &ParameterLayout, objective: Option<Objective>) -> impl Iterator<Item = &TensorSpec> {
    layout.tensors().iter().filter(move |tensor| objective.is_some() || tensor.group == Group::Peft)
}

/// SHA-256 in hexadecimal digits over the description and the data, each text preceded by its length.
fn checksum(description: [&str; 3], data: &[u8]) -> String {
    let mut hash = Sha256::new();
    for text in description {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(data);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
