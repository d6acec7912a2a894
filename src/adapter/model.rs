//! The model that an adapter belongs to, as a user names it.

use super::AdapterError;
use crate::fomo::{self, Architecture, ModelFiles, SafetensorsCheckpoint, TensorSource, vendored};
use std::path::Path;

/// A model's shape and values.
pub struct NamedModel {
    pub architecture: Architecture,
    values: Values,
}

enum Values {
    OfFiles(ModelFiles),
    Carried(SafetensorsCheckpoint),
}

impl NamedModel {
    /// The model at a path, or the one that deft carries.
    ///
    /// # Errors
    /// If there is none, or only its shape is known.
    pub fn open(name: &str) -> Result<Self, AdapterError> {
        if !Path::new(name).exists() {
            let architecture = architecture(name)?;
            let carried = vendored::minilm();
            if carried.name != name {
                return Err(AdapterError::NoWeights { name: name.to_owned() });
            }
            return Ok(Self { architecture, values: Values::Carried(carried.checkpoint()?) });
        }
        let (architecture, files) = files_at(name)?;
        Ok(Self { architecture, values: Values::OfFiles(files) })
    }

    pub fn weights(&self) -> &dyn TensorSource {
        match &self.values {
            Values::OfFiles(files) => files.weights(),
            Values::Carried(checkpoint) => checkpoint,
        }
    }
}

/// The shape of the model called `name`: a folder with `config.json` or a GGUF file, or else one of deft's names.
///
/// # Errors
/// If it is neither, or the folder does not tell the shape.
pub fn architecture(name: &str) -> Result<Architecture, AdapterError> {
    if Path::new(name).exists() {
        return files_at(name).map(|(architecture, _)| architecture);
    }
    fomo::preset(name).ok_or_else(|| AdapterError::UnknownModel { name: name.to_owned() })
}

fn files_at(name: &str) -> Result<(Architecture, ModelFiles), AdapterError> {
    let files = ModelFiles::open(Path::new(name))?;
    match files.architecture()? {
        Some(architecture) => Ok((architecture, files)),
        None => Err(AdapterError::NoModelConfig { file: name.to_owned() }),
    }
}
