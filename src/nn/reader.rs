//! Turns the named tensors of a checkpoint into a backend's weights.

use super::NnError;
use super::block::{Attention, Block, CrossAttention, FeedForward};
use super::model::ROBERTA_OFFSET;
use super::names::{self, BlockNames};
use crate::backend::{AttentionShape, Backend, Embedding, Linear, Norm, QuantisedMatrix, RelativeBias, Rotary};
use crate::fomo::{
    Architecture, CheckpointError, Family, ImageGeometry, Projection, RotaryGeometry, RotaryScaling, TensorSource,
};
use std::f64::consts::TAU;
use std::sync::Arc;

pub(super) struct Reader<'a, B: Backend> {
    pub backend: &'a B,
    pub architecture: &'a Architecture,
    pub source: &'a dyn TensorSource,
}

impl<B: Backend> Reader<'_, B> {
    fn has_biases(&self) -> bool {
        !matches!(self.architecture.family, Family::Llama | Family::T5)
    }

    pub fn norm(&self, name: &str) -> Result<Norm<B>, NnError> {
        let Architecture { hidden: width, norm_eps: epsilon, .. } = *self.architecture;
        let gain = self.backend.upload(&self.source.tensor(&format!("{name}.weight"), &[width])?);
        let centred = self.has_biases();
        let shift = centred.then(|| self.source.tensor(&format!("{name}.bias"), &[width])).transpose()?;
        Ok(Norm { gain, shift: shift.map(|s| self.backend.upload(&s)), centred, epsilon, width })
    }

    /// The values of module `name`, turned where the checkpoint holds `[inputs, outputs]`.
    fn values(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, NnError> {
        let weight = format!("{name}.weight");
        let values = if self.architecture.family == Family::Gpt2 {
            let stored = self.source.tensor(&weight, &[inputs, outputs])?;
            (0..inputs * outputs).map(|i| stored[i % inputs * outputs + i / inputs]).collect()
        } else {
            self.source.tensor(&weight, &[outputs, inputs])?
        };
        Ok(values)
    }

    fn bias(&self, name: &str, outputs: usize) -> Result<Option<Vec<f32>>, NnError> {
        let bias = || self.source.tensor(&format!("{name}.bias"), &[outputs]);
        Ok(self.has_biases().then(bias).transpose()?)
    }

    /// Projections `modules` of the same input, stacked into one matrix.
    fn linear(&self, modules: &[(String, usize)], inputs: usize) -> Result<Linear<B>, NnError> {
        let mut bias = Vec::new();
        for (name, outputs) in modules {
            bias.extend(self.bias(name, *outputs)?.unwrap_or_default());
        }
        let outputs = modules.iter().map(|(_, outputs)| outputs).sum();
        let weight = match self.in_few_bits(modules, inputs) {
            Some(weight) => weight,
            None => {
                let mut weight = Vec::new();
                for (name, outputs) in modules {
                    weight.extend(self.values(name, inputs, *outputs)?);
                }
                self.backend.matrix(&weight, outputs, inputs)
            }
        };
        let bias = (!bias.is_empty()).then(|| self.backend.upload(&bias));
        Ok(Linear { weight, bias, inputs, outputs })
    }

    /// The stack of `modules` in the bits that the checkpoint holds all of them in, where the backend keeps them so.
    fn in_few_bits(&self, modules: &[(String, usize)], inputs: usize) -> Option<B::Matrix> {
        if !self.backend.keeps_few_bits() || self.architecture.family == Family::Gpt2 {
            return None;
        }
        let part =
            |(name, outputs): &(String, usize)| self.source.quantised(&format!("{name}.weight"), [*outputs, inputs]);
        let parts: Option<Vec<QuantisedMatrix>> = modules.iter().map(part).collect();
        self.backend.quantised_matrix(&QuantisedMatrix::stacked(parts?)?)
    }

    fn projections(&self, names: &[(String, Projection)]) -> Result<Linear<B>, NnError> {
        let shape = |p: Projection| p.shape(self.architecture);
        let modules: Vec<_> = names.iter().map(|(name, p)| (name.clone(), shape(*p).1)).collect();
        self.linear(&modules, shape(names[0].1).0)
    }

    /// ViT's patches, a convolution with steps as wide as its kernel: a product.
    pub fn patches(&self, image: ImageGeometry) -> Result<Linear<B>, NnError> {
        let ImageGeometry { patch_px, channels, .. } = image;
        let outputs = self.architecture.hidden;
        let name = |part: &str| format!("{}.{part}", names::PATCHES);
        let values = self.source.tensor(&name("weight"), &[outputs, channels, patch_px, patch_px])?;
        let inputs = channels * patch_px * patch_px;
        let bias = self.source.tensor(&name("bias"), &[outputs])?;
        let weight = self.backend.matrix(&values, outputs, inputs);
        Ok(Linear { weight, bias: Some(self.backend.upload(&bias)), inputs, outputs })
    }

    pub fn embedding(&self) -> Result<Embedding<B>, NnError> {
        let Architecture { family, hidden: width, vocabulary, positions: places, token_types, .. } = *self.architecture;
        let upload = |values: Vec<f32>| self.backend.upload(&values);
        let words = match family {
            Family::Vit => Vec::new(),
            _ => self.source.tensor(names::words(family), &[vocabulary, width])?,
        };
        let positions = match (family, names::positions(family)) {
            (_, None) => None,
            (Family::Vit, Some(name)) => Some(self.source.tensor(name, &[1, places, width])?),
            (Family::Roberta, Some(name)) => {
                Some(self.source.tensor(name, &[places, width])?.split_off(ROBERTA_OFFSET * width))
            }
            (_, Some(name)) => Some(self.source.tensor(name, &[places, width])?),
        };
        let token_type = match family {
            Family::Bert | Family::Roberta => {
                let mut types = self.source.tensor(names::TOKEN_TYPES, &[token_types, width])?;
                types.truncate(width);
                Some(types)
            }
            _ => None,
        };
        let class_token = match family {
            Family::Vit => Some(self.source.tensor(names::CLASS_TOKEN, &[1, 1, width])?),
            _ => None,
        };
        Ok(Embedding {
            words: upload(words),
            positions: positions.map(upload),
            token_type: token_type.map(upload),
            class_token: class_token.map(upload),
            width,
        })
    }

    /// From hidden states to the vocabulary.
    pub fn output(&self) -> Result<Linear<B>, NnError> {
        let Architecture { family, hidden: inputs, vocabulary: outputs, tied_output, .. } = *self.architecture;
        let words = names::words(family);
        if tied_output && let Some(file) = self.source.own_output(words) {
            let (tensor, words) = (names::OUTPUT, words.to_owned());
            return Err(CheckpointError::OwnOutput { file, tensor, words }.into());
        }
        let name = output_matrix(self.architecture, self.source);
        let weight = self.backend.matrix(&self.source.tensor(name, &[outputs, inputs])?, outputs, inputs);
        Ok(Linear { weight, bias: None, inputs, outputs })
    }

    pub fn blocks(&self) -> Result<Vec<Block<B>>, NnError> {
        let a = self.architecture;
        let rotary = a.rotary.map(|geometry| Arc::new(rotary(geometry, a.head_dim)));
        let encoder_bias = if a.encoder_layers > 0 { self.relative_bias(false)? } else { None };
        let decoder_bias = if a.decoder_layers > 0 { self.relative_bias(true)? } else { None };
        let block = |index: usize| {
            let bias = if index < a.encoder_layers { &encoder_bias } else { &decoder_bias };
            self.block(index, rotary.clone(), bias.clone())
        };
        (0..a.blocks()).map(block).collect()
    }

    fn relative_bias(&self, in_decoder: bool) -> Result<Option<Arc<RelativeBias<B>>>, NnError> {
        let Some(relative) = self.architecture.relative_positions else { return Ok(None) };
        let (buckets, max_distance) = (relative.buckets, relative.max_distance);
        let values = self.source.tensor(&names::relative_bias(in_decoder), &[buckets, self.architecture.heads])?;
        let table = self.backend.upload(&values);
        Ok(Some(Arc::new(RelativeBias { table, buckets, max_distance, bidirectional: !in_decoder })))
    }

    fn block(
        &self,
        index: usize,
        rotary: Option<Arc<Rotary>>,
        bias: Option<Arc<RelativeBias<B>>>,
    ) -> Result<Block<B>, NnError> {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Key, Query, Value};
        let Architecture { family, encoder_layers, heads, kv_heads, head_dim, ffn, gated_ffn, activation, .. } =
            *self.architecture;
        let names = BlockNames::new(self.architecture, index);
        let own = |p: Projection| (names.projection(p), p);
        let in_decoder = index >= encoder_layers;
        // T5 folds the usual 1 / sqrt(head_dim) into its initialisation (Raffel et al. 2020, section 3.1.2).
        let scale = if family == Family::T5 { 1.0 } else { (head_dim as f64).sqrt().recip() };
        let shape = AttentionShape { heads, kv_heads, head_dim, scale, causal: in_decoder };
        let qkv = match names.fused_qkv() {
            Some(name) => self.linear(&[(name, 3 * self.architecture.hidden)], self.architecture.hidden)?,
            None => self.projections(&[own(Query), own(Key), own(Value)])?,
        };
        let up = if gated_ffn { vec![own(FfnGate), own(FfnUp)] } else { vec![own(FfnUp)] };
        Ok(Block {
            pre_norm: !matches!(family, Family::Bert | Family::Roberta),
            attention: Attention {
                shape,
                norm: self.norm(&names.attention_norm())?,
                qkv,
                output: self.projections(&[own(AttentionOutput)])?,
                rotary,
                bias,
            },
            cross: (family == Family::T5 && in_decoder).then(|| self.cross(&names, shape)).transpose()?,
            ffn: FeedForward {
                norm: self.norm(&names.ffn_norm())?,
                up: self.projections(&up)?,
                down: self.projections(&[own(FfnDown)])?,
                activation,
                gated: gated_ffn,
                width: ffn,
            },
        })
    }

    fn cross(&self, names: &BlockNames, shape: AttentionShape) -> Result<CrossAttention<B>, NnError> {
        use Projection::{AttentionOutput, Key, Query, Value};
        let cross = |p: Projection| (names.cross_projection(p), p);
        Ok(CrossAttention {
            shape: AttentionShape { causal: false, ..shape },
            norm: self.norm(&names.cross_norm())?,
            query: self.projections(&[cross(Query)])?,
            key_value: self.projections(&[cross(Key), cross(Value)])?,
            output: self.projections(&[cross(AttentionOutput)])?,
        })
    }
}

