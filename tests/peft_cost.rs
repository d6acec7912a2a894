//! What each PEFT method adds to the cost of a model: parameters by the papers' formulas, operations and memory by hand.

use deft::backend::Activation;
use deft::compute::{Precision, Work};
use deft::data::Objective;
use deft::fomo::{
    ADAMW_BYTES_PER_PARAMETER, Architecture, BatchShape, Family, ModelCost, Part, PeftShape, Projection, Task, preset,
    preset_names,
};
use deft::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, ParameterLayout,
    PeftMethod, PrefixConfig, PromptConfig, Selection, SelectiveConfig,
};
use deft::scenario::ScenarioSource;
use deft::world::Demand;

const TWO_CLASSES: Task = Task::Classification { classes: 2 };
const HEAD: u64 = 2 * (768 + 1);

fn model(name: &str) -> Architecture {
    preset(name).unwrap_or_else(|| panic!("no preset {name}"))
}

fn cost(a: &Architecture, task: Task, peft: &PeftShape) -> ModelCost {
    ModelCost::new(a, task, Precision::Fp32, Precision::Fp32, peft).unwrap()
}

/// Trainable parameters of BERT-base under `peft`, two classes, head included.
fn bert_parameters(peft: &PeftShape) -> u64 {
    let cost = cost(&model("bert-base"), TWO_CLASSES, peft);
    cost.segment_trainable_parameters(&cost.whole())
}

const QUERY_VALUE: [Projection; 2] = [Projection::Query, Projection::Value];

/// Hidden 768, FFN 3072, 12 blocks.
#[test]
fn parameters_of_bert_base_follow_from_the_papers_formulas() {
    let a = model("bert-base");
    let (l, h, f) = (12, 768, 3072);
    let (all, ranks) = (vec![true; l], |r| vec![r; l]);
    let blocks = l as u64;
    for (method, peft, expected) in [
        ("head", PeftShape::head_only(&a), 0),
        // Hu et al. 2021, section 4.2: 2 x L x d x r for L adapted matrices.
        ("lora", PeftShape::lora(&a, &ranks(8), &QUERY_VALUE), 2 * (2 * blocks) * h * 8),
        // Liu et al. 2024, section 4.1: one magnitude an output more.
        ("dora", PeftShape::dora(&a, &ranks(8), &QUERY_VALUE), 2 * blocks * (2 * h * 8 + h)),
        // Zhang et al. 2023, equation 3: P, Lambda, Q.
        ("ada_lora", PeftShape::ada_lora(&a, &ranks(12), &QUERY_VALUE), 2 * blocks * (2 * h * 12 + 12)),
        // Houlsby et al. 2019, section 2.1: 2md + d + m an adapter, two a layer.
        ("houlsby", PeftShape::adapters(&a, &ranks(64), true), blocks * 2 * (2 * 64 * h + h + 64)),
        // Pfeiffer et al. 2021; He et al. 2022: one a layer.
        ("pfeiffer", PeftShape::adapters(&a, &ranks(64), false), blocks * (2 * 64 * h + h + 64)),
        // Li and Liang 2021, section 4.2, without the re-parametrisation: |P| x keys and values.
        ("prefix", PeftShape::prefix(&a, &ranks(10)), blocks * 2 * 10 * h),
        // Lester et al. 2021, section 2: p x e.
        ("prompt", PeftShape::prompt(&a, 10), 10 * h),
        // Liu et al. 2022, section 3.3: L (d_k + d_v + d_ff).
        ("ia3", PeftShape::ia3(&a, &all), blocks * (h + h + f)),
        // Ben Zaken et al. 2022, section 3: b_q, b_k, b_v, b_m1, b_m2, b_m3 and the two b_LN, and the embedding's b_LN.
        ("bitfit", PeftShape::biases(&a, &all, true), blocks * (3 * h + h + f + h + 2 * h) + h),
        ("bitfit, blocks", PeftShape::biases(&a, &all, false), blocks * (3 * h + h + f + h + 2 * h)),
        ("layer_norm", PeftShape::norms(&a, &all, true), blocks * 4 * h + 2 * h),
        ("selective", PeftShape::weights(&a, &[vec![false; 10], vec![true; 2]].concat(), false), 2 * 7_087_872),
        // The published total without the pooler and the second token type.
        ("full", PeftShape::full(&a), 109_482_240 - (h * h + h) - h),
    ] {
        assert_eq!(bert_parameters(&peft), expected + HEAD, "{method}");
    }
}

