//! The cost model against published totals, counts by hand and laws of scaling.

use deft::compute::{Precision, Work, profile};
use deft::fomo::{
    ADAMW_BYTES_PER_PARAMETER, Architecture, BatchShape, BlockPeft, Family, FomoError, ModelCost, Part, PeftShape,
    Projection, Task, preset, preset_names,
};

const TWO_CLASSES: Task = Task::Classification { classes: 2 };

fn model(name: &str) -> Architecture {
    preset(name).unwrap_or_else(|| panic!("no preset {name}"))
}

fn lora(a: &Architecture, rank: usize) -> PeftShape {
    PeftShape::lora(a, &vec![rank; a.blocks()], &[Projection::Query, Projection::Value])
}

fn cost(a: &Architecture, task: Task, peft: &PeftShape) -> ModelCost {
    ModelCost::new(a, task, Precision::Fp16, Precision::Fp16, peft).unwrap()
}

/// Every preset with each task that it has.
fn presets_and_tasks() -> impl Iterator<Item = (Architecture, Task)> {
    preset_names().into_iter().flat_map(|name| {
        let a = model(name);
        let tasks = if a.vocabulary > 0 { vec![TWO_CLASSES, Task::LanguageModel] } else { vec![TWO_CLASSES] };
        tasks.into_iter().map(move |task| (a.clone(), task))
    })
}

fn batch_for(a: &Architecture) -> BatchShape {
    match a.family {
        Family::T5 => BatchShape::from_length_pairs([(17, 5), (9, 3)]),
        Family::Vit => BatchShape::uniform(2, a.image_tokens().unwrap()),
        _ => BatchShape::from_lengths([17, 9, 30]),
    }
}

/// Totals of the published checkpoints: BERT, RoBERTa and MiniLM with pooler and without masked-token head; language
/// models with tied matrices counted once; ViT with the 1000-class classifier.
#[test]
fn parameters_match_the_published_checkpoints() {
    for (name, total) in [
        ("minilm-l6", 22_713_216),
        ("bert-base", 109_482_240),
        ("bert-large", 335_141_888),
        ("roberta-base", 124_645_632),
        ("roberta-large", 355_359_744),
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
        ("smollm2-135m", 134_515_008),
        ("tinyllama-1.1b", 1_100_048_384),
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-7b", 6_738_415_616),
        ("llama2-7b", 6_738_415_616),
        ("llama-3-8b", 8_030_261_248),
        ("t5-small", 60_506_624),
        ("t5-base", 222_903_552),
        ("t5-large", 737_668_096),
        ("t5-3b", 2_851_598_336),
        ("t5-11b", 11_307_321_344),
        ("vit-b-16", 86_567_656),
        ("vit-l-16", 304_326_632),
        ("vit-h-14", 632_045_800),
    ] {
        assert_eq!(model(name).parameters(), total, "{name}");
    }
    assert_eq!(model("bert-base").block_parameters(0), 7_087_872);
    assert_eq!(model("gpt2").block_parameters(11), 7_087_872);
    assert_eq!(model("t5-small").block_parameters(0) - model("t5-small").block_parameters(1), 32 * 8);
}

/// MiniLM, 4 sequences of 64: each of 6 blocks multiplies 256 rows with 384 x 1152, 384 x 384, 384 x 1536 and
/// 1536 x 384 weights, and 12 heads make two products of 64 x 64 x 32 a sequence.
#[test]
fn minilm_forward_by_hand() {
    let a = model("minilm-l6");
    let cost = cost(&a, TWO_CLASSES, &PeftShape::head_only(&a));
    let batch = BatchShape::uniform(4, 64);
    let weights = 2.0 * 256.0 * f64::from(384 * 1152 + 384 * 384 + 2 * 384 * 1536);
    let attention = f64::from(4 * 12 * 2 * (2 * 64 * 64 * 32));
    assert_eq!(cost.forward(Part::Block(3), &batch).flops, weights + attention);
    assert_eq!(cost.forward(Part::Head, &batch).flops, f64::from(2 * 4 * 384 * 2));
    assert_eq!(cost.forward(Part::Embedding, &batch).flops, 0.0);
    let per_token = 6.0 * weights / 256.0;
    assert_eq!(per_token, 21_233_664.0);
    let whole = cost.segment_forward(&cost.whole(), &batch).flops / 256.0;
    assert_eq!(whole, per_token + 6.0 * attention / 256.0 + 24.0);
}

