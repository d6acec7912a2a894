//! What a model answers with an adapter to given tokens, in full, so that another program's answer can be compared.

use super::{AdapterError, AdapterFile, NamedModel};
use crate::backend::Cpu;
use crate::data::{Objective, PackedBatch};
use crate::fomo::{Architecture, Family, TensorSource};
use crate::nn::{Model, Share};
use serde::Serialize;

/// The answer to one sequence. The rows of a prompt are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    pub tokens: Vec<u32>,
    /// Mean of the last hidden states of all tokens, `[hidden]`: behind the final norm where the model has one.
    pub hidden_mean: Vec<f64>,
    /// Last hidden state of the last token, `[hidden]`.
    pub hidden_last: Vec<f64>,
    /// What the adapter's head makes of them, `[outputs]`; for a model that predicts tokens, what it says comes after the last
    /// token, `[vocabulary]`; `None` for an adapter without a head.
    pub logits: Option<Vec<f64>>,
}

/// Answers to `sequences` of the model with `adapter`, which was read from `file`.
///
/// # Errors
/// If the adapter does not fit the model, the model reads no plain text, or a sequence is empty, too long or of another
/// vocabulary.
pub fn probe(
    file: &str,
    adapter: &AdapterFile,
    model: &NamedModel,
    sequences: &[Vec<u32>],
) -> Result<Vec<Answer>, AdapterError> {
    let architecture = &model.architecture;
    if matches!(architecture.family, Family::T5 | Family::Vit) {
        return Err(AdapterError::NotProbed { what: architecture.name.clone() });
    }
    let layout = adapter.layout_for(file, architecture)?;
    let batch = PackedBatch {
        values: match layout.objective() {
            Objective::Regression => vec![0.0; sequences.len()],
            Objective::Classification { .. } | Objective::NextToken => vec![],
        },
        ..PackedBatch::pack(sequences.iter().map(|tokens| (tokens.as_slice(), 0)))
    };
    let loaded = Model::load(Cpu::<f32>::new(), architecture, layout.objective(), model.weights())?;
    loaded.check_batch(&layout, &batch)?;
    let mut pass = loaded.pass(&layout, &[Share::whole(adapter.parameters(), &batch)], false);
    pass.embed();
    pass.forward_blocks(0..architecture.blocks());
    let hidden = pass.hidden();
    let ends = Ends { adapter, architecture, source: model.weights() };
    let (normed, width) = (ends.final_norm(&hidden)?, architecture.hidden);
    let output = if ends.predicts_tokens() { Some(ends.output()?) } else { None };
    let mut answers = Vec::with_capacity(sequences.len());
    for (s, tokens) in sequences.iter().enumerate() {
        let start = batch.offsets[s] + layout.prompt_tokens() * (s + 1);
        let rows = &normed[start * width..(start + tokens.len()) * width];
        let hidden_mean = mean_row(rows, width);
        let hidden_last = rows[rows.len() - width..].to_vec();
        let logits = match &output {
            Some(output) => Some(products(output, &hidden_last)),
            None => ends.head(&hidden_mean, &hidden_last),
        };
        answers.push(Answer { tokens: tokens.clone(), hidden_mean, hidden_last, logits });
    }
    Ok(answers)
}

fn mean_row(rows: &[f64], width: usize) -> Vec<f64> {
    let count = (rows.len() / width) as f64;
    (0..width).map(|c| rows.iter().skip(c).step_by(width).sum::<f64>() / count).collect()
}

/// `matrix x` for `matrix` of rows as long as `x`.
fn products(matrix: &[f32], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum()).collect()
}

/// What lies behind the blocks, in double precision.
struct Ends<'a> {
    adapter: &'a AdapterFile,
    architecture: &'a Architecture,
    source: &'a dyn TensorSource,
}

impl Ends<'_> {
    /// The adapter's own values of a tensor that it trains, or else the model's.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, AdapterError> {
        match self.adapter.tensor(name) {
            Some((_, values)) => Ok(values.to_vec()),
            None => Ok(self.source.tensor(name, shape)?),
        }
    }

    /// LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) of every row of a pre-norm model.
    fn final_norm(&self, hidden: &[f32]) -> Result<Vec<f64>, AdapterError> {
        let (width, centred) = (self.architecture.hidden, self.architecture.family == Family::Gpt2);
        let module = match self.architecture.family {
            Family::Gpt2 => "ln_f",
            Family::Llama => "model.norm",
            Family::Bert | Family::Roberta | Family::T5 | Family::Vit => {
                return Ok(hidden.iter().map(|&v| f64::from(v)).collect());
            }
        };
        let gain = self.tensor(&format!("{module}.weight"), &[width])?;
        let shift = if centred { self.tensor(&format!("{module}.bias"), &[width])? } else { vec![0.0; width] };
        let mut normed = Vec::with_capacity(hidden.len());
        for row in hidden.chunks_exact(width) {
            let mean = if centred { row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64 } else { 0.0 };
            let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
            let factor = (variance + self.architecture.norm_eps).sqrt().recip();
            let affine = gain.iter().zip(&shift);
            normed.extend(
                row.iter()
                    .zip(affine)
                    .map(|(&v, (g, b))| (f64::from(v) - mean) * factor * f64::from(*g) + f64::from(*b)),
            );
        }
        Ok(normed)
    }

    fn predicts_tokens(&self) -> bool {
        self.adapter.objective() == Some(Objective::NextToken)
    }

    /// The output matrix, `[vocabulary, hidden]`.
    fn output(&self) -> Result<Vec<f32>, AdapterError> {
        let Architecture { family, vocabulary, hidden, tied_output, .. } = *self.architecture;
        let name = match family {
            _ if !tied_output => "lm_head.weight",
            Family::Gpt2 => "wte.weight",
            _ => "model.embed_tokens.weight",
        };
        self.tensor(name, &[vocabulary, hidden])
    }

    /// The linear head on what the family pools, if the adapter has one.
    fn head(&self, mean: &[f64], last: &[f64]) -> Option<Vec<f64>> {
        let of_last = matches!(self.architecture.family, Family::Gpt2 | Family::Llama);
        let (_, weight) = self.adapter.tensor("head.weight")?;
        let (_, bias) = self.adapter.tensor("head.bias")?;
        let products = products(weight, if of_last { last } else { mean });
        Some(products.iter().zip(bias).map(|(p, b)| p + f64::from(*b)).collect())
    }
}
