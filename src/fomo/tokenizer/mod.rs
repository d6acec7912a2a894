//! Text to token ids, with the `tokenizer.json` that a checkpoint comes with.

mod charsmap;
mod guarded;
mod parts;

use super::architecture::Architecture;
use crate::data::Tokenize;
use guarded::guarded;
use std::path::Path;
use tokenizers::TruncationDirection;
use tokenizers::tokenizer::PostProcessor as _;

/// What can be wrong with a tokenizer, or with a text given to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    #[error("{file}: cannot be read as a tokenizer.json: {cause}")]
    Unreadable { file: String, cause: String },
    #[error("{file}: {key} is {found}; {known} can be read from here; put the model's tokenizer.json beside the file")]
    Unsupported { file: String, key: String, found: String, known: &'static str },
    #[error(
        "{file}: token ids go up to {largest}, but the embedding of `{model}` has {rows} rows; \
         take the tokenizer.json that belongs to the checkpoint"
    )]
    Vocabulary { file: String, largest: u32, model: String, rows: usize },
    #[error("{file}: a limit of {max_tokens} tokens leaves no room beside {special} special ones; raise it")]
    Limit { file: String, max_tokens: usize, special: usize },
    #[error("{file}: cannot encode a text: {cause}")]
    Encode { file: String, cause: String },
}

/// A tokenizer without padding, that cuts only where it is told to, whatever its file says.
#[derive(Debug)]
pub struct Tokenizer {
    file: String,
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    pub fn from_path(path: &Path) -> Result<Self, TokenizerError> {
        let file = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::from_bytes(&file, &bytes),
            Err(e) => Err(TokenizerError::Unreadable { file, cause: e.to_string() }),
        }
    }

    /// `file` stands for the origin of `bytes` in messages.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, TokenizerError> {
        let unreadable = |cause| TokenizerError::Unreadable { file: file.to_owned(), cause };
        parts::check(bytes).map_err(unreadable)?;
        let load = || {
            let mut inner = tokenizers::Tokenizer::from_bytes(bytes)?;
            // Published files bake in the limits of some task: MiniLM's pads every text to 128 tokens.
            inner.with_padding(None).with_truncation(None)?;
            Ok(inner)
        };
        let inner = guarded(load).map_err(unreadable)?;
        Ok(Self::from_parts(file, inner))
    }

    /// A tokenizer that was put together, without padding and limit; `file` stands for its origin in messages.
    pub(super) fn from_parts(file: &str, inner: tokenizers::Tokenizer) -> Self {
        Self { file: file.to_owned(), inner }
    }

    /// Number of special tokens that every text gets: [CLS] and [SEP] make 2.
    pub fn special_tokens(&self) -> usize {
        self.inner.get_post_processor().map_or(0, |p| p.added_tokens(false))
    }

    /// Token ids of `text` with its special tokens. A text that would give more than `max_tokens` loses tokens at its
    /// end, not the closing special token.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, TokenizerError> {
        let special = self.special_tokens();
        if max_tokens <= special {
            return Err(TokenizerError::Limit { file: self.file.clone(), max_tokens, special });
        }
        self.guarded(|| {
            let mut encoding = self.inner.encode_fast(text, false)?;
            encoding.truncate(max_tokens - special, 0, TruncationDirection::Right);
            // What was cut off would be dressed up with special tokens too.
            drop(encoding.take_overflowing());
            let encoding = self.inner.post_process(encoding, None, true)?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, TokenizerError> {
        guarded(work).map_err(|cause| TokenizerError::Encode { file: self.file.clone(), cause })
    }

    /// Fails unless every token id has a row in the model's token embedding.
    pub fn check_vocabulary(&self, architecture: &Architecture) -> Result<(), TokenizerError> {
        // What frames a text need not be in the vocabulary.
        let frame = self.guarded(|| Ok(self.inner.encode_fast("", true)?.get_ids().to_vec()))?;
        let largest = self.inner.get_vocab(true).into_values().chain(frame).max().unwrap_or(0);
        if largest as usize >= architecture.vocabulary {
            let (model, rows) = (architecture.name.clone(), architecture.vocabulary);
            return Err(TokenizerError::Vocabulary { file: self.file.clone(), largest, model, rows });
        }
        Ok(())
    }
}

impl Tokenize for Tokenizer {
    fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, String> {
        Tokenizer::encode(self, text, max_tokens).map_err(|e| e.to_string())
    }
}
