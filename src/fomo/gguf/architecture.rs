//! The metadata of a GGUF file as an [`Architecture`].
//!
//! Keys: the sections LLM, LLaMA and GPT-2 of ggml's `docs/gguf.md`. As in `config.json`, what would compute something
//! else is refused; so is a file with a tensor that the family's arithmetic would leave unused, such as a bias.

use super::GgufCheckpoint;
use super::metadata::Metadata;
use super::names::Names;
use crate::data::excerpt;
use crate::fomo::architecture::{Activation, Architecture, Family, RotaryGeometry, RotaryScaling};
use crate::fomo::config::{ConfigError, LARGEST_COUNT, LARGEST_SIZE};
use crate::fomo::names::words;
use crate::fomo::tensor_source::TensorSource as _;

/// `rope.freq_base` where the file has none.
const DEFAULT_THETA: f64 = 10_000.0;
/// Factors by which Llama 3.1 and its successors stretch each wavelength, in place of metadata.
const ROTARY_FACTORS: &str = "rope_freqs.weight";
/// What all published models with such factors have; only the factor itself differs.
const LLAMA3_RULE: RotaryScaling =
    RotaryScaling { factor: 1.0, low_frequency_factor: 1.0, high_frequency_factor: 4.0, original_positions: 8192.0 };
/// Relative; the converter computes in single precision.
const FACTOR_TOLERANCE: f64 = 1e-4;

pub fn architecture(checkpoint: &GgufCheckpoint, name: &str) -> Result<Architecture, ConfigError> {
    let metadata = &checkpoint.metadata;
    let unknown = || metadata.unsupported("general.architecture", "`llama` or `gpt2`");
    let family = checkpoint.family().ok_or_else(unknown)?;
    let names = Names::of(family).ok_or_else(unknown)?;
    let used = |name: &str| names.knows(name) || family == Family::Llama && name == ROTARY_FACTORS;
    if let Some(unused) = checkpoint.names().find(|name| !used(name)) {
        return Err(ConfigError::Unsupported {
            file: checkpoint.file.clone(),
            field: "tensors".into(),
            found: format!("`{}` among them", excerpt(unused)),
            expected: "only those that Hugging Face's model of this family has".into(),
        });
    }
    if family == Family::Llama { llama(checkpoint, name) } else { gpt2(checkpoint, name) }
}

/// Query heads and key/value heads of the architecture that keys call `prefix`.
pub fn heads(metadata: &Metadata, prefix: &str) -> Result<(usize, usize), ConfigError> {
    let query = metadata.size(&format!("{prefix}.attention.head_count"), LARGEST_COUNT)?;
    let key_name = format!("{prefix}.attention.head_count_kv");
    let key = metadata.size_or(&key_name, LARGEST_COUNT, query)?;
    if !query.is_multiple_of(key) {
        return Err(metadata.unsupported(&key_name, format!("a divisor of the number of heads, {query}")));
    }
    Ok((query, key))
}

fn epsilon(metadata: &Metadata, key: &str) -> Result<f64, ConfigError> {
    let epsilon = metadata.real(key).filter(|n| *n > 0.0 && *n < 1.0);
    epsilon.ok_or_else(|| metadata.unsupported(key, "a number between 0 and 1"))
}

/// Rows of the tensor that the file calls `tensor`.
fn rows(checkpoint: &GgufCheckpoint, tensor: &str) -> Result<usize, ConfigError> {
    let info = checkpoint.tensors.get(tensor).filter(|info| info.shape.len() == 2);
    info.map(|info| info.shape[0]).ok_or_else(|| ConfigError::Unsupported {
        file: checkpoint.file.clone(),
        field: format!("tensor `{tensor}`"),
        found: "not there, or no matrix".into(),
        expected: "one row a token or position".into(),
    })
}

