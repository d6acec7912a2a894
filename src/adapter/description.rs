//! What an adapter's file says about itself: the model's shape, the methods and the objective, as JSON.
//!
//! The types are those of `fomo`, `nn` and `data`; how they are spelled in a file is said here, once, so that the
//! arithmetic does not know of files. Nothing read is trusted: sizes are bounded before anything is built from them.

use crate::backend::Activation;
use crate::data::Objective;
use crate::fomo::{Architecture, Family, ImageGeometry, RelativePositions};
use crate::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, PeftMethod,
    PrefixConfig, Projection, PromptConfig, Selection, SelectiveConfig,
};
use serde::{Deserialize, Serialize};

/// Widths, vocabularies, tokens and classes beyond this are no model's: two of them multiply without overflow, and so
/// do the thousands of tensors of [`LARGEST_COUNT`] blocks.
const LARGEST_SIZE: usize = 1 << 20;
/// The same for blocks and heads.
const LARGEST_COUNT: usize = 1 << 10;

/// What of an architecture decides the shapes of trainable tensors, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    name: String,
    #[serde(with = "FamilyDef")]
    family: Family,
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
    image: Option<Image>,
    /// Rows of a table of relative positions, where a stack has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relative_buckets: Option<usize>,
    tied_output: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    side_px: usize,
    patch_px: usize,
    channels: usize,
}

impl Shape {
    pub fn of(a: &Architecture) -> Self {
        Self {
            name: a.name.clone(),
            family: a.family,
            encoder_layers: a.encoder_layers,
            decoder_layers: a.decoder_layers,
            hidden: a.hidden,
            heads: a.heads,
            kv_heads: a.kv_heads,
            head_dim: a.head_dim,
            ffn: a.ffn,
            gated_ffn: a.gated_ffn,
            vocabulary: a.vocabulary,
            positions: a.positions,
            token_types: a.token_types,
            image: a.image.map(|i| Image { side_px: i.side_px, patch_px: i.patch_px, channels: i.channels }),
            relative_buckets: a.relative_positions.map(|r| r.buckets),
            tied_output: a.tied_output,
        }
    }

    /// # Errors
    /// Names the first size that no model has.
    pub fn check(&self) -> Result<(), String> {
        let (layers, sizes) = (LARGEST_COUNT, LARGEST_SIZE);
        let Image { side_px, patch_px, channels } =
            self.image.unwrap_or(Image { side_px: 0, patch_px: 0, channels: 0 });
        for (field, value, limit) in [
            ("encoder_layers", self.encoder_layers, layers),
            ("decoder_layers", self.decoder_layers, layers),
            ("heads", self.heads, layers),
            ("kv_heads", self.kv_heads, layers),
            ("head_dim", self.head_dim, layers),
            ("hidden", self.hidden, sizes),
            ("ffn", self.ffn, sizes),
            ("vocabulary", self.vocabulary, sizes),
            ("positions", self.positions, sizes),
            ("token_types", self.token_types, sizes),
            ("side_px", side_px, sizes),
            ("patch_px", patch_px, layers),
            ("channels", channels, layers),
            ("relative_buckets", self.relative_buckets.unwrap_or(0), layers),
        ] {
            if value > limit {
                return Err(format!("its model's {field} is {value}, above {limit}"));
            }
        }
        Ok(())
    }

    /// The first size or kind that the blocks of the two compute with in different ways. Names are none: one model goes by
    /// several, such as those of its folder and of deft's table.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.family != other.family {
            return Some(format!("it is for a {:?}, not for a {:?}", self.family, other.family));
        }
        let sizes = [
            ("encoder_layers", self.encoder_layers, other.encoder_layers),
            ("decoder_layers", self.decoder_layers, other.decoder_layers),
            ("heads", self.heads, other.heads),
            ("kv_heads", self.kv_heads, other.kv_heads),
            ("head_dim", self.head_dim, other.head_dim),
            ("hidden", self.hidden, other.hidden),
            ("ffn", self.ffn, other.ffn),
        ];
        let (size, own, others) = sizes.into_iter().find(|(_, own, others)| own != others)?;
        Some(format!("its model's {size} is {own}, expected {others}"))
    }

    /// An architecture with the same trainable tensors, good for nothing but a layout: what only the arithmetic reads has
    /// neutral values.
    pub fn architecture(&self) -> Architecture {
        Architecture {
            name: self.name.clone(),
            family: self.family,
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
            image: self.image.map(|i| ImageGeometry { side_px: i.side_px, patch_px: i.patch_px, channels: i.channels }),
            norm_eps: 0.0,
            activation: Activation::Gelu,
            rotary: None,
            relative_positions: self.relative_buckets.map(|buckets| RelativePositions { buckets, max_distance: 0 }),
            tied_output: self.tied_output,
        }
    }
}

/// The methods as JSON.
pub fn methods_to_json(methods: &[PeftMethod]) -> String {
    let methods: Vec<Method> = methods.iter().cloned().map(Method).collect();
    serde_json::to_string(&methods).expect("plain structs become JSON")
}

