//! What callers of this layer can get wrong.

/// What can be wrong with a demand on a model's shape.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FomoError {
    #[error("{model} has {blocks} blocks, the PEFT shape describes {described}; give one entry a block")]
    PeftBlocks { model: String, blocks: usize, described: usize },
    #[error("{model} has no vocabulary and cannot be fine-tuned as a language model; choose classification")]
    NoVocabulary { model: String },
    #[error("a classification head needs at least one class, not {classes}")]
    NoClasses { classes: usize },
}
