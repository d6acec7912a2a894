//! Where a model's values come from: a file, the vendored checkpoint, or numbers made up by a test.
//!
//! Tensors are asked for by the names of Hugging Face's base models, whatever the file calls them: `encoder.layer.0.…`
//! (BERT, RoBERTa, ViT), `h.0.…` (GPT-2), `model.layers.0.…` and `lm_head.weight` (Llama), `encoder.block.0.…` (T5).

use crate::backend::QuantisedMatrix;

/// Something that holds named tensors and hands them out as `f32`, dequantised where needed.
pub trait TensorSource {
    /// The values of tensor `name` in row-major order, checked to have exactly `shape`.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError>;

    /// Whether there is a tensor `name`, for those that a family may leave out. Costs a look-up, reads no values.
    fn has(&self, name: &str) -> bool;

    /// The file with an output matrix (`lm_head.weight`) whose values are others than those of the embedding `words`; `None` where the
    /// source has no such matrix, or the same values in it.
    ///
    /// transformers 5 ties the two only where the file does not tell them apart, whatever its configuration says.
    fn own_output(&self, _words: &str) -> Option<String> {
        None
    }

    /// Bits of a weight of the matrix `name`, and neighbours that share a scale, where [`TensorSource::quantised`] has it. Costs a
    /// look-up.
    fn few_bits(&self, _name: &str, _shape: [usize; 2]) -> Option<(u32, usize)> {
        None
    }

    /// The matrix `name` in the few bits that the source holds it in; `None` where that is not whole numbers with a scale a group,
    /// or where it has another shape: [`TensorSource::tensor`] says so.
    fn quantised(&self, _name: &str, _shape: [usize; 2]) -> Option<QuantisedMatrix> {
        None
    }
}

/// Whether `source` has the same values in both tensors of `shape`. What cannot be read agrees with nothing: whoever
/// needs it is told why.
pub(super) fn values_agree(source: &dyn TensorSource, one: &str, other: &str, shape: &[usize]) -> bool {
    matches!((source.tensor(one, shape), source.tensor(other, shape)), (Ok(a), Ok(b)) if a == b)
}

/// What can be wrong with a checkpoint; each names the file and, where one is at fault, the tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("{file}: cannot be read: {cause}")]
    Unreadable { file: String, cause: String },
    #[error("{file}: not a valid checkpoint: {cause}; fetch or convert it again")]
    Malformed { file: String, cause: String },
    #[error("{file}: {cause}; name a folder, a .safetensors file or a .gguf file that holds the weights of one model")]
    NoWeights { file: String, cause: String },
    #[error("{file}: tensor `{tensor}` is missing; is this the checkpoint of another architecture?")]
    Missing { file: String, tensor: String },
    #[error("{file}: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    Shape { file: String, tensor: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{file}: tensor `{tensor}` has type {found}, expected {expected}")]
    Type { file: String, tensor: String, found: String, expected: &'static str },
    #[error(
        "{file}: tensor `{tensor}` differs from `{words}`, which this architecture uses in its place; give the config.json of a \
         model that has an output matrix of its own"
    )]
    OwnOutput { file: String, tensor: &'static str, words: String },
    #[error("{file}: tensor `{tensor}` of shape {shape:?} does not fit in memory; choose a smaller architecture")]
    Memory { file: String, tensor: String, shape: Vec<usize> },
}