/// LoRA r=8 beside query and value of every block: the weights' products once more for input gradients, except the
/// query-key-value product of block 0, below which nothing trains; attention twice; LoRA and head twice.
#[test]
fn minilm_lora_step_by_hand() {
    let a = model("minilm-l6");
    let peft = lora(&a, 8);
    assert_eq!(peft.blocks[0].trainable, 2 * 8 * (384 + 384));
    let cost = cost(&a, TWO_CLASSES, &peft);
    let batch = BatchShape::uniform(4, 64);
    let attention = 6.0 * 2.0 * 2.0 * 64.0 * 384.0;
    let lora_flops = 6.0 * 2.0 * f64::from(2 * 8 * (384 + 384));
    let head = 24.0;
    let forward = 21_233_664.0 + attention + lora_flops + head;
    // Nor does anybody need the gradient of what the lowest pairs read.
    let lowest_inputs = 2.0 * f64::from(2 * 8 * 384);
    let lora_back = 2.0 * lora_flops - lowest_inputs;
    let backward = 21_233_664.0 - 2.0 * 384.0 * 1152.0 + 2.0 * attention + lora_back + 2.0 * head;
    let whole = cost.whole();
    assert_eq!(cost.segment_forward(&whole, &batch).flops, 256.0 * forward);
    assert_eq!(cost.segment_backward(&whole, &batch).flops, 256.0 * backward);
    let weights_only = forward + backward - 3.0 * attention;
    assert!((weights_only / 43e6 - 1.0).abs() < 0.03, "{weights_only}");
}

/// Kaplan et al. 2020, table 1: a forward pass takes 2 FLOPs a token and weight, plus attention.
#[test]
fn blocks_cost_two_flops_a_token_and_weight_plus_attention() {
    for name in preset_names() {
        let a = model(name);
        let cost = cost(&a, TWO_CLASSES, &PeftShape::head_only(&a));
        let batch = batch_for(&a);
        let (h, q, k) = (a.hidden as u64, (a.heads * a.head_dim) as u64, (a.kv_heads * a.head_dim) as u64);
        let ffn = (if a.gated_ffn { 3 } else { 2 }) * h * a.ffn as u64;
        let own = 2 * h * q + 2 * h * k;
        for i in 0..a.blocks() {
            let expected = if a.family == Family::T5 && i >= a.encoder_layers {
                let cross = 2 * h * q * batch.decoder_tokens + 2 * h * k * batch.tokens;
                2 * (batch.decoder_tokens * (own + ffn) + cross)
                    + 4 * q * (batch.decoder_squared_tokens + batch.cross_tokens)
            } else {
                2 * batch.tokens * (own + ffn) + 4 * q * batch.squared_tokens
            };
            assert_eq!(cost.forward(Part::Block(i), &batch).flops, expected as f64, "{name} block {i}");
        }
    }
}

#[test]
fn costs_double_with_sequences_and_attention_quadruples_with_length() {
    for (a, task) in presets_and_tasks() {
        let cost = cost(&a, task, &lora(&a, 4));
        let pair = |n, length| BatchShape::uniform_pairs(n, length, if a.family == Family::T5 { length } else { 0 });
        let (one, two, long) = (pair(1, 197), pair(2, 197), pair(1, 394));
        for i in 0..a.blocks() {
            for f in [
                &|b: &BatchShape| cost.forward(Part::Block(i), b).flops,
                &|b: &BatchShape| cost.backward(Part::Block(i), b, true, true).flops,
                &|b: &BatchShape| cost.stored_activation_bytes(Part::Block(i), b) as f64,
            ] as [&dyn Fn(&BatchShape) -> f64; 3]
            {
                assert_eq!(f(&two), 2.0 * f(&one), "{} block {i}", a.name);
                let (linear, quadratic) = (2.0 * f(&one), 4.0 * f(&one));
                assert!(linear < f(&long) && f(&long) < quadratic, "{} block {i}", a.name);
            }
        }
        // Second differences isolate the quadratic part: attention's two products, forward.
        let block = |b: &BatchShape| cost.forward(Part::Block(0), b).flops;
        let quadratic = (block(&pair(1, 300)) - 2.0 * block(&pair(1, 200)) + block(&pair(1, 100))) / 2.0;
        assert_eq!(quadratic, 4.0 * (a.heads * a.head_dim) as f64 * 100.0 * 100.0, "{}", a.name);
    }
}

fn sum(parts: [Work; 2]) -> Work {
    parts.into_iter().sum()
}

