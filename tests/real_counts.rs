//! The cost model against the passes of the learning plane: FLOPs of products, part by part, and live memory.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/meter.rs"]
mod meter;
#[path = "gradients/tiny.rs"]
mod tiny;

use counting::{Counting, Counts};
use deft::compute::Precision;
use deft::data::{Objective, PackedBatch};
use deft::fomo::{Architecture, BatchShape, Family, ModelCost, Part, PeftShape, Task};
use deft::nn::{
    AdapterPlacement, Ia3Config, LoraConfig, LoraVariant, PeftMethod, Projection, Selection, SelectiveConfig, Share,
};
use meter::peak_of;
use tiny::{FAMILIES, architecture, batch, layout, lora, methods, model, objective, parameters};

/// The shape that the time plane charges for `methods`.
fn peft_shape(a: &Architecture, methods: &[PeftMethod]) -> PeftShape {
    let of = |method: &PeftMethod| match method {
        PeftMethod::Lora(c) => {
            let new = match c.variant {
                LoraVariant::Plain => PeftShape::lora,
                LoraVariant::Dora => PeftShape::dora,
                LoraVariant::Adaptive(_) => PeftShape::ada_lora,
            };
            new(a, &c.rank_per_block, &c.targets)
        }
        PeftMethod::Adapter(c) => match c.placement {
            AdapterPlacement::Parallel => PeftShape::parallel_adapters(a, &c.bottleneck_per_block),
            placement => PeftShape::adapters(a, &c.bottleneck_per_block, placement == AdapterPlacement::Houlsby),
        },
        PeftMethod::Prefix(c) => PeftShape::prefix(a, &c.tokens_per_block),
        PeftMethod::Prompt(c) => PeftShape::prompt(a, c.tokens),
        PeftMethod::Ia3(c) => PeftShape::ia3(a, &c.blocks),
        PeftMethod::Selective(c) => match c.selection {
            Selection::Biases => PeftShape::biases(a, &c.blocks, c.outside),
            Selection::Norms => PeftShape::norms(a, &c.blocks, c.outside),
            Selection::Everything => PeftShape::weights(a, &c.blocks, c.outside),
        },
    };
    methods.iter().map(of).fold(PeftShape::head_only(a), PeftShape::combine)
}

fn cost(a: &Architecture, family: Family, peft: &PeftShape) -> ModelCost {
    ModelCost::new(a, task(objective(family)), Precision::Fp32, Precision::Fp32, peft).expect("a shape of the model")
}

fn task(objective: Objective) -> Task {
    match objective {
        Objective::Classification { classes } => Task::Classification { classes },
        Objective::Regression => Task::Regression,
        Objective::NextToken => Task::LanguageModel,
    }
}

fn batch_shape(a: &Architecture, batch: &PackedBatch) -> BatchShape {
    let lengths = |offsets: &[usize]| offsets.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>();
    let mut encoder = lengths(&batch.offsets);
    if a.family == Family::Vit {
        // The class token.
        encoder.iter_mut().for_each(|len| *len += 1);
    }
    match &batch.decoder {
        Some(target) => BatchShape::from_length_pairs(encoder.into_iter().zip(lengths(&target.offsets))),
        None => BatchShape::from_lengths(encoder),
    }
}

/// Forward and backward counts of every part.
fn counted(family: Family, methods: &[PeftMethod], batch: &PackedBatch) -> Vec<(Part, Counts, Counts)> {
    let (model, layout) = (model(Counting::default(), family), layout(family, methods));
    let counter = model.backend();
    let parameters = parameters(&layout, 8);
    let mut pass = model.pass(&layout, &[Share::whole(&parameters, batch)], true);
    let blocks = architecture(family).blocks();
    counter.take();
    pass.embed();
    let mut forward = vec![(Part::Embedding, counter.take())];
    for i in 0..blocks {
        pass.forward_blocks(i..i + 1);
        forward.push((Part::Block(i), counter.take()));
    }
    // The head's forward pass alone, from a pass that keeps nothing.
    let mut backward = vec![];
    pass.classify();
    backward.push(counter.take());
    for i in (0..blocks).rev() {
        pass.backward_blocks(i..i + 1);
        backward.push(counter.take());
    }
    drop(pass);
    let mut pass = model.pass(&layout, &[Share::whole(&parameters, batch)], false);
    pass.embed();
    pass.forward_blocks(0..blocks);
    counter.take();
    pass.classify();
    let head = counter.take();
    backward[0].products -= head.products;
    forward.push((Part::Head, head));
    // The embedding's gradient came with block 0's.
    backward.push(Counts::default());
    backward.reverse();
    forward.into_iter().zip(backward).map(|((part, f), b)| (part, f, b)).collect()
}

