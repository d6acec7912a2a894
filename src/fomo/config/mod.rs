//! Reads the `config.json` of a published model into an [`Architecture`], one file a family.
//!
//! A field that would make the published model compute something else than `deft` does is refused, never ignored: another
//! activation, another kind of position, biases where the family has none. Fields of dropout, caching, generation and
//! of task heads change nothing here and are not looked at. Defaults are those of Hugging Face's configuration classes.

mod bert;
mod fields;
mod gpt2;
mod llama;
mod t5;
mod vit;

#[cfg(test)]
mod tests;

use super::architecture::Architecture;
use fields::Fields;
pub(super) use fields::{LARGEST_COUNT, LARGEST_SIZE};
use serde_json::{Map, Value};

/// Why a configuration does not describe a model that `deft` can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{file}: cannot be read: {cause}")]
    Unreadable { file: String, cause: String },
    #[error("{file}: not a model configuration: {cause}")]
    Malformed { file: String, cause: String },
    #[error("{file}: missing field `{field}`; take the configuration that belongs to the checkpoint")]
    Missing { file: String, field: String },
    #[error("{file}: {field} is {found}, expected {expected}")]
    Unsupported { file: String, field: String, found: String, expected: String },
}

/// A reader of one family's fields; the first argument becomes the architecture's name.
type Family = fn(&str, &Fields) -> Result<Architecture, ConfigError>;

/// The values of `model_type`.
const FAMILIES: [(&str, Family); 8] = [
    ("bert", bert::bert),
    ("roberta", bert::roberta),
    ("xlm-roberta", bert::roberta),
    ("gpt2", gpt2::gpt2),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("t5", t5::t5),
    ("vit", vit::vit),
];

/// Checks the `preprocessor_config.json` of a model of images; `file` stands for the origin of `json` in messages.
///
/// # Errors
/// Names the file and the field that would give the model other numbers than `deft` does.
pub fn check_preprocessor(file: &str, json: &[u8]) -> Result<(), ConfigError> {
    vit::check_preprocessor(&Fields::new(file, &object(file, json)?))
}

fn object(file: &str, json: &[u8]) -> Result<Map<String, Value>, ConfigError> {
    let malformed = |e: serde_json::Error| ConfigError::Malformed { file: file.to_owned(), cause: e.to_string() };
    serde_json::from_slice(json).map_err(malformed)
}

/// `name` becomes the architecture's name, `file` stands for the origin of `json` in messages.
///
/// # Errors
/// Names the file and the field that is missing, absurd, or would compute something else than `deft` does.
pub fn architecture_from_config(name: &str, file: &str, json: &[u8]) -> Result<Architecture, ConfigError> {
    let object = object(file, json)?;
    let fields = Fields::new(file, &object);
    // Before the other fields: an unknown family's file lacks some of them, which is not what is wrong with it.
    let family = fields.one_of("model_type", None, &FAMILIES)?;
    // Weights that are stored in another form than floats would be misread, or not found.
    if fields.get("quantization_config").is_some() {
        return Err(fields.unsupported("quantization_config", "no such field: weights that are not quantised"));
    }
    family(name, &fields)
}
