//! Methods that `tiny::methods` leaves out: DoRA, dropout, and more of what may stand together.

use crate::tiny::{architecture, lora, methods};
use deft::backend::Activation;
use deft::fomo::Family;
use deft::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraVariant, PeftMethod, PrefixConfig,
    Projection, Selection, SelectiveConfig,
};

pub type Named = (&'static str, Vec<PeftMethod>);

pub const ADAPTIVE: LoraVariant =
    LoraVariant::Adaptive(AdaptiveRanks { target_rank: 1, warmup_steps: 1, final_step: 9, orthogonality: 0.0 });

/// `tiny::methods` and the variants in blocks of different sizes.
pub fn every_method(family: Family) -> Vec<Named> {
    let sizes = [2, 0, 3, 1];
    [methods(family), variants(family, &sizes[..architecture(family).blocks()])].concat()
}

/// Low rank terms on all projections of every block.
pub fn everywhere(family: Family, variant: LoraVariant, dropout: f64) -> PeftMethod {
    let architecture = architecture(family);
    let all: Vec<Projection> = Projection::of(&architecture).collect();
    PeftMethod::Lora(LoraConfig { variant, dropout, ..lora(&vec![2; architecture.blocks()], &all) })
}

/// 2 in the last block, 0 below.
pub fn last_block_alone(family: Family) -> Vec<usize> {
    let blocks = architecture(family).blocks();
    (0..blocks).map(|b| if b + 1 == blocks { 2 } else { 0 }).collect()
}

/// DoRA, dropout and combinations with ranks, bottlenecks and prefixes of `sizes`; 0 leaves a block as it is.
pub fn variants(family: Family, sizes: &[usize]) -> Vec<Named> {
    let all: Vec<Projection> = Projection::of(&architecture(family)).collect();
    let on = |targets: &[Projection], variant, dropout| {
        PeftMethod::Lora(LoraConfig { variant, dropout, ..lora(sizes, targets) })
    };
    let some = [Projection::Query, Projection::Value];
    let [dora, plain] = [LoraVariant::Dora, LoraVariant::Plain];
    let mut variants = vec![
        ("dora", vec![on(&all, dora, 0.0)]),
        ("dora of queries and values", vec![on(&some, dora, 0.0)]),
        ("dora with dropout", vec![on(&all, dora, 0.3)]),
        ("lora with dropout", vec![on(&all, plain, 0.3)]),
        ("adalora with dropout", vec![on(&all, ADAPTIVE, 0.3)]),
        ("norms and lora", vec![selective(Selection::Norms, sizes), on(&some, plain, 0.1)]),
        ("prefix and lora", vec![prefix(sizes), on(&all, plain, 0.1)]),
        ("ia3 and dora", vec![ia3(sizes), on(&all, dora, 0.0)]),
        (
            "houlsby and lora",
            vec![adapter(AdapterPlacement::Houlsby, sizes), on(&[Projection::FfnUp, Projection::FfnDown], plain, 0.0)],
        ),
        (
            "parallel adapter and lora",
            vec![adapter(AdapterPlacement::Parallel, sizes), on(&[Projection::FfnUp], plain, 0.0)],
        ),
    ];
    if !matches!(family, Family::Llama | Family::T5) {
        variants.push(("biases and dora", vec![selective(Selection::Biases, sizes), on(&all, dora, 0.0)]));
    }
    variants
}

/// Methods that `tiny::methods` has in many blocks, in those that `sizes` names.
pub fn single_methods(sizes: &[usize]) -> Vec<Named> {
    vec![
        ("houlsby", vec![adapter(AdapterPlacement::Houlsby, sizes)]),
        ("pfeiffer", vec![adapter(AdapterPlacement::Pfeiffer, sizes)]),
        ("parallel adapter", vec![adapter(AdapterPlacement::Parallel, sizes)]),
        ("prefix", vec![prefix(sizes)]),
        ("ia3", vec![ia3(sizes)]),
        ("norms", vec![selective(Selection::Norms, sizes)]),
    ]
}

fn adapter(placement: AdapterPlacement, sizes: &[usize]) -> PeftMethod {
    let bottleneck_per_block = sizes.to_vec();
    PeftMethod::Adapter(AdapterConfig { bottleneck_per_block, placement, activation: Activation::Gelu, scale: 0.7 })
}

fn prefix(sizes: &[usize]) -> PeftMethod {
    PeftMethod::Prefix(PrefixConfig { tokens_per_block: sizes.to_vec() })
}

fn ia3(sizes: &[usize]) -> PeftMethod {
    PeftMethod::Ia3(Ia3Config { blocks: chosen(sizes) })
}

fn selective(selection: Selection, sizes: &[usize]) -> PeftMethod {
    PeftMethod::Selective(SelectiveConfig { selection, blocks: chosen(sizes), outside: false })
}

fn chosen(sizes: &[usize]) -> Vec<bool> {
    sizes.iter().map(|&size| size > 0).collect()
}