#[test]
fn device_and_edge_add_up_to_the_whole_at_every_split() {
    for (a, task) in presets_and_tasks() {
        let batch = batch_for(&a);
        for peft in [PeftShape::head_only(&a), lora(&a, 8), PeftShape::full(&a)] {
            let cost = cost(&a, task, &peft);
            let whole = cost.whole();
            let tied_twice = a.tied_output && task == Task::LanguageModel;
            let second_copy = if tied_twice { (a.vocabulary * a.hidden * 2) as u64 } else { 0 };
            for split in 0..=cost.blocks() {
                let sides = [cost.device_side(split), cost.edge_side(split)];
                let forward = sides.each_ref().map(|s| cost.segment_forward(s, &batch));
                assert_eq!(sum(forward), cost.segment_forward(&whole, &batch), "{} at {split}", a.name);
                let backward = sides.each_ref().map(|s| cost.segment_backward(s, &batch));
                assert_eq!(sum(backward), cost.segment_backward(&whole, &batch), "{} at {split}", a.name);
                let weights: u64 = sides.iter().map(|s| cost.segment_weight_bytes(s)).sum();
                assert_eq!(weights, cost.segment_weight_bytes(&whole) + second_copy, "{} at {split}", a.name);
                let trainable: u64 = sides.iter().map(|s| cost.segment_trainable_parameters(s)).sum();
                assert_eq!(trainable, cost.segment_trainable_parameters(&whole), "{} at {split}", a.name);
            }
        }
    }
}

#[test]
fn full_fine_tuning_costs_three_forward_passes() {
    for (a, task) in presets_and_tasks() {
        let cost = cost(&a, task, &PeftShape::full(&a));
        let (batch, whole) = (batch_for(&a), cost.whole());
        let forward = cost.segment_forward(&whole, &batch).flops;
        // Image patches have no gradient.
        let patches = cost.forward(Part::Embedding, &batch).flops;
        assert_eq!(cost.segment_backward(&whole, &batch).flops, 2.0 * forward - patches, "{}", a.name);
    }
}

#[test]
fn below_the_lowest_trainable_parameter_there_is_no_backward() {
    let a = model("minilm-l6");
    let ranks = [0, 0, 0, 8, 8, 8];
    let cost = cost(&a, TWO_CLASSES, &PeftShape::lora(&a, &ranks, &[Projection::Query]));
    let batch = BatchShape::uniform(4, 64);
    assert_eq!(cost.lowest_trainable(), Some(Part::Block(3)));
    assert_eq!(cost.segment_backward(&cost.device_side(3), &batch), Work::default());
    assert!(cost.segment_backward(&cost.device_side(4), &batch).flops > 0.0);
    assert!(!cost.gradient_crosses(3) && cost.gradient_crosses(4));
    for i in 0..3 {
        assert_eq!(cost.stored_activation_bytes(Part::Block(i), &batch), 0);
    }
    assert!(cost.stored_activation_bytes(Part::Block(3), &batch) > 0);
    let lowest = cost.backward(Part::Block(3), &batch, cost.needs_input_gradient(Part::Block(3)), true);
    let next = cost.backward(Part::Block(4), &batch, cost.needs_input_gradient(Part::Block(4)), true);
    assert_eq!(next.flops - lowest.flops, f64::from(2 * 256 * 384 * (1152 + 8)));
    let frozen = cost.backward(Part::Block(4), &batch, true, false);
    let pair = 2.0 * 256.0 * f64::from(8 * (384 + 384));
    assert_eq!(next.flops - frozen.flops, pair);
}

/// Korthikanti et al. 2022, equation 1, is s b h (34 + 5 a s / h) bytes in 16 bits. Without dropout 2 s b h of masks
/// and, of the scores' 5, the softmax's input, its mask and its output after dropout are not kept: 32 + 2 a s / h.
#[test]
fn activations_of_a_block_match_the_published_formula() {
    let a = model("gpt2");
    let (s, b, h, heads) = (1024, 2, 768, 12);
    let batch = BatchShape::uniform(b, s);
    let stored = |peft: &PeftShape| cost(&a, Task::LanguageModel, peft).stored_activation_bytes(Part::Block(4), &batch);
    let scores = (2 * heads * s * s * b) as u64;
    assert_eq!(stored(&PeftShape::full(&a)), (32 * s * b * h) as u64 + scores);
    // Frozen weights need no inputs of their products: norms 2 h, query, key, value 3 h and GELU 4 h are left.
    let mut top_only = PeftShape::head_only(&a);
    top_only.blocks[3] = BlockPeft { trainable: 1, ..BlockPeft::default() };
    assert_eq!(stored(&top_only), (18 * s * b * h) as u64 + scores);
    assert_eq!(stored(&PeftShape::head_only(&a)), 0);
    // LoRA beside query and value keeps one input of h and two products of the rank.
    assert_eq!(stored(&lora(&a, 8)), ((18 * h + 2 * (h + 16)) * s * b) as u64 + scores);
}

