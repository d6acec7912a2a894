//! An untrained model, for studies that train from scratch and for tests that need no file.

use super::tensor_source::{CheckpointError, TensorSource};
use crate::random::Streams;
use rayon::prelude::*;

/// Standard deviation of matrices and embeddings: `initializer_range` of BERT (Devlin et al. 2018, released code),
/// GPT-2 (Radford et al. 2019, released code), Llama and ViT in their published configurations. The residual projections
/// of GPT-2 get the same, where their authors scale by depth.
const STANDARD_DEVIATION: f64 = 0.02;

/// T5 starts wider (`_init_weights` of its transformers implementation, after Raffel et al. 2020): its embedding at 1, which
/// a tied output scales down again, and products at 1 / sqrt(inputs). Queries keep 0.02: their width depends on the size of
/// a head, which a name and a shape do not tell.
fn standard_deviation(name: &str, shape: &[usize]) -> f64 {
    let product = ["SelfAttention.", "EncDecAttention.", "DenseReluDense."].iter().any(|part| name.contains(part));
    match shape {
        _ if name == "shared.weight" => 1.0,
        [_, inputs] if product && !name.ends_with(".q.weight") && !name.contains("relative_attention_bias") => {
            (*inputs as f64).sqrt().recip()
        }
        _ => STANDARD_DEVIATION,
    }
}

/// Values per draw of a thread: an even number, since normal draws come in pairs.
const CHUNK: usize = 1 << 14;

/// Made-up initial weights: a norm's gain is 1, a bias 0, every matrix and embedding normal with mean 0 and standard
/// deviation 0.02 (T5's are wider, as published).
///
/// Every tensor draws from a stream of its own name, so that its values depend on the seed, the replication and the name
/// only, not on which other tensors a family has. There is no limit to the names: [`has`](TensorSource::has) is always true.
#[derive(Clone, Copy, Debug)]
pub struct RandomWeights {
    streams: Streams,
}

impl RandomWeights {
    pub fn new(streams: Streams) -> Self {
        Self { streams }
    }
}

impl TensorSource for RandomWeights {
    /// A one-dimensional `.weight` is a norm's gain: no family has another.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let too_large =
            || CheckpointError::Memory { file: "random weights".into(), tensor: name.into(), shape: shape.to_vec() };
        let len = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or_else(too_large)?;
        let mut values = Vec::new();
        values.try_reserve_exact(len).map_err(|_| too_large())?;
        let constant = match (name.ends_with(".bias"), shape.len()) {
            (true, _) => Some(0.0),
            (false, 0 | 1) => Some(1.0),
            (false, _) => None,
        };
        values.resize(len, constant.unwrap_or(0.0));
        if constant.is_none() {
            let (stream, deviation) = (self.streams.counter(name, "initial weight"), standard_deviation(name, shape));
            values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
                for (n, value) in (chunk * CHUNK..).zip(values) {
                    *value = (deviation * stream.normal(n as u64)) as f32;
                }
            });
        }
        Ok(values)
    }

    fn has(&self, _name: &str) -> bool {
        true
    }
}