fn llama(checkpoint: &GgufCheckpoint, name: &str) -> Result<Architecture, ConfigError> {
    let metadata = &checkpoint.metadata;
    let (heads, kv_heads) = heads(metadata, "llama")?;
    let hidden = metadata.size("llama.embedding_length", LARGEST_SIZE)?;
    let head_dim = metadata.size_or("llama.attention.key_length", LARGEST_SIZE, hidden / heads)?;
    if !metadata.has("llama.attention.key_length") && !hidden.is_multiple_of(heads) {
        let expected = format!("a divisor of llama.embedding_length, {hidden}");
        return Err(metadata.unsupported("llama.attention.head_count", expected));
    }
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        let expected = format!("one that makes heads of an even size, not {head_dim}");
        return Err(metadata.unsupported("llama.attention.head_count", expected));
    }
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if metadata.size_or(key, LARGEST_SIZE, head_dim)? != head_dim {
            return Err(metadata.unsupported(key, format!("{head_dim}, the size of a head")));
        }
    }
    // Options that other programs of the same architecture name obey.
    for (key, neutral) in [
        ("llama.rope.scale_linear", 1.0),
        ("llama.attention.sliding_window", 0.0),
        ("llama.attention.clamp_kqv", 0.0),
        ("llama.attention.max_alibi_bias", 0.0),
        ("llama.expert_count", 0.0),
    ] {
        if metadata.has(key) && metadata.real(key) != Some(neutral) {
            return Err(metadata.unsupported(key, neutral.to_string()));
        }
    }
    for key in ["llama.attention.scale", "llama.logit_scale", "llama.embedding_scale", "llama.residual_scale"] {
        if metadata.has(key) {
            return Err(metadata.unsupported(key, "no such key: sums as Llama has them"));
        }
    }
    let scaling_type = "llama.rope.scaling.type";
    if metadata.has(scaling_type) && metadata.text(scaling_type) != Some("none") {
        return Err(metadata.unsupported(scaling_type, "`none`"));
    }
    // llama.cpp stretches all wavelengths by the factor where the type is absent; 0 stands for no factor.
    let factor = "llama.rope.scaling.factor";
    if metadata.has(factor) && !metadata.has(scaling_type) && !matches!(metadata.real(factor), Some(0.0 | 1.0)) {
        return Err(metadata.unsupported(factor, "1, or `llama.rope.scaling.type` to be `none`"));
    }
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::Llama,
        encoder_layers: 0,
        decoder_layers: metadata.size("llama.block_count", LARGEST_COUNT)?,
        hidden,
        heads,
        kv_heads,
        head_dim,
        ffn: metadata.size("llama.feed_forward_length", LARGEST_SIZE)?,
        gated_ffn: true,
        vocabulary: rows(checkpoint, "token_embd.weight")?,
        positions: 0,
        token_types: 0,
        image: None,
        norm_eps: epsilon(metadata, "llama.attention.layer_norm_rms_epsilon")?,
        activation: Activation::Silu,
        rotary: Some(rotary(checkpoint, head_dim)?),
        relative_positions: None,
        tied_output: !checkpoint.has("lm_head.weight"),
    })
}

fn rotary(checkpoint: &GgufCheckpoint, head_dim: usize) -> Result<RotaryGeometry, ConfigError> {
    let (metadata, key) = (&checkpoint.metadata, "llama.rope.freq_base");
    let theta = if metadata.has(key) { metadata.real(key) } else { Some(DEFAULT_THETA) };
    let theta = theta.filter(|t| t.is_finite() && *t > 0.0);
    let theta = theta.ok_or_else(|| metadata.unsupported(key, "a number above 0"))?;
    let Some(info) = checkpoint.tensors.get(ROTARY_FACTORS) else {
        return Ok(RotaryGeometry { theta, scaling: None });
    };
    let found =
        (info.shape == [head_dim / 2]).then(|| checkpoint.decode(ROTARY_FACTORS, info, None)).and_then(Result::ok);
    let scaling = found.as_deref().and_then(|factors| llama3_scaling(theta, head_dim, factors));
    match scaling {
        Some(scaling) => Ok(RotaryGeometry { theta, scaling: Some(scaling) }),
        None => Err(ConfigError::Unsupported {
            file: checkpoint.file.clone(),
            field: format!("tensor `{ROTARY_FACTORS}`"),
            found: "other factors".into(),
            expected: "those of Llama 3.1's rule for 8192 original positions".into(),
        }),
    }
}