/// T5-small, hidden and heads 512, FFN 2048, 6 + 6 blocks: decoder blocks have two attentions.
#[test]
fn decoder_blocks_of_t5_count_both_attentions() {
    let a = model("t5-small");
    let (n, every) = (12, vec![true; 12]);
    let blocks = |peft: &PeftShape| [peft.blocks[0].trainable, peft.blocks[11].trainable];
    assert_eq!(blocks(&PeftShape::lora(&a, &vec![4; n], &QUERY_VALUE)), [2 * 4 * 1024, 4 * 4 * 1024]);
    assert_eq!(blocks(&PeftShape::adapters(&a, &vec![8; n], true)), [2, 3].map(|k| k * (2 * 8 * 512 + 8 + 512)));
    assert_eq!(blocks(&PeftShape::adapters(&a, &vec![8; n], false)), [1, 1].map(|k| k * (2 * 8 * 512 + 8 + 512)));
    assert_eq!(blocks(&PeftShape::prefix(&a, &vec![5; n])), [2 * 5 * 512; 2]);
    // Liu et al. 2022, section 3.3: 2 d_k + 2 d_v + d_ff in a decoder.
    assert_eq!(blocks(&PeftShape::ia3(&a, &every)), [2 * 512 + 2048, 4 * 512 + 2048]);
    assert_eq!(blocks(&PeftShape::norms(&a, &every, false)), [2 * 512, 3 * 512]);
    assert_eq!(blocks(&PeftShape::biases(&a, &every, true)), [0, 0]);
    // The tied matrix counts once, the two tables of relative positions, 32 buckets of 8 heads, in the first block of each stack.
    let full = cost(&a, Task::LanguageModel, &PeftShape::full(&a));
    assert_eq!(full.segment_trainable_parameters(&full.whole()), 60_506_624);
    assert_eq!(full.trainable_parameters(Part::Head), 512);
}

/// T5-small, 8 heads, tables of 32 buckets: each block of a stack reads the gradients of its scores once more.
#[test]
fn every_block_of_a_stack_adds_to_its_relative_positions() {
    let (a, batch) = (model("t5-small"), BatchShape::from_length_pairs([(20, 3), (54, 9)]));
    let blocks = vec![true; 12];
    let [with, without] =
        [true, false].map(|outside| cost(&a, Task::LanguageModel, &PeftShape::weights(&a, &blocks, outside)));
    let table = (32 * 8 * 4) as f64;
    let scores = |block: usize| if block < 6 { 20 * 20 + 54 * 54 } else { 3 * 3 + 9 * 9 };
    for (block, part) in (0..12).map(|i| (i, Part::Block(i))) {
        let extra = |fused: bool| {
            let back = |cost: &ModelCost| cost.clone().with_attention_fused(fused).backward(part, &batch, true, true);
            let (more, less) = (back(&with), back(&without));
            (more.flops - less.flops, more.bytes - less.bytes, more.kernels - less.kernels)
        };
        assert_eq!(extra(false), (0.0, table + f64::from(8 * 4 * scores(block)), 1), "block {block}");
        assert_eq!(extra(true), (0.0, table, 1), "block {block}, fused");
        let held = with.trainable_parameters(part) - without.trainable_parameters(part);
        // The encoder's last block ends with the encoder's norm.
        assert_eq!(held, [(0, 256), (5, 512), (6, 256)].iter().find(|(i, _)| *i == block).map_or(0, |(_, n)| *n));
    }
    // Who trains the first block of a stack trains the table, with what all blocks of the stack add; who trains another does
    // not.
    let summed = |block| table + f64::from(8 * 4 * scores(block));
    for (lowest, added) in [(6, (7..12).map(summed).sum()), (7, 0.0)] {
        let lowest = Part::Block(lowest);
        let back = |part| with.backward(part, &batch, part > lowest, part == lowest || part == Part::Head).bytes;
        let parts: f64 = with.parts().filter(|part| *part >= lowest).map(back).sum();
        assert_eq!(with.backward_down_to(lowest, &batch).bytes - parts, added, "down to {lowest:?}");
    }
    // A frozen device side keeps the table of a stack that it starts.
    let frozen = |split| {
        let cost = cost(&a, Task::LanguageModel, &PeftShape::full(&a).frozen_below(split));
        let back = |block| cost.backward(Part::Block(block), &batch, true, true).bytes;
        (5..7).map(|block| back(block) - without.backward(Part::Block(block), &batch, true, true).bytes).collect()
    };
    let found: Vec<f64> = frozen(3);
    assert_eq!(found, [0.0, summed(6)]);
}