/// # Errors
/// If the text is not what [`methods_to_json`] writes, or asks for more tokens than any model has.
pub fn methods_from_json(json: &str) -> Result<Vec<PeftMethod>, String> {
    let methods: Vec<Method> = serde_json::from_str(json).map_err(|e| format!("its methods: {e}"))?;
    let methods: Vec<PeftMethod> = methods.into_iter().map(|m| m.0).collect();
    let tokens = |method: &PeftMethod| match method {
        PeftMethod::Prefix(config) => config.tokens_per_block.iter().copied().max().unwrap_or(0),
        PeftMethod::Prompt(config) => config.tokens,
        _ => 0,
    };
    match methods.iter().map(tokens).find(|&n| n > LARGEST_SIZE) {
        Some(n) => Err(format!("its methods train {n} tokens, above {LARGEST_SIZE}")),
        None => Ok(methods),
    }
}

/// The objective as JSON; `null` for an adapter of a bare model, without a head.
pub fn objective_to_json(objective: Option<Objective>) -> String {
    serde_json::to_string(&objective.map(Goal)).expect("plain enums become JSON")
}

/// # Errors
/// If the text is not what [`objective_to_json`] writes.
pub fn objective_from_json(json: &str) -> Result<Option<Objective>, String> {
    let goal: Option<Goal> = serde_json::from_str(json).map_err(|e| format!("its objective: {e}"))?;
    match goal.map(|g| g.0) {
        Some(Objective::Classification { classes }) if classes > LARGEST_SIZE => {
            Err(format!("its objective has {classes} classes, above {LARGEST_SIZE}"))
        }
        objective => Ok(objective),
    }
}

#[derive(Serialize, Deserialize)]
struct Method(#[serde(with = "PeftMethodDef")] PeftMethod);

#[derive(Serialize, Deserialize)]
struct Goal(#[serde(with = "ObjectiveDef")] Objective);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Family", rename_all = "snake_case")]
enum FamilyDef {
    Bert,
    Roberta,
    Gpt2,
    Llama,
    T5,
    Vit,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Objective", rename_all = "snake_case")]
enum ObjectiveDef {
    Classification { classes: usize },
    Regression,
    NextToken,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PeftMethod", rename_all = "snake_case")]
enum PeftMethodDef {
    Lora(#[serde(with = "LoraConfigDef")] LoraConfig),
    Adapter(#[serde(with = "AdapterConfigDef")] AdapterConfig),
    Prefix(#[serde(with = "PrefixConfigDef")] PrefixConfig),
    Prompt(#[serde(with = "PromptConfigDef")] PromptConfig),
    Ia3(#[serde(with = "Ia3ConfigDef")] Ia3Config),
    Selective(#[serde(with = "SelectiveConfigDef")] SelectiveConfig),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LoraConfig", deny_unknown_fields)]
struct LoraConfigDef {
    rank_per_block: Vec<usize>,
    alpha: f64,
    targets: Vec<Projection>,
    #[serde(with = "LoraScalingDef")]
    scaling: LoraScaling,
    dropout: f64,
    #[serde(with = "LoraVariantDef")]
    variant: LoraVariant,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LoraScaling", rename_all = "snake_case")]
enum LoraScalingDef {
    Rank,
    RankRoot,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LoraVariant", rename_all = "snake_case")]
enum LoraVariantDef {
    Plain,
    Dora,
    Adaptive(#[serde(with = "AdaptiveRanksDef")] AdaptiveRanks),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AdaptiveRanks", deny_unknown_fields)]
struct AdaptiveRanksDef {
    target_rank: usize,
    warmup_steps: u32,
    final_step: u32,
    orthogonality: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AdapterConfig", deny_unknown_fields)]
struct AdapterConfigDef {
    bottleneck_per_block: Vec<usize>,
    #[serde(with = "AdapterPlacementDef")]
    placement: AdapterPlacement,
    #[serde(with = "ActivationDef")]
    activation: Activation,
    scale: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AdapterPlacement", rename_all = "snake_case")]
enum AdapterPlacementDef {
    Houlsby,
    Pfeiffer,
    Parallel,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Activation", rename_all = "snake_case")]
enum ActivationDef {
    Gelu,
    GeluTanh,
    Silu,
    Relu,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PrefixConfig", deny_unknown_fields)]
struct PrefixConfigDef {
    tokens_per_block: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PromptConfig", deny_unknown_fields)]
struct PromptConfigDef {
    tokens: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ia3Config", deny_unknown_fields)]
struct Ia3ConfigDef {
    blocks: Vec<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SelectiveConfig", deny_unknown_fields)]
struct SelectiveConfigDef {
    #[serde(with = "SelectionDef")]
    selection: Selection,
    blocks: Vec<bool>,
    outside: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Selection", rename_all = "snake_case")]
enum SelectionDef {
    Biases,
    Norms,
    Everything,
}
