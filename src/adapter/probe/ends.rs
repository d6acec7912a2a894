//! What lies behind the blocks of every family, in double precision.

use crate::adapter::{AdapterError, AdapterFile};
use crate::data::Objective;
use crate::fomo::{Architecture, Family, TensorSource};
use crate::nn::output_matrix;

/// What lies behind the blocks, in double precision.
pub(super) struct Ends<'a> {
    pub adapter: &'a AdapterFile,
    pub architecture: &'a Architecture,
    pub source: &'a dyn TensorSource,
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
    pub fn final_norm(&self, hidden: &[f32]) -> Result<Vec<f64>, AdapterError> {
        let (width, centred) =
            (self.architecture.hidden, matches!(self.architecture.family, Family::Gpt2 | Family::Vit));
        let module = match self.architecture.family {
            Family::Gpt2 => "ln_f",
            Family::Llama => "model.norm",
            Family::T5 => "decoder.final_layer_norm",
            Family::Vit => "layernorm",
            Family::Bert | Family::Roberta => {
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

    pub fn predicts_tokens(&self) -> bool {
        self.adapter.objective() == Some(Objective::NextToken)
    }

    /// The output matrix, `[vocabulary, hidden]`.
    pub fn output(&self) -> Result<Vec<f32>, AdapterError> {
        let Architecture { vocabulary, hidden, .. } = *self.architecture;
        self.tensor(output_matrix(self.architecture, self.source), &[vocabulary, hidden])
    }

    /// What the output matrix makes of a hidden state; T5 scales it first where the matrix is the embedding's (Raffel et al. 2020).
    pub fn token_logits(&self, output: &[f32], hidden: &[f64]) -> Vec<f64> {
        let scaled = self.architecture.family == Family::T5 && self.architecture.tied_output;
        let factor = if scaled { (self.architecture.hidden as f64).sqrt().recip() } else { 1.0 };
        products(output, hidden).into_iter().map(|logit| factor * logit).collect()
    }

    /// The linear head on what the family pools, if the adapter has one.
    pub fn head(&self, mean: &[f64], last: &[f64]) -> Option<Vec<f64>> {
        let of_last = matches!(self.architecture.family, Family::Gpt2 | Family::Llama | Family::Vit);
        let (_, weight) = self.adapter.tensor("head.weight")?;
        let (_, bias) = self.adapter.tensor("head.bias")?;
        let products = products(weight, if of_last { last } else { mean });
        Some(products.iter().zip(bias).map(|(p, b)| p + f64::from(*b)).collect())
    }
}

/// `matrix x` for `matrix` of rows as long as `x`.
fn products(matrix: &[f32], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum()).collect()
}
