//! The scenario's PEFT methods in the terms of the cost model.

use crate::fomo::{Architecture, PeftShape};
use crate::scenario::{AdapterPlacement, AdapterSpec, LoraSpec, PeftMethod, PeftSpec};

/// What all methods of the scenario together add and train.
pub(super) fn peft_shape(peft: &PeftSpec, architecture: &Architecture) -> PeftShape {
    let shapes = peft.methods().map(|method| match dropout_of(method, architecture) {
        Some(dropout) => shape_of(method, architecture).combine(dropout),
        None => shape_of(method, architecture),
    });
    shapes.reduce(PeftShape::combine).unwrap_or_else(|| PeftShape::head_only(architecture))
}

fn dropout_of(method: &PeftMethod, a: &Architecture) -> Option<PeftShape> {
    let lora = match method {
        PeftMethod::Lora(lora) | PeftMethod::Dora(lora) => lora,
        PeftMethod::AdaLora(ada) => &ada.lora,
        _ => return None,
    };
    let ranks = lora.rank.per_block(&lora.blocks, a.blocks());
    (lora.dropout > 0.0).then(|| PeftShape::low_rank_dropout(a, &ranks, &lora.targets))
}

fn shape_of(method: &PeftMethod, a: &Architecture) -> PeftShape {
    let blocks = a.blocks();
    let ranks = |lora: &LoraSpec| lora.rank.per_block(&lora.blocks, blocks);
    let widths = |adapter: &AdapterSpec| adapter.bottleneck.per_block(&adapter.blocks, blocks);
    match method {
        PeftMethod::Lora(lora) => PeftShape::lora(a, &ranks(lora), &lora.targets),
        PeftMethod::Dora(lora) => PeftShape::dora(a, &ranks(lora), &lora.targets),
        PeftMethod::AdaLora(ada) => PeftShape::ada_lora(a, &ranks(&ada.lora), &ada.lora.targets),
        PeftMethod::Adapter { placement, bottleneck } => {
            PeftShape::adapters(a, &widths(bottleneck), *placement == AdapterPlacement::Houlsby)
        }
        PeftMethod::ParallelAdapter(bottleneck) => PeftShape::parallel_adapters(a, &widths(bottleneck)),
        PeftMethod::Prefix { tokens, blocks: chosen } => PeftShape::prefix(a, &tokens.per_block(chosen, blocks)),
        PeftMethod::Prompt { tokens } => PeftShape::prompt(a, *tokens),
        PeftMethod::Ia3 { blocks: chosen } => PeftShape::ia3(a, &chosen.per_block(blocks)),
        PeftMethod::Bitfit(own) => PeftShape::biases(a, &own.blocks.per_block(blocks), own.outside_blocks),
        PeftMethod::LayerNorm(own) => PeftShape::norms(a, &own.blocks.per_block(blocks), own.outside_blocks),
        PeftMethod::Selective(own) => PeftShape::weights(a, &own.blocks.per_block(blocks), own.outside_blocks),
        PeftMethod::Full => PeftShape::full(a),
        PeftMethod::HeadOnly => PeftShape::head_only(a),
    }
}