/// Methods of [`methods`], and some that end at other stages of their lowest block.
fn all_methods(family: Family) -> Vec<(String, Vec<PeftMethod>)> {
    let a = architecture(family);
    let n = a.blocks();
    let mut all: Vec<(String, Vec<PeftMethod>)> =
        methods(family).into_iter().map(|(name, methods)| (name.to_owned(), methods)).collect();
    let upper: Vec<usize> = (0..n).map(|i| if i + 1 == n { 3 } else { 0 }).collect();
    for target in Projection::of(&a) {
        let config = lora(&upper, &[target]);
        all.push((format!("lora beside {} of the last block", target.name()), vec![PeftMethod::Lora(config)]));
    }
    let dora = LoraConfig { variant: LoraVariant::Dora, ..lora(&upper, &[Projection::Value, Projection::FfnUp]) };
    all.push(("dora of the last block".to_owned(), vec![PeftMethod::Lora(dora)]));
    let last: Vec<bool> = (0..n).map(|i| i + 1 == n).collect();
    all.push(("ia3 of the last block".to_owned(), vec![PeftMethod::Ia3(Ia3Config { blocks: last.clone() })]));
    for (name, selection) in [("norms", Selection::Norms), ("everything", Selection::Everything)] {
        let config = SelectiveConfig { selection, blocks: last.clone(), outside: false };
        all.push((format!("{name} of the last block"), vec![PeftMethod::Selective(config)]));
    }
    all
}

