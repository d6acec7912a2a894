//! Starting values: drawn from named streams, or the checkpoint's own.

use super::super::{NnError, names};
use super::ParameterLayout;
use crate::fomo::{CheckpointError, TensorSource};
use crate::random::Streams;
use std::ops::Range;

/// Standard deviation of [`Initial::Normal`]: `peft`'s for AdaLoRA, BERT's own for everything (Devlin et al. 2018).
const NORMAL_STD: f64 = 0.02;

/// How a tensor starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Initial {
    Zero,
    One,
    /// Uniform in +-1 / sqrt(fan-in): Kaiming's uniform rule with a = sqrt 5, the default of `peft` and of `nn.Linear`.
    Uniform {
        fan_in: usize,
    },
    /// Uniform in +-sqrt(6 / fans): Xavier's rule (Glorot and Bengio 2010), `fans` being inputs and outputs together.
    Xavier {
        fans: usize,
    },
    Normal,
    /// The checkpoint's values.
    Own(Origin),
    /// Euclidean norms of the rows of a matrix of so many columns in the checkpoint.
    RowNorms {
        matrix: Origin,
        columns: usize,
    },
    /// Rows of a table of the checkpoint, drawn with replacement.
    SampledRows {
        table: Origin,
        rows: usize,
    },
}

/// Where the checkpoint holds values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    tensor: String,
    /// As the checkpoint has it.
    shape: Vec<usize>,
    view: View,
}

/// What is taken of a checkpoint's tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
enum View {
    /// Slices along the first dimension.
    Rows(Range<usize>),
    /// The checkpoint holds the transpose of what is wanted: columns, which become rows.
    Columns(Range<usize>),
}

impl Origin {
    pub fn whole(tensor: &str, shape: Vec<usize>) -> Self {
        let rows = 0..shape[0];
        Self::rows(tensor, shape, rows)
    }

    pub fn rows(tensor: &str, shape: Vec<usize>, rows: Range<usize>) -> Self {
        Self { tensor: tensor.to_owned(), shape, view: View::Rows(rows) }
    }

    /// Columns `columns` of a matrix of `shape`, as rows.
    pub fn transposed(tensor: &str, shape: [usize; 2], columns: Range<usize>) -> Self {
        Self { tensor: tensor.to_owned(), shape: shape.to_vec(), view: View::Columns(columns) }
    }

    /// Puts `values` back to where [`Origin::read`] takes them from.
    fn write(&self, values: &[f32], tensor: &mut [f32]) {
        match &self.view {
            View::Rows(rows) => {
                let row = tensor.len() / self.shape[0];
                tensor[rows.start * row..rows.end * row].copy_from_slice(values);
            }
            View::Columns(columns) => {
                let row = self.shape[1];
                for (column, values) in columns.clone().zip(values.chunks_exact(self.shape[0])) {
                    tensor.iter_mut().skip(column).step_by(row).zip(values).for_each(|(entry, value)| *entry = *value);
                }
            }
        }
    }

    fn read(&self, source: &dyn TensorSource) -> Result<Vec<f32>, NnError> {
        if self.tensor == names::OUTPUT && !source.has(names::OUTPUT) {
            return Err(NnError::SharedOutput);
        }
        let mut values = source.tensor(&self.tensor, &self.shape)?;
        match &self.view {
            View::Rows(rows) => {
                let row = values.len() / self.shape[0];
                values.truncate(rows.end * row);
                values.drain(..rows.start * row);
                Ok(values)
            }
            View::Columns(columns) => {
                let row = self.shape[1];
                Ok(columns.clone().flat_map(|c| values.iter().skip(c).step_by(row).copied()).collect())
            }
        }
    }
}

impl ParameterLayout {
    /// Starting values, each tensor's from a stream of its own name. `source` is asked only for the model's own
    /// parameters, for the row norms that DoRA starts from, and for the vocabulary rows that soft prompts start from.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor that is asked for, or has it in another shape.
    pub fn initial(&self, streams: &Streams, source: &dyn TensorSource) -> Result<Vec<f32>, NnError> {
        let mut values = vec![0.0; self.len];
        for tensor in &self.tensors {
            let out = &mut values[tensor.range()];
            let stream = streams.counter(&tensor.name, "initial value");
            let uniform = |n: usize, bound: f64| (bound * (2.0 * stream.uniform(n as u64) - 1.0)) as f32;
            match &tensor.initial {
                Initial::Zero => {}
                Initial::One => out.fill(1.0),
                Initial::Uniform { fan_in } => {
                    let bound = (*fan_in as f64).sqrt().recip();
                    out.iter_mut().enumerate().for_each(|(n, value)| *value = uniform(n, bound));
                }
                Initial::Xavier { fans } => {
                    let bound = (6.0 / *fans as f64).sqrt();
                    out.iter_mut().enumerate().for_each(|(n, value)| *value = uniform(n, bound));
                }
                Initial::Normal => {
                    for (n, value) in out.iter_mut().enumerate() {
                        *value = (NORMAL_STD * stream.normal(n as u64)) as f32;
                    }
                }
                Initial::Own(origin) => out.copy_from_slice(&origin.read(source)?),
                Initial::RowNorms { matrix, columns } => {
                    for (value, row) in out.iter_mut().zip(matrix.read(source)?.chunks_exact(*columns)) {
                        *value = row.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt() as f32;
                    }
                }
                Initial::SampledRows { table, rows } => {
                    let (table, width) = (table.read(source)?, tensor.shape[1]);
                    for (n, row) in out.chunks_exact_mut(width).enumerate() {
                        let drawn = ((stream.uniform(n as u64) * *rows as f64) as usize).min(rows - 1);
                        row.copy_from_slice(&table[drawn * width..][..width]);
                    }
                }
            }
        }
        Ok(values)
    }
}

/// A checkpoint in which the model's own parameters that a layout trains have other values.
pub struct Overlaid<'a> {
    pub checkpoint: &'a dyn TensorSource,
    pub layout: &'a ParameterLayout,
    pub parameters: &'a [f32],
}

impl TensorSource for Overlaid<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let mut values = self.checkpoint.tensor(name, shape)?;
        for tensor in &self.layout.tensors {
            if let Initial::Own(origin) = &tensor.initial
                && origin.tensor == name
            {
                origin.write(&self.parameters[tensor.range()], &mut values);
            }
        }
        Ok(values)
    }

    fn has(&self, name: &str) -> bool {
        self.checkpoint.has(name)
    }
}
