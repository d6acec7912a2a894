//! The foundation model that `deft` carries in its binary: all-MiniLM-L6-v2 with int8 weights, 23 MB.
//!
//! Its origin, licence and conversion: assets/minilm/ORIGIN.md and docs/data_and_models.md.

use super::architecture::Architecture;
use super::checkpoint::SafetensorsCheckpoint;
use super::config::{ConfigError, architecture_from_config};
use super::tensor_source::CheckpointError;
use super::tokenizer::{Tokenizer, TokenizerError};

/// A model whose files are part of the program.
#[derive(Clone, Copy, Debug)]
pub struct VendoredModel {
    pub name: &'static str,
    checkpoint: &'static [u8],
    tokenizer: &'static [u8],
    config: &'static [u8],
}

/// all-MiniLM-L6-v2 (Wang et al. 2020): BERT, 6 blocks, hidden 384, 12 heads, FFN 1536; no pooler.
pub fn minilm() -> VendoredModel {
    VendoredModel {
        name: "minilm-l6",
        checkpoint: include_bytes!("../../assets/minilm/model.int8.safetensors"),
        tokenizer: include_bytes!("../../assets/minilm/tokenizer.json"),
        config: include_bytes!("../../assets/minilm/config.json"),
    }
}

impl VendoredModel {
    pub fn checkpoint(&self) -> Result<SafetensorsCheckpoint, CheckpointError> {
        SafetensorsCheckpoint::from_embedded(&self.file("checkpoint"), self.checkpoint)
    }

    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_bytes(&self.file("tokenizer"), self.tokenizer)
    }

    pub fn architecture(&self) -> Result<Architecture, ConfigError> {
        architecture_from_config(self.name, &self.file("configuration"), self.config)
    }

    /// What messages call a part that is no file.
    fn file(&self, part: &str) -> String {
        format!("vendored {part} of `{}`", self.name)
    }
}
