//! Shapes of published models, by the names that scenarios use.

use super::architecture::{
    Activation, Architecture, Family, ImageGeometry, RelativePositions, RotaryGeometry, RotaryScaling,
};
use serde::Deserialize;
use std::sync::LazyLock;

/// One row of `presets.csv`: an [`Architecture`] spread over columns, and where its figures were read.
#[derive(Deserialize)]
struct Row {
    name: String,
    family: String,
    encoder_layers: usize,
    decoder_layers: usize,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    ffn: usize,
    gated_ffn: bool,
    vocabulary: usize,
    positions: usize,
    token_types: usize,
    image_side_px: Option<usize>,
    patch_px: Option<usize>,
    image_channels: Option<usize>,
    norm_eps: f64,
    activation: String,
    rope_theta: Option<f64>,
    relative_buckets: Option<usize>,
    relative_max_distance: Option<usize>,
    tied_output: bool,
    source: String,
}

/// `rope_scaling` of meta-llama/Llama-3.2-1B.
const LLAMA_3_2: RotaryScaling =
    RotaryScaling { factor: 32.0, low_frequency_factor: 1.0, high_frequency_factor: 4.0, original_positions: 8192.0 };

impl Row {
    fn architecture(&self) -> Option<Architecture> {
        let family = match self.family.as_str() {
            "bert" => Family::Bert,
            "roberta" => Family::Roberta,
            "gpt2" => Family::Gpt2,
            "llama" => Family::Llama,
            "t5" => Family::T5,
            "vit" => Family::Vit,
            _ => return None,
        };
        let activation = match self.activation.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_tanh" => Activation::GeluTanh,
            "silu" => Activation::Silu,
            "relu" => Activation::Relu,
            _ => return None,
        };
        let relative = self.relative_buckets.zip(self.relative_max_distance);
        let image = self.image_side_px.zip(self.patch_px).zip(self.image_channels);
        Some(Architecture {
            name: self.name.clone(),
            family,
            encoder_layers: self.encoder_layers,
            decoder_layers: self.decoder_layers,
            hidden: self.hidden,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            ffn: self.ffn,
            gated_ffn: self.gated_ffn,
            vocabulary: self.vocabulary,
            positions: self.positions,
            token_types: self.token_types,
            image: image.map(|((side_px, patch_px), channels)| ImageGeometry { side_px, patch_px, channels }),
            norm_eps: self.norm_eps,
            activation,
            rotary: self
                .rope_theta
                .map(|theta| RotaryGeometry { theta, scaling: (self.name == "llama-3.2-1b").then_some(LLAMA_3_2) }),
            relative_positions: relative.map(|(buckets, max_distance)| RelativePositions { buckets, max_distance }),
            tied_output: self.tied_output,
        })
    }
}

static TABLE: LazyLock<Vec<(Architecture, String)>> = LazyLock::new(|| {
    csv::Reader::from_reader(include_str!("presets.csv").as_bytes())
        .deserialize()
        .map(|row| {
            let row: Row = row.expect("the embedded table of models is well-formed (a unit test reads it)");
            (row.architecture().expect("the embedded table names known families only"), row.source)
        })
        .collect()
});

/// The published shape called `name`.
pub fn preset(name: &str) -> Option<Architecture> {
    TABLE.iter().find(|(a, _)| a.name == name).map(|(a, _)| a.clone())
}

/// Names of all shapes, family by family, small to large.
pub fn preset_names() -> Vec<&'static str> {
    TABLE.iter().map(|(a, _)| a.name.as_str()).collect()
}

/// The document from which the shape called `name` was read.
pub fn preset_source(name: &str) -> Option<&'static str> {
    TABLE.iter().find(|(a, _)| a.name == name).map(|(_, source)| source.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_consistent() {
        for (a, source) in TABLE.iter() {
            assert!(!source.is_empty(), "{}", a.name);
            assert_eq!(a.heads % a.kv_heads, 0, "{}", a.name);
            if a.family != Family::T5 {
                assert_eq!(a.heads * a.head_dim, a.hidden, "{}", a.name);
            }
            if let Some(image) = a.image {
                assert_eq!(a.positions, (image.side_px / image.patch_px).pow(2) + 1, "{}", a.name);
            }
            assert_eq!(a.image.is_some(), a.vocabulary == 0, "{}", a.name);
        }
        assert!(preset("gpt5").is_none());
    }
}
