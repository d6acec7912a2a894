//! What can be wrong with an adapter, a folder of `peft` or a wish to make one.

use crate::fomo::{CheckpointError, ConfigError};
use crate::nn::NnError;

/// Each message names the file and, where one is at fault, the tensor or field, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    ModelConfig(#[from] ConfigError),
    #[error(transparent)]
    Nn(#[from] NnError),
    #[error("{file}: cannot be read: {cause}")]
    Unreadable { file: String, cause: String },
    #[error("{file}: not an adapter that deft wrote: {cause}; `deft adapter import` reads folders of peft")]
    NotNative { file: String, cause: String },
    #[error("{file}: its checksum does not fit what it holds: it was changed or damaged; write or copy it again")]
    Checksum { file: String },
    #[error("{file}: made for {made_for}, it does not fit {model}: {cause}; name the model that it was trained on")]
    OtherModel { file: String, made_for: String, model: String, cause: String },
    #[error("{file}: holds `{tensor}`, which {owner} has no place for; {instead}")]
    Unexpected { file: String, tensor: String, owner: String, instead: &'static str },
    #[error("{file}: its `{setting}` is {found}, and that of the scenario's `peft` is {expected}; make the two equal")]
    OtherSetting { file: String, setting: &'static str, found: String, expected: String },
    #[error("{file}: {cause}")]
    Settings { file: String, cause: String },
    #[error("{file}: {field}: {cause}")]
    Config { file: String, field: String, cause: String },
    #[error("a peft folder cannot hold {what}: {instead}")]
    NoPeftFormat { what: String, instead: &'static str },
    #[error(
        "the model `{name}` is neither a file or folder nor a name that deft knows; `deft list models` names all, a path \
         points at a folder with config.json and weights, or at a .gguf file"
    )]
    UnknownModel { name: String },
    #[error("{file}: there is no config.json, which tells the model's shape, beside the weights")]
    NoModelConfig { file: String },
    #[error("deft carries no weights of `{name}`; name a folder with config.json and weights, or a .gguf file")]
    NoWeights { name: String },
    #[error("{model} was given {given}, and reads {reads}")]
    WrongQuery { model: String, given: &'static str, reads: &'static str },
    #[error("an image of {found} values for {model}, whose images have {expected}, channel by channel, row by row")]
    Pixels { model: String, found: usize, expected: usize },
    #[error("{file}:{line}: `{found}` is no pixel: expected whole numbers from 0 to 255, separated by commas")]
    Pixel { file: String, line: usize, found: String },
}
