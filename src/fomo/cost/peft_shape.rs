//! What a PEFT method adds and trains, in plain numbers.

use crate::fomo::architecture::Architecture;
use crate::fomo::projection::Projection;

/// What PEFT does to one block. All zero leaves the block frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockPeft {
    /// Parameters that train, added or the block's own.
    pub trainable: u64,
    /// Parameters that come on top of the block's own.
    pub added: u64,
    /// FLOPs of the added products, forward, a token of the block.
    pub flops_per_token: f64,
    /// FLOPs of the added products, forward, a token of the encoder's output that a decoder block attends to.
    pub flops_per_source_token: f64,
    /// Numbers a token that training the added parameters keeps for backward.
    pub stored_per_token: u64,
    /// Added operations.
    pub kernels: u32,
    /// Whether the block's own weight matrices train, so that each needs a second product backward.
    pub trains_weights: bool,
}

/// What PEFT does to a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeftShape {
    /// One entry a block.
    pub blocks: Vec<BlockPeft>,
    /// Trainable parameters of the embedding, or before it (soft prompts, biases).
    pub embedding_trainable: u64,
    /// Whether the head trains.
    pub head_trains: bool,
}

impl PeftShape {
    /// Every block frozen, the head trained.
    pub fn head_only(architecture: &Architecture) -> Self {
        Self { blocks: vec![BlockPeft::default(); architecture.blocks()], embedding_trainable: 0, head_trains: true }
    }

    /// Everything trained, nothing added.
    pub fn full(architecture: &Architecture) -> Self {
        let own =
            |i| BlockPeft { trainable: architecture.block_parameters(i), trains_weights: true, ..BlockPeft::default() };
        Self {
            blocks: (0..architecture.blocks()).map(own).collect(),
            embedding_trainable: architecture.embedding_parameters(),
            head_trains: true,
        }
    }

    /// LoRA of `ranks[i]` in block i (0 leaves it alone) beside `targets`, and a trained head (Hu et al. 2021).
    ///
    /// A pair beside a product of `inputs` x `outputs` has rank x (inputs + outputs) parameters, each used in one
    /// multiply-add a token. Attention targets of a decoder block stand beside its cross-attention too.
    pub fn lora(architecture: &Architecture, ranks: &[usize], targets: &[Projection]) -> Self {
        let block = |(i, rank): (usize, &usize)| lora_block(architecture, i, *rank as u64, targets);
        Self { blocks: ranks.iter().enumerate().map(block).collect(), embedding_trainable: 0, head_trains: true }
    }
}

fn lora_block(a: &Architecture, index: usize, rank: u64, targets: &[Projection]) -> BlockPeft {
    let mut block = BlockPeft::default();
    if rank == 0 {
        return block;
    }
    // Inputs that the pairs read are kept once each, however many pairs read them.
    let mut kept_inputs = Vec::new();
    for &target in targets {
        let (inputs, outputs) = target.shape(a);
        let pair = rank * (inputs + outputs) as u64;
        let in_attention = !matches!(target, Projection::FfnUp | Projection::FfnDown);
        let crosses = in_attention && a.has_cross_attention(index);
        let pairs = if crosses { 2 } else { 1 };
        block.added += pairs * pair;
        block.kernels += 2 * pairs as u32;
        block.flops_per_token += (2 * pair) as f64;
        block.stored_per_token += rank * pairs;
        if crosses && matches!(target, Projection::Key | Projection::Value) {
            block.flops_per_source_token += (2 * pair) as f64;
        } else if crosses {
            block.flops_per_token += (2 * pair) as f64;
        }
        let input = match target {
            Projection::Query | Projection::Key | Projection::Value => Projection::Query,
            other => other,
        };
        if !kept_inputs.contains(&input) {
            kept_inputs.push(input);
            block.stored_per_token += inputs as u64 * pairs;
        }
    }
    block.trainable = block.added;
    block
}
