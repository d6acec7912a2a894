//! The steps that are timed: families, widths, methods and batches that span what a phone or a small server trains. Steps that train
//! all weights are not among them: the learning plane packs a client's own matrices anew for each product, which is the work of
//! this program and not of a machine.

use crate::backend::Activation;
use crate::data::Objective;
use crate::fomo::{Architecture, PeftShape, Projection, Task, preset};
use crate::nn::{AdapterConfig, AdapterPlacement, LoraConfig, LoraScaling, LoraVariant, PeftMethod};

/// A vocabulary that costs no memory: tables are read, not multiplied.
const VOCABULARY: usize = 512;

pub(super) struct Shape {
    pub name: String,
    pub architecture: Architecture,
    pub methods: Vec<PeftMethod>,
    pub peft: PeftShape,
    pub objective: Objective,
    pub sequences: usize,
    pub tokens: usize,
}

/// What is trained in every block.
#[derive(Clone, Copy)]
enum Tuned {
    /// Ranks beside query and value.
    Lora(usize),
    /// Widths of one bottleneck a block.
    Adapter(usize),
}

impl Shape {
    pub fn task(&self) -> Task {
        Task::Classification { classes: 2 }
    }

    /// `preset` with `blocks` blocks.
    fn new(of: &str, blocks: usize, tuned: Tuned, sequences: usize, tokens: usize) -> Self {
        let published = preset(of).expect("a preset of this program");
        let (encoder_layers, decoder_layers) = if published.encoder_layers > 0 { (blocks, 0) } else { (0, blocks) };
        let a = Architecture { encoder_layers, decoder_layers, vocabulary: VOCABULARY, ..published };
        let (what, method, peft) = match tuned {
            Tuned::Lora(rank) => {
                let (rank_per_block, targets) = (vec![rank; blocks], vec![Projection::Query, Projection::Value]);
                let peft = PeftShape::lora(&a, &rank_per_block, &targets);
                let (alpha, scaling, dropout, variant) = (16.0, LoraScaling::Rank, 0.0, LoraVariant::Plain);
                let config = LoraConfig { rank_per_block, alpha, targets, scaling, dropout, variant };
                (format!("LoRA of rank {rank}"), PeftMethod::Lora(config), peft)
            }
            Tuned::Adapter(width) => {
                let (bottleneck_per_block, placement) = (vec![width; blocks], AdapterPlacement::Pfeiffer);
                let peft = PeftShape::adapters(&a, &bottleneck_per_block, false);
                let config =
                    AdapterConfig { bottleneck_per_block, placement, activation: Activation::Gelu, scale: 1.0 };
                (format!("adapters of {width}"), PeftMethod::Adapter(config), peft)
            }
        };
        let name = format!("{of}, {blocks} blocks, {what}, {sequences} x {tokens} tokens");
        let objective = Objective::Classification { classes: 2 };
        Self { name, architecture: a, methods: vec![method], peft, objective, sequences, tokens }
    }
}

pub(super) fn fitted_on() -> Vec<Shape> {
    vec![
        Shape::new("minilm-l6", 6, Tuned::Lora(8), 1, 16),
        Shape::new("minilm-l6", 6, Tuned::Lora(8), 16, 32),
        Shape::new("minilm-l6", 3, Tuned::Lora(4), 8, 128),
        Shape::new("minilm-l6", 2, Tuned::Adapter(32), 8, 64),
        Shape::new("smollm2-135m", 3, Tuned::Lora(8), 8, 64),
        Shape::new("bert-base", 2, Tuned::Lora(8), 8, 64),
        Shape::new("bert-base", 2, Tuned::Adapter(64), 2, 128),
        Shape::new("gpt2", 1, Tuned::Adapter(16), 4, 64),
    ]
}

/// Other families, widths, depths, methods and batches than [`fitted_on`].
pub(super) fn held_out() -> Vec<Shape> {
    vec![
        Shape::new("minilm-l6", 6, Tuned::Lora(8), 16, 64),
        Shape::new("minilm-l6", 4, Tuned::Adapter(16), 4, 48),
        Shape::new("roberta-base", 3, Tuned::Lora(4), 4, 96),
        Shape::new("gpt2", 2, Tuned::Lora(16), 4, 64),
        Shape::new("smollm2-135m", 2, Tuned::Adapter(8), 4, 40),
        Shape::new("bert-large", 1, Tuned::Lora(8), 8, 32),
    ]
}