/// FLOPs of products, forward and backward, of every part, family and method: exactly those of the passes.
#[test]
fn flops_of_products_are_those_of_the_passes() {
    let mut compared = 0;
    for family in FAMILIES {
        let a = architecture(family);
        let batch = batch(family, &[2, 11, 4, 17], 5);
        let shape = batch_shape(&a, &batch);
        for (name, methods) in all_methods(family) {
            let peft = peft_shape(&a, &methods);
            let cost = cost(&a, family, &peft);
            for (part, forward, backward) in counted(family, &methods, &batch) {
                let what = format!("{family:?}, {name}, {part:?}");
                let charged = cost.forward(part, &shape).flops;
                let mut charged_back = cost.backward(part, &shape, cost.needs_input_gradient(part), true).flops;
                // The model has logits of every token. Passes skip the last of each text, which predicts nothing.
                let predicted = match (part, family) {
                    (Part::Head, Family::Gpt2 | Family::Llama) => {
                        (shape.tokens - shape.sequences) as f64 / shape.tokens as f64
                    }
                    _ => 1.0,
                };
                if part == Part::Embedding {
                    // Passes run it together with block 0.
                    charged_back = 0.0;
                } else if part == Part::Block(0) {
                    let embedding = cost.needs_input_gradient(part);
                    charged_back += cost.backward(Part::Embedding, &shape, false, embedding).flops;
                }
                assert_eq!(forward.products, charged * predicted, "{what}, forward");
                assert_eq!(backward.products, charged_back * predicted, "{what}, backward");
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

mod memory {
    use super::*;
    use deft::backend::{Activation, Cpu};
    use deft::nn::{AdapterConfig, AdaptiveRanks, Model, ParameterLayout, PrefixConfig, PromptConfig};

    /// Deep and wide enough that activations are what memory goes to.
    fn deeper(family: Family) -> Architecture {
        let a = architecture(family);
        let (encoder_layers, decoder_layers) = match family {
            Family::Gpt2 | Family::Llama => (0, 6),
            Family::T5 => (4, 4),
            _ => (6, 0),
        };
        let kv_heads = if family == Family::Llama { 2 } else { 4 };
        Architecture { encoder_layers, decoder_layers, hidden: 64, heads: 4, kv_heads, head_dim: 16, ffn: 256, ..a }
    }

    fn methods(a: &Architecture) -> Vec<(&'static str, PeftMethod)> {
        let n = a.blocks();
        let all: Vec<Projection> = Projection::of(a).collect();
        let lora =
            |targets: &[Projection], variant| PeftMethod::Lora(LoraConfig { variant, ..lora(&vec![4; n], targets) });
        let adapter = |placement| {
            let (bottleneck_per_block, activation) = (vec![8; n], Activation::Gelu);
            PeftMethod::Adapter(AdapterConfig { bottleneck_per_block, placement, activation, scale: 1.0 })
        };
        let own = |selection, blocks: Vec<bool>, outside| {
            PeftMethod::Selective(SelectiveConfig { selection, blocks, outside })
        };
        let ranks = AdaptiveRanks { target_rank: 2, warmup_steps: 0, final_step: 9, orthogonality: 0.5 };
        let every = vec![true; n];
        let upper: Vec<bool> = (0..n).map(|i| 2 * i >= n).collect();
        let mut methods = vec![
            ("lora", lora(&[Projection::Query, Projection::Value], LoraVariant::Plain)),
            ("lora everywhere", lora(&all, LoraVariant::Plain)),
            ("dora", lora(&[Projection::Query, Projection::Value], LoraVariant::Dora)),
            ("ada_lora", lora(&[Projection::Query, Projection::Value], LoraVariant::Adaptive(ranks))),
            ("houlsby", adapter(AdapterPlacement::Houlsby)),
            ("pfeiffer", adapter(AdapterPlacement::Pfeiffer)),
            ("parallel", adapter(AdapterPlacement::Parallel)),
            ("prefix", PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![4; n] })),
            ("prompt", PeftMethod::Prompt(PromptConfig { tokens: 4 })),
            ("ia3", PeftMethod::Ia3(Ia3Config { blocks: every.clone() })),
            ("norms", own(Selection::Norms, every.clone(), true)),
            ("upper half", own(Selection::Everything, upper, false)),
            ("full", own(Selection::Everything, every.clone(), true)),
        ];
        if matches!(a.family, Family::Bert | Family::Roberta | Family::Gpt2 | Family::Vit) {
            methods.push(("bitfit", own(Selection::Biases, every, true)));
        }
        methods
    }

    /// Most bytes that a training pass of the CPU backend holds, parameters and their gradients aside.
    fn held(a: &Architecture, method: &PeftMethod, batch: &PackedBatch) -> u64 {
        let (objective, methods) = (objective(a.family), std::slice::from_ref(method));
        let model = || Model::load(Cpu::<f32>::new(), a, objective, &tiny::MadeUp).expect("a model");
        let layout = ParameterLayout::new(a, methods, objective).expect("a method of the family");
        let parameters = parameters(&layout, 8);
        let share = [Share::whole(&parameters, batch)];
        let run = |model: &Model<Cpu<f32>>| {
            let mut pass = model.pass(&layout, &share, true);
            pass.embed();
            pass.forward_blocks(0..a.blocks());
            pass.classify();
            pass.backward_blocks(0..a.blocks());
        };
        // Kernels keep working memory of their own from the first time on, whatever the model.
        run(&model());
        let fresh = model();
        peak_of(|| run(&fresh)).1 as u64 - 2 * 4 * layout.len() as u64
    }

    /// Peak activation memory of fused attention, every family and method: within a tenth of what the CPU backend holds.
    #[test]
    fn peak_memory_is_that_of_the_passes() {
        let mut worst: f64 = 0.0;
        for family in FAMILIES {
            let a = deeper(family);
            let lengths: &[usize] = if family == Family::Vit { &[9; 12] } else { &[40, 24, 33, 48] };
            let batch = batch(family, lengths, 5);
            let shape = batch_shape(&a, &batch);
            for (name, method) in methods(&a) {
                let cost = cost(&a, family, &peft_shape(&a, std::slice::from_ref(&method))).with_attention_fused(true);
                let whole = cost.whole();
                let fixed = cost.segment_weight_bytes(&whole) + 4 * cost.segment_trainable_parameters(&whole);
                let charged = (cost.training_memory_bytes(&whole, &shape, 0) - fixed) as f64;
                let measured = held(&a, &method, &batch) as f64;
                let error = charged / measured - 1.0;
                println!("{family:?}, {name}: {:.2} MB, charged {:+.1}%", measured / 1e6, error * 100.0);
                assert!(error.abs() < 0.1, "{family:?}, {name}: {measured} bytes, {charged} charged");
                worst = worst.max(error.abs());
            }
        }
        println!("worst {:.1}%", worst * 100.0);
    }
}
