//! The model, the trainable parameters and the texts of every job.

use deft::backend::Backend;
use deft::data::{Dataset, Objective, PackedBatch, TokenizedDataset};
use deft::fomo::{Architecture, Projection, SafetensorsCheckpoint, vendored};
use deft::nn::{AdamW, LoraConfig, LoraScaling, LoraVariant, Model, Optimizer, ParameterLayout, PeftMethod};
use deft::random::Streams;
use std::path::{Path, PathBuf};

type Error = Box<dyn std::error::Error>;

/// As `MAX_TOKENS` of the peer: the longest text that the model was trained on.
const MAX_TOKENS: usize = 128;

const OBJECTIVE: Objective = Objective::Classification { classes: 2 };

pub const OPTIMISER: Optimizer = Optimizer::AdamW(AdamW {
    learning_rate: 1e-3,
    head_learning_rate: 1e-2,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
});

/// The f32 checkpoint in `$DEFT_MODELS` or `models/`; else the vendored int8 one, whose arithmetic is the same.
pub fn model<B: Backend>(backend: B) -> Result<(Model<B>, &'static str), Error> {
    let file = Path::new("minilm-f32").join("model.safetensors");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folders = std::env::var_os("DEFT_MODELS").map(PathBuf::from).into_iter().chain([beside]);
    let architecture = vendored::minilm().architecture()?;
    match folders.map(|folder| folder.join(&file)).find(|path| path.is_file()) {
        Some(path) => {
            let weights = SafetensorsCheckpoint::open(&path)?;
            Ok((Model::load(backend, &architecture, OBJECTIVE, &weights)?, "f32"))
        }
        None => {
            let weights = vendored::minilm().checkpoint()?;
            Ok((Model::load(backend, &architecture, OBJECTIVE, &weights)?, "int8 dequantised"))
        }
    }
}

/// LoRA of the given ranks and alpha 16 on the given products, and a head of two classes; how they start.
pub fn layout(
    architecture: &Architecture,
    ranks: Vec<usize>,
    targets: [Projection; 2],
) -> Result<(ParameterLayout, Vec<f32>), Error> {
    let lora = LoraConfig {
        rank_per_block: ranks,
        alpha: 16.0,
        targets: targets.to_vec(),
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant: LoraVariant::Plain,
    };
    let layout = ParameterLayout::new(architecture, &[PeftMethod::Lora(lora)], OBJECTIVE)?;
    let initial = layout.initial(&Streams::new(1, 0), &vendored::minilm().checkpoint()?)?;
    Ok((layout, initial))
}

/// The training half of the movie set.
pub fn movie_texts() -> Result<PackedBatch, Error> {
    let tokenizer = vendored::minilm().tokenizer()?;
    Ok(TokenizedDataset::new(&Dataset::vendored("movie")?, &tokenizer, MAX_TOKENS)?.train)
}

/// `sequences` equal texts of `tokens` made-up tokens.
pub fn equal_batch(sequences: usize, tokens: usize) -> PackedBatch {
    let ids: Vec<u32> = (0..(sequences * tokens) as u64).map(|i| 1000 + (split_mix(i) % 19_000) as u32).collect();
    PackedBatch::pack(ids.chunks_exact(tokens).enumerate().map(|(i, s)| (s, (i % 2) as u32)))
}

/// Numbers of the texts of whole batches of `size`, in the peer's order: by hash of the text's number.
pub fn shuffled(texts: &PackedBatch, size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..texts.sequences()).collect();
    order.sort_by_key(|&i| split_mix(i as u64));
    order.chunks_exact(size).map(<[usize]>::to_vec).collect()
}

/// Those batches.
pub fn shuffled_batches(texts: &PackedBatch, size: usize) -> Vec<PackedBatch> {
    shuffled(texts, size).iter().map(|chosen| texts.subset(chosen)).collect()
}

/// SplitMix64 of `index` (Steele et al. 2014), the generator that the peer can repeat in a few lines.
fn split_mix(index: u64) -> u64 {
    let mut z = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