#[test]
fn an_output_matrix_of_its_own_counts_in_the_head() {
    let (tied, own) = (model("smollm2-135m"), model("tinyllama-1.1b"));
    let full = |a: &Architecture| {
        let cost = cost(a, Task::LanguageModel, &PeftShape::full(a));
        (cost.segment_trainable_parameters(&cost.whole()), cost.trainable_parameters(Part::Head))
    };
    assert_eq!(full(&tied), (134_515_008, 576));
    assert_eq!(full(&own), (1_100_048_384, 2048 + 32_000 * 2048));
    // Without a matrix to train, a language model's head trains nothing.
    let lora = cost(&own, Task::LanguageModel, &PeftShape::lora(&own, &[8; 22], &QUERY_VALUE));
    assert_eq!(lora.trainable_parameters(Part::Head), 0);
    let regression = cost(&own, Task::Regression, &PeftShape::head_only(&own));
    assert_eq!(regression.trainable_parameters(Part::Head), 2048 + 1);
}

/// The methods that each row of a table of `PeftShape`s stands for, with `outside` for those that know it.
fn methods(a: &Architecture) -> Vec<(PeftShape, Vec<PeftMethod>)> {
    let n = a.blocks();
    let sizes: Vec<usize> = (0..n).map(|i| [0, 3, 8][i % 3]).collect();
    let some: Vec<bool> = (0..n).map(|i| i % 2 == 1).collect();
    let targets: Vec<Projection> = Projection::of(a).collect();
    let lora = |variant| {
        let (rank_per_block, targets) = (sizes.clone(), targets.clone());
        let (alpha, scaling, dropout) = (16.0, LoraScaling::Rank, 0.0);
        PeftMethod::Lora(LoraConfig { rank_per_block, alpha, targets, scaling, dropout, variant })
    };
    let ranks = AdaptiveRanks { target_rank: 2, warmup_steps: 0, final_step: 9, orthogonality: 0.5 };
    let adapter = |placement| {
        let (bottleneck_per_block, activation) = (sizes.clone(), Activation::Relu);
        PeftMethod::Adapter(AdapterConfig { bottleneck_per_block, placement, activation, scale: 1.0 })
    };
    let prefix = PeftMethod::Prefix(PrefixConfig { tokens_per_block: sizes.clone() });
    let mut rows = vec![
        (PeftShape::head_only(a), vec![]),
        (PeftShape::lora(a, &sizes, &targets), vec![lora(LoraVariant::Plain)]),
        (PeftShape::dora(a, &sizes, &targets), vec![lora(LoraVariant::Dora)]),
        (PeftShape::ada_lora(a, &sizes, &targets), vec![lora(LoraVariant::Adaptive(ranks))]),
        (PeftShape::adapters(a, &sizes, true), vec![adapter(AdapterPlacement::Houlsby)]),
        (PeftShape::adapters(a, &sizes, false), vec![adapter(AdapterPlacement::Pfeiffer)]),
        (PeftShape::adapters(a, &sizes, false), vec![adapter(AdapterPlacement::Parallel)]),
        (PeftShape::prefix(a, &sizes), vec![prefix.clone()]),
        (PeftShape::prompt(a, 7), vec![PeftMethod::Prompt(PromptConfig { tokens: 7 })]),
        (PeftShape::ia3(a, &some), vec![PeftMethod::Ia3(Ia3Config { blocks: some.clone() })]),
        (
            PeftShape::prefix(a, &sizes).combine(PeftShape::adapters(a, &sizes, false)),
            vec![prefix, adapter(AdapterPlacement::Parallel)],
        ),
    ];
    for (blocks, outside) in [(&some, false), (&some, true), (&vec![true; n], true)] {
        let own =
            |selection| vec![PeftMethod::Selective(SelectiveConfig { selection, blocks: blocks.clone(), outside })];
        if a.family.has_biases() {
            rows.push((PeftShape::biases(a, blocks, outside), own(Selection::Biases)));
        }
        rows.push((PeftShape::norms(a, blocks, outside), own(Selection::Norms)));
        rows.push((PeftShape::weights(a, blocks, outside), own(Selection::Everything)));
    }
    rows
}