#[test]
fn smashed_data_and_labels() {
    let minilm = model("minilm-l6");
    let fp32 = ModelCost::new(&minilm, TWO_CLASSES, Precision::Int8, Precision::Fp32, &lora(&minilm, 8)).unwrap();
    let batch = BatchShape::from_lengths([10, 20]);
    for split in 0..=6 {
        assert_eq!(fp32.boundary_bytes(split, &batch), 30 * 384 * 4);
    }
    assert_eq!(fp32.label_bytes(&batch), 8);

    let t5 = model("t5-small");
    let pairs = BatchShape::from_length_pairs([(10, 2), (20, 5)]);
    let t5_cost = cost(&t5, Task::LanguageModel, &lora(&t5, 8));
    let vectors = [0, 5, 6, 7, 11, 12].map(|split| t5_cost.boundary_bytes(split, &pairs) / (512 * 2));
    assert_eq!(vectors, [30, 30, 30, 37, 37, 7]);
    assert_eq!(t5_cost.label_bytes(&pairs), 4 * 7);
    // Without decoder lengths, one start token a sequence.
    let encoder_only = BatchShape::from_lengths([10, 20]);
    assert_eq!(t5_cost.boundary_bytes(12, &encoder_only), 2 * 512 * 2);
    let one_token = BatchShape::from_length_pairs([(10, 1), (20, 1)]);
    let block = Part::Block(8);
    assert_eq!(t5_cost.forward(block, &encoder_only), t5_cost.forward(block, &one_token));
}

#[test]
fn memory_orders_methods_and_says_what_fits_where() {
    let a = model("llama-7b");
    let batch = BatchShape::uniform(1, 512);
    let need = |peft: &PeftShape| {
        let cost = cost(&a, Task::LanguageModel, peft);
        cost.training_memory_bytes(&cost.whole(), &batch, ADAMW_BYTES_PER_PARAMETER)
    };
    // A language model has no head of its own: this trains nothing.
    let frozen = PeftShape::head_only(&a);
    let lora = lora(&a, 8);
    let (nothing, some, all) = (need(&frozen), need(&lora), need(&PeftShape::full(&a)));
    assert!(nothing < some && some < all);
    let inference = cost(&a, Task::LanguageModel, &frozen);
    assert_eq!(inference.inference_memory_bytes(&inference.whole(), &batch), nothing);
    // 6.74 G parameters in 16 bits; full fine-tuning adds 12 bytes each.
    assert!((13.47e9..14.0e9).contains(&(nothing as f64)), "{nothing}");
    assert!(all as f64 > 14.0 * 6.7e9, "{all}");
    let (phone, gpu) = (profile("snapdragon_8_gen_3").unwrap(), profile("nvidia_a100_80gb").unwrap());
    assert!(phone.check_memory(some, 0.5).is_err() && gpu.check_memory(some, 0.5).is_ok());
    assert!(gpu.check_memory(all, 1.0).is_err());
    let split = cost(&a, Task::LanguageModel, &lora);
    let device = split.training_memory_bytes(&split.device_side(4), &batch, ADAMW_BYTES_PER_PARAMETER);
    assert!(phone.check_memory(device, 0.5).is_ok(), "{device}");
}

#[test]
fn int8_weights_take_a_quarter_of_the_memory_and_leave_flops_alone() {
    let a = model("minilm-l6");
    let make = |weights| ModelCost::new(&a, TWO_CLASSES, weights, Precision::Fp32, &PeftShape::head_only(&a)).unwrap();
    let (fp32, int8) = (make(Precision::Fp32), make(Precision::Int8));
    let batch = BatchShape::uniform(2, 32);
    for part in fp32.parts() {
        assert_eq!(fp32.weight_bytes(part), 4 * int8.weight_bytes(part));
        assert_eq!(fp32.forward(part, &batch).flops, int8.forward(part, &batch).flops);
        assert!(fp32.forward(part, &batch).bytes >= int8.forward(part, &batch).bytes);
    }
}

#[test]
fn impossible_demands_are_refused() {
    let (minilm, vit) = (model("minilm-l6"), model("vit-b-16"));
    let new =
        |a: &Architecture, task, peft: &PeftShape| ModelCost::new(a, task, Precision::Fp32, Precision::Fp32, peft);
    let wrong = new(&minilm, TWO_CLASSES, &PeftShape::head_only(&vit)).unwrap_err();
    assert_eq!(wrong, FomoError::PeftBlocks { model: "minilm-l6".into(), blocks: 6, described: 12 });
    let no_words = new(&vit, Task::LanguageModel, &PeftShape::head_only(&vit)).unwrap_err();
    assert!(no_words.to_string().contains("vit-b-16"));
    assert!(new(&vit, Task::Classification { classes: 0 }, &PeftShape::head_only(&vit)).is_err());
}
