//! What a file of tensors holds, in a few words.

use super::AdapterError;
use super::tensors::TensorFile;
use crate::nn::{AdapterPlacement, LoraVariant, PeftMethod, Selection};
use std::path::Path;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSummary {
    pub name: String,
    pub shape: Vec<usize>,
    /// Euclidean norm of all values.
    pub norm: f64,
}

/// All tensors of the safetensors file at `path`, in alphabetical order.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds something else than finite floats.
pub fn summarise(path: &Path) -> Result<Vec<TensorSummary>, AdapterError> {
    let file = TensorFile::read(path)?;
    let summary = |name: String| {
        let shape = file.shape(&name).unwrap_or_default().to_vec();
        let values = file.values(&name, &shape)?;
        let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        Ok(TensorSummary { name, shape, norm })
    };
    file.names().into_iter().map(summary).collect()
}

/// The methods as papers call them, joined by "and"; "head only" for none.
pub fn method_names(methods: &[PeftMethod]) -> String {
    let name = |method: &PeftMethod| match method {
        PeftMethod::Lora(config) => match config.variant {
            LoraVariant::Plain => "LoRA",
            LoraVariant::Dora => "DoRA",
            LoraVariant::Adaptive(_) => "AdaLoRA",
        },
        PeftMethod::Adapter(config) => match config.placement {
            AdapterPlacement::Houlsby => "Houlsby adapters",
            AdapterPlacement::Pfeiffer => "Pfeiffer adapters",
            AdapterPlacement::Parallel => "parallel adapters",
        },
        PeftMethod::Prefix(_) => "prefix tuning",
        PeftMethod::Prompt(_) => "prompt tuning",
        PeftMethod::Ia3(_) => "(IA)3",
        PeftMethod::Selective(config) => match config.selection {
            Selection::Biases => "BitFit",
            Selection::Norms => "norms",
            Selection::Everything => "the model's own weights",
        },
    };
    match methods {
        [] => "head only".to_owned(),
        methods => methods.iter().map(name).collect::<Vec<_>>().join(" and "),
    }
}