/// What is trained is what is charged: every method, every preset, every objective, both sides of every cut.
#[test]
fn parameters_are_those_of_the_learning_plane() {
    let mut compared = 0;
    for name in preset_names() {
        let a = model(name);
        for (task, objective) in [
            (Task::Classification { classes: 3 }, Objective::Classification { classes: 3 }),
            (Task::Regression, Objective::Regression),
            (Task::LanguageModel, Objective::NextToken),
        ] {
            for (shape, methods) in methods(&a) {
                // Not every family answers every objective.
                let Ok(layout) = ParameterLayout::new(&a, &methods, objective) else { continue };
                let cost = cost(&a, task, &shape);
                let whole = cost.segment_trainable_parameters(&cost.whole());
                assert_eq!(whole, layout.len() as u64, "{name} {task:?} {methods:?}");
                for split in 0..=a.blocks() {
                    let trained: usize = layout.device_side(split).into_iter().map(|r| r.len()).sum();
                    let charged = cost.segment_trainable_parameters(&cost.device_side(split));
                    assert_eq!(charged, trained as u64, "{name} {task:?} {methods:?} at {split}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 700, "{compared}");
}

/// Four sequences of 64 through MiniLM: hidden 384, FFN 1536.
#[test]
fn forward_passes_of_minilm_by_hand() {
    let a = model("minilm-l6");
    let batch = BatchShape::uniform(4, 64);
    let block = |peft: &PeftShape| cost(&a, TWO_CLASSES, peft).forward(Part::Block(3), &batch).flops;
    let frozen = block(&PeftShape::head_only(&a));
    let lora = 256.0 * f64::from(2 * 2 * 8 * (384 + 384));
    for (method, peft, added) in [
        ("lora", PeftShape::lora(&a, &[8; 6], &QUERY_VALUE), lora),
        // The norms of the rows of W + B A take the product B A.
        ("dora", PeftShape::dora(&a, &[8; 6], &QUERY_VALUE), lora + f64::from(2 * 2 * 8 * 384 * 384)),
        ("ada_lora", PeftShape::ada_lora(&a, &[8; 6], &QUERY_VALUE), lora),
        ("houlsby", PeftShape::adapters(&a, &[16; 6], true), 256.0 * f64::from(2 * 4 * 384 * 16)),
        ("pfeiffer", PeftShape::adapters(&a, &[16; 6], false), 256.0 * f64::from(4 * 384 * 16)),
        // Each of 256 queries meets 10 more keys, in both products of attention.
        ("prefix", PeftShape::prefix(&a, &[10; 6]), f64::from(2 * 2 * 256 * 10 * 384)),
        ("ia3", PeftShape::ia3(&a, &[true; 6]), 0.0),
        ("bitfit", PeftShape::biases(&a, &[true; 6], true), 0.0),
        ("full", PeftShape::full(&a), 0.0),
    ] {
        assert_eq!(block(&peft) - frozen, added, "{method}");
    }
}

/// A prompt of 10 is a batch of sequences 10 longer, except that it is nothing to label or to predict.
#[test]
fn a_prompt_makes_every_sequence_longer() {
    let (a, decoder, t5) = (model("minilm-l6"), model("gpt2"), model("t5-small"));
    let (batch, longer) = (BatchShape::from_lengths([20, 54]), BatchShape::from_lengths([30, 64]));
    let [prompted, plain] = [PeftShape::prompt(&a, 10), PeftShape::head_only(&a)].map(|p| cost(&a, TWO_CLASSES, &p));
    assert_eq!(prompted.forward(Part::Block(2), &batch), plain.forward(Part::Block(2), &longer));
    assert_eq!(prompted.boundary_bytes(2, &batch), plain.boundary_bytes(2, &longer));
    assert_eq!(prompted.label_bytes(&batch), plain.label_bytes(&batch));
    assert_eq!(prompted.lowest_trainable(), Some(Part::Embedding));
    assert!(prompted.gradient_crosses(0));
    // Every block passes a gradient on and stores what that takes, as a frozen one does above a trained one.
    let above = cost(&a, TWO_CLASSES, &PeftShape::lora(&a, &[8, 0, 0, 0, 0, 0], &QUERY_VALUE));
    for block in (1..6).map(Part::Block) {
        assert_eq!(prompted.backward(block, &batch, true, true), above.backward(block, &longer, true, true));
        let stored = [(&prompted, &batch), (&above, &longer)].map(|(c, b)| c.stored_activation_bytes(block, b));
        assert!(stored[0] > 0 && stored[0] == stored[1]);
    }
    assert!(prompted.needs_input_gradient(Part::Block(0)) && !above.needs_input_gradient(Part::Block(0)));

    let [prompted, plain] = [PeftShape::prompt(&decoder, 10), PeftShape::head_only(&decoder)]
        .map(|p| cost(&decoder, Task::LanguageModel, &p).forward(Part::Head, &batch).flops);
    assert_eq!(prompted, plain);

    let pairs = BatchShape::from_length_pairs([(20, 3), (54, 9)]);
    let [prompted, plain] =
        [PeftShape::prompt(&t5, 10), PeftShape::head_only(&t5)].map(|p| cost(&t5, Task::LanguageModel, &p));
    let longer = BatchShape::from_length_pairs([(30, 3), (64, 9)]);
    for block in [Part::Block(0), Part::Block(9)] {
        assert_eq!(prompted.forward(block, &pairs), plain.forward(block, &longer));
    }
}

/// Biases, norms and factors: gradients are sums, so that a block costs no more products than a frozen one that passes a
/// gradient on; and nothing is kept for products with weights.
#[test]
fn vectors_train_without_products() {
    let a = model("bert-base");
    let batch = BatchShape::uniform(8, 32);
    let all = [true; 12];
    let lora = cost(&a, TWO_CLASSES, &PeftShape::lora(&a, &[&[4][..], &[0; 11]].concat(), &QUERY_VALUE));
    let passing_on = lora.backward(Part::Block(5), &batch, true, true);
    for peft in [PeftShape::biases(&a, &all, false), PeftShape::norms(&a, &all, false), PeftShape::ia3(&a, &all)] {
        let cost = cost(&a, TWO_CLASSES, &peft);
        let backward = cost.backward(Part::Block(5), &batch, true, true);
        assert_eq!(backward.flops, passing_on.flops);
        assert!(backward.bytes > passing_on.bytes);
        let factors: u64 = if peft.blocks[5].added > 0 { 8 * 32 * (2 * 768 + 3072) * 4 } else { 0 };
        let stored = [&cost, &lora].map(|c| c.stored_activation_bytes(Part::Block(5), &batch));
        assert_eq!(stored[0], stored[1] + factors);
    }
}

#[test]
fn several_methods_cost_what_they_cost_alone() {
    let a = model("t5-small");
    let batch = BatchShape::from_length_pairs([(17, 5), (9, 3)]);
    let shapes = [
        PeftShape::head_only(&a),
        PeftShape::dora(&a, &[4; 12], &[Projection::Key, Projection::FfnDown]),
        PeftShape::adapters(&a, &[8; 12], true),
        PeftShape::ia3(&a, &[true; 12]),
        PeftShape::norms(&a, &[true; 12], true),
    ];
    let all = shapes.iter().cloned().reduce(PeftShape::combine).unwrap();
    let [alone, together] = [&shapes[0], &all].map(|p| cost(&a, Task::LanguageModel, p));
    for part in together.parts() {
        let one_by_one = |measure: &dyn Fn(&ModelCost) -> f64| -> f64 {
            let base = measure(&alone);
            base + shapes.iter().map(|p| measure(&cost(&a, Task::LanguageModel, p)) - base).sum::<f64>()
        };
        let measures: [&dyn Fn(&ModelCost) -> f64; 3] =
            [&|c| c.trainable_parameters(part) as f64, &|c| c.forward(part, &batch).flops, &|c| {
                c.weight_bytes(part) as f64
            }];
        for measure in measures {
            assert_eq!(measure(&together), one_by_one(measure), "{part:?}");
        }
    }
}

/// Malladi et al. 2023, section 2.1: the memory of inference, at the price of two forward passes a step.
#[test]
fn zeroth_order_steps_are_two_forward_passes_in_the_memory_of_one() {
    let a = model("bert-large");
    let batch = BatchShape::uniform(8, 128);
    let cost = cost(&a, TWO_CLASSES, &PeftShape::full(&a));
    let whole = cost.whole();
    let step = cost.segment_zeroth_order_step(&whole, &batch);
    let Work { flops, bytes, .. } = cost.segment_forward(&whole, &batch);
    assert_eq!(step.flops, 2.0 * flops);
    let parameters = cost.segment_trainable_parameters(&whole) as f64;
    assert_eq!(step.bytes, 2.0 * bytes + 4.0 * 8.0 * parameters);
    let training = cost.training_memory_bytes(&whole, &batch, ADAMW_BYTES_PER_PARAMETER);
    assert!(training > 5 * cost.inference_memory_bytes(&whole, &batch));
}

#[test]
fn images_have_biases_and_norms_of_their_own_outside_the_blocks() {
    let a = model("vit-b-16");
    assert_eq!(a.family, Family::Vit);
    let none = vec![false; 12];
    let outside = |peft: &PeftShape| (peft.embedding_trainable, peft.final_norm_trainable);
    assert_eq!(outside(&PeftShape::biases(&a, &none, true)), (768, 768));
    assert_eq!(outside(&PeftShape::norms(&a, &none, true)), (0, 2 * 768));
    // Patches, class token, positions.
    assert_eq!(outside(&PeftShape::weights(&a, &none, true)), (3 * 256 * 768 + 768 + 768 + 197 * 768, 2 * 768));
}

/// What MiniLM demands under `peft` and `training`, with two of four devices a round and three local steps.
fn demand(peft: &str, training: &str) -> Demand {
    let text = format!(
        "name: d\nmodel: {{architecture: minilm-l6, precision: fp32}}\npeft: {peft}\ntraining: {training}\n\
         technique: {{kind: federated, local_steps: 3, devices_per_round: 2}}\n\
         devices: [{{name: phone, count: 4, hardware: snapdragon_8_gen_3}}]\n"
    );
    let scenario = ScenarioSource::from_text("demand", text).resolve().unwrap_or_else(|e| panic!("{e}"));
    Demand::new(&scenario, &model("minilm-l6")).unwrap()
}

/// Hidden 384, FFN 1536, 6 blocks, a head of 2 x 385.
#[test]
fn methods_of_a_scenario_reach_the_cost_model() {
    for (peft, expected) in [
        ("{method: lora, rank: 4, blocks: {last: 2}, targets: [ffn_up]}", 2 * 4 * (384 + 1536)),
        ("{method: dora, rank: {blocks: [0, 0, 0, 0, 0, 4]}, targets: [key]}", 4 * 768 + 384),
        ("{method: ada_lora, rank: 6, blocks: [2], targets: [value]}", 6 * 768 + 6),
        ("{method: adapter, bottleneck: 8, blocks: {first: 1}}", 2 * (2 * 8 * 384 + 8 + 384)),
        ("{method: adapter, placement: pfeiffer, bottleneck: 8, blocks: [0]}", 2 * 8 * 384 + 8 + 384),
        ("{method: parallel_adapter, bottleneck: 8, blocks: [0]}", 2 * 8 * 384 + 8 + 384),
        ("{method: prefix, tokens: 5}", 6 * 2 * 5 * 384),
        ("{method: prompt, tokens: 5}", 5 * 384),
        ("{method: ia3, blocks: [0, 1]}", 2 * (2 * 384 + 1536)),
        ("{method: bitfit, blocks: [3]}", 7 * 384 + 1536),
        ("{method: layer_norm, outside_blocks: true}", 6 * 4 * 384 + 2 * 384),
        ("{method: selective, blocks: {last: 1}}", 1_774_464),
        ("{method: full}", 22_713_216 - (384 * 384 + 384) - 384),
        ("{method: head_only}", 0),
        ("{method: prefix, tokens: 5, combine_with: [{method: bitfit}, {method: prompt, tokens: 2}]}", {
            6 * 2 * 5 * 384 + 6 * (7 * 384 + 1536) + 2 * 384
        }),
    ] {
        assert_eq!(demand(peft, "none").parameters(), expected + 2 * 385, "{peft}");
    }
}

#[test]
fn optimizers_decide_memory_and_what_crosses_the_air() {
    let peft = "{method: lora, rank: 4}";
    let of = |optimizer: &str| demand(peft, &format!("{{dataset: movie, optimizer: {optimizer}}}"));
    let [adamw, momentum, sgd, zeroth] =
        ["{kind: adamw}", "{kind: sgd, momentum: 0.9}", "{kind: sgd}", "{kind: zeroth_order}"].map(of);
    let parameters = 6 * 2 * 4 * 768 + 770;
    let memory = |d: &Demand| d.device_memory_bytes(d.nominal_batch());
    assert_eq!(memory(&adamw) - memory(&momentum), 4 * parameters);
    assert_eq!(memory(&momentum) - memory(&sgd), 4 * parameters);
    assert!(memory(&zeroth) < memory(&sgd));
    assert_eq!([adamw.update_up_bytes(), adamw.update_down_bytes()], [4 * parameters; 2]);
    // A scalar a step; those of both devices of a round.
    assert_eq!([zeroth.update_up_bytes(), zeroth.update_down_bytes()], [4 * 3, 4 * 3 * 2]);
    assert_eq!([adamw.server_update_bytes(), zeroth.server_update_bytes()], [4 * parameters, 4 * 3 * 2]);
    let whole = adamw.cost().whole();
    let flops = |d: &Demand| d.step(&whole, d.nominal_batch()).iter().map(|w| w.flops).sum::<f64>();
    assert_eq!(flops(&zeroth), 2.0 * adamw.forward(&whole, adamw.nominal_batch()).flops);
    assert_eq!(flops(&sgd), flops(&adamw));
}

/// What nothing computes costs as much as what is computed.
#[test]
fn an_emulated_optimizer_costs_what_the_real_one_does() {
    for (word, map) in [
        ("adamw", "{kind: adamw}"),
        ("sgd", "{kind: sgd}"),
        ("sgd_momentum", "{kind: sgd, momentum: 0.9}"),
        ("zeroth_order", "{kind: zeroth_order}"),
    ] {
        let dropout = if word == "zeroth_order" { 0.0 } else { 0.1 };
        let peft = &format!("{{method: lora, rank: 4, dropout: {dropout}}}");
        let emulated = demand(peft, &format!("none\nworkload: {{optimizer: {word}}}"));
        let trained = demand(peft, &format!("{{dataset: movie, optimizer: {map}}}"));
        let whole = trained.cost().whole();
        let of = |d: &Demand| {
            let batch = d.nominal_batch();
            (d.device_memory_bytes(batch), d.update_up_bytes(), d.update_down_bytes(), d.step(&whole, batch))
        };
        assert_eq!(of(&emulated), of(&trained), "{word}");
    }
}

/// Reads the inputs of a pair and writes what is left, forward and in both gradients.
#[test]
fn dropout_is_memory_traffic_of_each_pair() {
    let tokens = 16 * 64;
    let once = (6 * 2 * tokens * 2 * 384 * 4) as f64;
    let step = |dropout: f64| {
        let demand = demand(&format!("{{method: lora, dropout: {dropout}}}"), "none");
        demand.step(&demand.cost().whole(), demand.nominal_batch())
    };
    let (kept, dropped) = (step(0.0), step(0.1));
    for (phase, gradients) in [(0, 1.0), (1, 2.0)] {
        assert_eq!(dropped[phase].flops, kept[phase].flops);
        assert_eq!(dropped[phase].bytes, kept[phase].bytes + gradients * once);
        assert_eq!(f64::from(dropped[phase].kernels), f64::from(kept[phase].kernels) + gradients * 12.0);
    }
    // Pairs at the decoder's cross-attention read its own rows and the encoder's.
    let a = model("t5-small");
    let dropout = PeftShape::low_rank_dropout(&a, &[4; 12], &[Projection::Query, Projection::Value]);
    let elements = |i: usize| (dropout.blocks[i].per_token.elements, dropout.blocks[i].per_source_token.elements);
    assert_eq!([elements(0), elements(6)], [(4 * 512, 0), (6 * 512, 2 * 512)]);
}
