//! Where a model's values come from: a file, the vendored checkpoint, or numbers made up by a test.

/// Something that holds named tensors and hands them out as `f32`, dequantised where needed.
pub trait TensorSource {
    /// The values of tensor `name` in row-major order, checked to have exactly `shape`.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError>;
}

/// What can be wrong with a checkpoint; each names the file and the tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("{file}: cannot be read: {cause}")]
    Unreadable { file: String, cause: String },
    #[error("{file}: not a valid safetensors file: {cause}; fetch or convert the checkpoint again")]
    Malformed { file: String, cause: String },
    #[error("{file}: tensor `{tensor}` is missing; is this the checkpoint of another architecture?")]
    Missing { file: String, tensor: String },
    #[error("{file}: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    Shape { file: String, tensor: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{file}: tensor `{tensor}` has type {found}, expected F32, F16, BF16 or I8 with a scale")]
    Type { file: String, tensor: String, found: String },
}
