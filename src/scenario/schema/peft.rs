//! Which parameters are trained, and where.
//!
//! Sizes may differ from block to block, so that each block's share of the trainable parameters can be controlled.

pub use crate::fomo::Projection;
use serde::{Deserialize, Serialize, Serializer};

/// Parameter-efficient fine-tuning: a method, and those that are trained beside it. The task head is always trained,
/// except for next-token prediction, which uses the model's own output matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeftSpec {
    #[serde(flatten)]
    pub method: PeftMethod,
    /// Further methods, each with parameters of its own.
    pub combine_with: Vec<PeftMethod>,
}

impl PeftSpec {
    /// All methods, the first one first.
    pub fn methods(&self) -> impl Iterator<Item = &PeftMethod> {
        std::iter::once(&self.method).chain(&self.combine_with)
    }

    /// Trainable rows that are put before every sequence.
    pub fn prompt_tokens(&self) -> usize {
        self.methods().map(|m| if let PeftMethod::Prompt { tokens } = m { *tokens } else { 0 }).sum()
    }
}

/// One method with the keys that it uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "method")]
pub enum PeftMethod {
    /// Low-rank adaptation (Hu et al. 2021).
    Lora(LoraSpec),
    /// LoRA with magnitude and direction apart (Liu et al. 2024).
    Dora(LoraSpec),
    /// LoRA whose ranks move to where they matter (Zhang et al. 2023).
    AdaLora(AdaLoraSpec),
    /// Bottlenecks in series with the layers of a block.
    Adapter {
        placement: AdapterPlacement,
        #[serde(flatten)]
        bottleneck: AdapterSpec,
    },
    /// A bottleneck beside the feed-forward layer (He et al. 2022).
    ParallelAdapter(AdapterSpec),
    /// Trainable keys and values before those of the sequence (Li and Liang 2021).
    Prefix { tokens: BlockSizes, blocks: BlockChoice },
    /// Trainable rows before the embedded sequence (Lester et al. 2021).
    Prompt { tokens: usize },
    /// Factors on keys, values and inner activations (Liu et al. 2022).
    Ia3 { blocks: BlockChoice },
    /// Every bias (Ben Zaken et al. 2022).
    Bitfit(SelectiveSpec),
    /// Gains and shifts of norms.
    LayerNorm(SelectiveSpec),
    /// All parameters of the chosen blocks.
    Selective(SelectiveSpec),
    /// All parameters.
    Full,
    /// Only the task head.
    HeadOnly,
}

/// Every method by the name that scenarios give it, and what it trains.
pub const PEFT_METHODS: [(&str, &str); 13] = [
    ("lora", "low-rank pairs beside products of the blocks"),
    ("dora", "the same, with the magnitude of each output apart"),
    ("ada_lora", "low-rank pairs whose ranks move to where they matter"),
    ("adapter", "bottlenecks behind attention and feed-forward layers"),
    ("parallel_adapter", "bottlenecks beside the feed-forward layers"),
    ("prefix", "keys and values in front of every sequence, in each block"),
    ("prompt", "rows in front of every embedded sequence"),
    ("ia3", "factors on keys, values and inner activations"),
    ("bitfit", "the model's biases"),
    ("layer_norm", "the model's norms"),
    ("selective", "all parameters of chosen blocks"),
    ("full", "all parameters"),
    ("head_only", "the task head"),
];

impl PeftMethod {
    /// As scenarios write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(_) => "lora",
            Self::Dora(_) => "dora",
            Self::AdaLora(_) => "ada_lora",
            Self::Adapter { .. } => "adapter",
            Self::ParallelAdapter(_) => "parallel_adapter",
            Self::Prefix { .. } => "prefix",
            Self::Prompt { .. } => "prompt",
            Self::Ia3 { .. } => "ia3",
            Self::Bitfit(_) => "bitfit",
            Self::LayerNorm(_) => "layer_norm",
            Self::Selective(_) => "selective",
            Self::Full => "full",
            Self::HeadOnly => "head_only",
        }
    }
}

/// Pairs of low rank beside products of the blocks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoraSpec {
    /// Rank of the pairs; 0 leaves a block alone.
    pub rank: BlockSizes,
    pub blocks: BlockChoice,
    /// Numerator of the factor on a pair's output.
    pub alpha: f64,
    /// What `alpha` is divided by.
    pub scaling: LoraScaling,
    /// Products that get a pair, in the order in which their parameters are laid out.
    pub targets: Vec<Projection>,
    /// Share of a pair's inputs that is dropped in training.
    pub dropout: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraScaling {
    /// alpha / rank (Hu et al. 2021).
    Rank,
    /// alpha / sqrt(rank): rsLoRA (Kalajdzievski 2023).
    RankRoot,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdaLoraSpec {
    /// Its ranks are those of the beginning.
    #[serde(flatten)]
    pub lora: LoraSpec,
    /// Mean rank of a pair at the end.
    pub target_rank: usize,
    /// Steps before ranks start to go.
    pub warmup_steps: u32,
    /// Step at which `target_rank` is reached.
    pub final_step: u32,
    /// Weight of the penalty on factors that are not orthogonal.
    pub orthogonality: f64,
}

/// Bottlenecks: down, a nonlinearity, up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterSpec {
    /// Width of the bottleneck; 0 leaves a block alone.
    pub bottleneck: BlockSizes,
    pub blocks: BlockChoice,
    pub activation: AdapterActivation,
    /// Factor on the adapter's output.
    pub adapter_scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterPlacement {
    /// After attention and after the feed-forward layer (Houlsby et al. 2019).
    Houlsby,
    /// After the feed-forward layer (Pfeiffer et al. 2021).
    Pfeiffer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterActivation {
    Gelu,
    GeluTanh,
    Silu,
    Relu,
}

/// Some of the model's own parameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SelectiveSpec {
    pub blocks: BlockChoice,
    /// Whether the embedding and the norms outside the blocks take part.
    pub outside_blocks: bool,
}

/// A size, one for every chosen block or one a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BlockSizes {
    Uniform(usize),
    PerBlock { blocks: Vec<usize> },
}

impl BlockSizes {
    /// The size in each of a model's `blocks` blocks: 0 in those that are not `chosen`.
    pub fn per_block(&self, chosen: &BlockChoice, blocks: usize) -> Vec<usize> {
        match self {
            Self::Uniform(size) => chosen.per_block(blocks).iter().map(|yes| if *yes { *size } else { 0 }).collect(),
            Self::PerBlock { blocks } => blocks.clone(),
        }
    }
}

/// Which blocks a method works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockChoice {
    All,
    /// The lowest so many.
    First(usize),
    /// The highest so many.
    Last(usize),
    /// These, in ascending order; the lowest is 0.
    Listed(Vec<usize>),
}

impl BlockChoice {
    /// Whether each of a model's `blocks` blocks is chosen.
    pub fn per_block(&self, blocks: usize) -> Vec<bool> {
        let chosen = |i: usize| match self {
            Self::All => true,
            Self::First(n) => i < *n,
            Self::Last(n) => i + n >= blocks,
            Self::Listed(list) => list.contains(&i),
        };
        (0..blocks).map(chosen).collect()
    }
}

impl Serialize for BlockChoice {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => s.serialize_str("all"),
            Self::First(n) => s.collect_map([("first", n)]),
            Self::Last(n) => s.collect_map([("last", n)]),
            Self::Listed(list) => list.serialize(s),
        }
    }
}