/// The rule that gives `factors`, one for each pair of values of a head; `None` if it is not Llama 3.1's.
///
/// The last pair has the longest wavelength, which is stretched by the whole factor.
fn llama3_scaling(theta: f64, head_dim: usize, factors: &[f32]) -> Option<RotaryScaling> {
    let scaling = RotaryScaling { factor: f64::from(*factors.last()?), ..LLAMA3_RULE };
    let RotaryScaling { factor, low_frequency_factor: low, high_frequency_factor: high, original_positions } = scaling;
    let expected = (0..factors.len()).map(|i| {
        let wavelength = std::f64::consts::TAU * theta.powf(2.0 * i as f64 / head_dim as f64);
        // 0: stretched by the whole factor; 1: left alone.
        let smooth = ((original_positions / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / factor + smooth)
    });
    let agree = |(found, expected): (&f32, f64)| (f64::from(*found) - expected).abs() <= FACTOR_TOLERANCE * expected;
    (factor >= 1.0 && factors.iter().zip(expected).all(agree)).then_some(scaling)
}

fn gpt2(checkpoint: &GgufCheckpoint, name: &str) -> Result<Architecture, ConfigError> {
    let metadata = &checkpoint.metadata;
    let (heads, kv_heads) = heads(metadata, "gpt2")?;
    let hidden = metadata.size("gpt2.embedding_length", LARGEST_SIZE)?;
    if kv_heads != heads || !hidden.is_multiple_of(heads) {
        let expected = format!("a divisor of gpt2.embedding_length, {hidden}, the same for keys and values");
        return Err(metadata.unsupported("gpt2.attention.head_count", expected));
    }
    Ok(Architecture {
        name: name.to_owned(),
        family: Family::Gpt2,
        encoder_layers: 0,
        decoder_layers: metadata.size("gpt2.block_count", LARGEST_COUNT)?,
        hidden,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        ffn: metadata.size_or("gpt2.feed_forward_length", LARGEST_SIZE, 4 * hidden)?,
        gated_ffn: false,
        vocabulary: rows(checkpoint, "token_embd.weight")?,
        positions: rows(checkpoint, "position_embd.weight")?,
        token_types: 0,
        image: None,
        norm_eps: epsilon(metadata, "gpt2.attention.layer_norm_epsilon")?,
        activation: Activation::GeluTanh,
        rotary: None,
        relative_positions: None,
        // Some converters write the embedding a second time as `output.weight`.
        tied_output: checkpoint.own_output(words(Family::Gpt2)).is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.2 1B: theta 500000, heads of 64, factor 32. The factors by hand from the wavelengths.
    #[test]
    fn llama3_factors_are_recognised() {
        let (theta, head_dim) = (500_000.0f64, 64);
        let mut factors: Vec<f32> = (0..32)
            .map(|i| {
                let wavelength = std::f64::consts::TAU * theta.powf(2.0 * f64::from(i) / 64.0);
                if wavelength < 2048.0 {
                    1.0
                } else if wavelength > 8192.0 {
                    32.0
                } else {
                    let smooth = (8192.0 / wavelength - 1.0) / 3.0;
                    (1.0 / ((1.0 - smooth) / 32.0 + smooth)) as f32
                }
            })
            .collect();
        assert!(factors[0] == 1.0 && factors.iter().any(|f| *f > 1.0 && *f < 32.0));
        let scaling = llama3_scaling(theta, head_dim, &factors).unwrap();
        assert_eq!((scaling.factor, scaling.original_positions), (32.0, 8192.0));
        factors[3] = 1.5;
        assert_eq!(llama3_scaling(theta, head_dim, &factors), None);
        assert_eq!(llama3_scaling(theta, head_dim, &[]), None);
    }
}