/// The matrix that answers in words: the embedding's where they are tied, and in a T5 whose file has no output matrix, to which
/// transformers 5 ties it without the scale of tied ones (`scale_decoder_outputs` in its config.json).
pub(crate) fn output_matrix(architecture: &Architecture, source: &dyn TensorSource) -> &'static str {
    let Architecture { family, tied_output, .. } = *architecture;
    let shared = tied_output || family == Family::T5 && !source.has(names::OUTPUT);
    if shared { names::words(family) } else { names::OUTPUT }
}

/// Frequencies `theta^(-2 j / head_dim)`; Llama 3.1's scaling divides those of long waves by `factor` and blends between
/// (`rope_type: llama3` in transformers).
fn rotary(geometry: RotaryGeometry, head_dim: usize) -> Rotary {
    let stretched = |frequency: f64, s: &RotaryScaling| {
        let wave = TAU / frequency;
        let (longest, shortest) =
            (s.original_positions / s.low_frequency_factor, s.original_positions / s.high_frequency_factor);
        if wave < shortest {
            frequency
        } else if wave > longest {
            frequency / s.factor
        } else {
            let smooth = (s.original_positions / wave - s.low_frequency_factor)
                / (s.high_frequency_factor - s.low_frequency_factor);
            (1.0 - smooth) * frequency / s.factor + smooth * frequency
        }
    };
    let inverse_frequencies = (0..head_dim / 2)
        .map(|j| {
            let frequency = geometry.theta.powf(-2.0 * j as f64 / head_dim as f64);
            geometry.scaling.as_ref().map_or(frequency, |scaling| stretched(frequency, scaling))
        })
        .collect();
    Rotary { inverse_frequencies }
}
