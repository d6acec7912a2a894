//! What is trained: counts, names, places and starting values of every family under every method.

use deft::backend::Activation;
use deft::data::Objective;
use deft::fomo::{Architecture, CheckpointError, Family, Projection, TensorSource, preset};
use deft::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Group, Ia3Config, LoraConfig, LoraScaling, LoraVariant, Lowest,
    Owner, ParameterLayout, PeftMethod, PrefixConfig, PromptConfig, Selection, SelectiveConfig,
};
use deft::random::Streams;
use std::collections::BTreeSet;

const PRESETS: [&str; 8] =
    ["minilm-l6", "bert-base", "roberta-base", "gpt2", "smollm2-135m", "tinyllama-1.1b", "t5-small", "vit-b-16"];
const HEAD: Objective = Objective::Classification { classes: 2 };

fn model(name: &str) -> Architecture {
    preset(name).expect("a preset")
}

/// The objective that the family answers, and how many parameters its own head adds.
fn objective(architecture: &Architecture) -> (Objective, usize) {
    if architecture.family == Family::T5 { (Objective::NextToken, 0) } else { (HEAD, 2 * architecture.hidden + 2) }
}

fn layout(architecture: &Architecture, methods: &[PeftMethod]) -> ParameterLayout {
    ParameterLayout::new(architecture, methods, objective(architecture).0).expect("methods that fit")
}

/// Trainable parameters without those of the head.
fn count(architecture: &Architecture, method: PeftMethod) -> usize {
    layout(architecture, &[method]).len() - objective(architecture).1
}

fn lora_config(architecture: &Architecture, rank: usize, targets: &[Projection]) -> LoraConfig {
    LoraConfig {
        rank_per_block: vec![rank; architecture.blocks()],
        alpha: 16.0,
        targets: targets.to_vec(),
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant: LoraVariant::Plain,
    }
}

fn variant(architecture: &Architecture, variant: LoraVariant) -> PeftMethod {
    let targets: Vec<_> = Projection::of(architecture).collect();
    PeftMethod::Lora(LoraConfig { variant, ..lora_config(architecture, 4, &targets) })
}

fn adapter(architecture: &Architecture, placement: AdapterPlacement, bottleneck: usize) -> PeftMethod {
    let bottleneck_per_block = vec![bottleneck; architecture.blocks()];
    PeftMethod::Adapter(AdapterConfig { bottleneck_per_block, placement, activation: Activation::Gelu, scale: 1.0 })
}

fn selective(architecture: &Architecture, selection: Selection, outside: bool) -> PeftMethod {
    PeftMethod::Selective(SelectiveConfig { selection, blocks: vec![true; architecture.blocks()], outside })
}

const ADAPTIVE: AdaptiveRanks = AdaptiveRanks { target_rank: 2, warmup_steps: 5, final_step: 20, orthogonality: 0.1 };

/// Every method that the architecture takes.
fn methods(a: &Architecture) -> Vec<PeftMethod> {
    let mut methods = vec![
        variant(a, LoraVariant::Plain),
        variant(a, LoraVariant::Dora),
        variant(a, LoraVariant::Adaptive(ADAPTIVE)),
        adapter(a, AdapterPlacement::Houlsby, 3),
        adapter(a, AdapterPlacement::Pfeiffer, 3),
        adapter(a, AdapterPlacement::Parallel, 3),
        PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![3; a.blocks()] }),
        PeftMethod::Prompt(PromptConfig { tokens: 4 }),
        PeftMethod::Ia3(Ia3Config { blocks: vec![true; a.blocks()] }),
        selective(a, Selection::Norms, true),
        selective(a, Selection::Everything, true),
    ];
    if !matches!(a.family, Family::Llama | Family::T5) {
        methods.push(selective(a, Selection::Biases, true));
    }
    methods
}

#[test]
fn published_counts() {
    use Projection::{Query, Value};
    let bert = model("bert-base");
    // Hu et al. 2021, table 2: 0.3 M for RoBERTa-base with rank 8 on queries and values.
    let roberta = model("roberta-base");
    assert_eq!(count(&roberta, PeftMethod::Lora(lora_config(&roberta, 8, &[Query, Value]))), 294_912);
    // Ben Zaken et al. 2022: 0.09 % of the 110 M of BERT-base.
    assert_eq!(count(&bert, selective(&bert, Selection::Biases, true)), 102_144);
    // Houlsby et al. 2019, section 2.1: an adapter has 2 m d + d + m parameters, and a layer two of them.
    assert_eq!(count(&bert, adapter(&bert, AdapterPlacement::Houlsby, 64)), 12 * 2 * (2 * 64 * 768 + 768 + 64));
    // Lester et al. 2021: 100 tokens of T5-base; tokens of the width of the embedding.
    let t5 = model("t5-base");
    assert_eq!(count(&t5, PeftMethod::Prompt(PromptConfig { tokens: 100 })), 76_800);
    // Liu et al. 2022, section 3.3: L (d_k + d_v + d_ff) for the encoder, L (2 d_k + 2 d_v + d_ff) for the decoder.
    let ia3 = PeftMethod::Ia3(Ia3Config { blocks: vec![true; 24] });
    assert_eq!(count(&t5, ia3), 12 * (768 + 768 + 3072) + 12 * (2 * 768 + 2 * 768 + 3072));
}

#[test]
fn counts_by_formula() {
    for name in PRESETS {
        let a = model(name);
        let (h, f, blocks) = (a.hidden, a.ffn, a.blocks());
        let (q, kv) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
        // Attentions in all blocks: decoder blocks of an encoder-decoder have two.
        let crossing = if a.family == Family::T5 { a.decoder_layers } else { 0 };
        let attentions = blocks + crossing;
        let ups = if a.gated_ffn { 2 } else { 1 };
        let (sides_attention, sides_ffn) = (4 * h + 2 * q + 2 * kv, (ups + 1) * (h + f));
        let outputs = attentions * (q + 2 * kv + h) + blocks * (ups * f + h);
        let terms = attentions * 4 + blocks * (ups + 1);
        let pairs = 4 * (attentions * sides_attention + blocks * sides_ffn);
        let one_adapter = 2 * 3 * h + h + 3;
        let expected = [
            pairs,
            pairs + outputs,
            pairs + 4 * terms,
            (attentions + blocks) * one_adapter,
            blocks * one_adapter,
            blocks * one_adapter,
            blocks * 2 * 3 * kv,
            4 * h,
            attentions * 2 * kv + blocks * f,
        ];
        for (method, expected) in methods(&a).into_iter().zip(expected) {
            assert_eq!(count(&a, method.clone()), expected, "{name} {method:?}");
        }
    }
}

#[test]
fn full_fine_tuning_trains_what_the_model_has() {
    for name in PRESETS {
        let a = model(name);
        let h = a.hidden;
        // Not trained: what no text reaches (other token types, RoBERTa's positions before the first token), and heads of
        // other tasks.
        let unreached = match a.family {
            Family::Bert => h,
            Family::Roberta => 2 * h,
            _ => 0,
        };
        let expected = a.parameters() - a.published_head_parameters() - unreached as u64;
        assert_eq!(count(&a, selective(&a, Selection::Everything, true)) as u64, expected, "{name}");
    }
    let llama = model("tinyllama-1.1b");
    let own = ParameterLayout::new(&llama, &[selective(&llama, Selection::Everything, true)], Objective::NextToken);
    assert_eq!(own.expect("fits").len() as u64, llama.parameters(), "with its own output matrix");
}

/// Hugging Face's T5 stores one table a stack, with the stack's first block.
#[test]
fn relative_positions_train_with_what_is_outside_the_blocks() {
    let a = model("t5-small");
    let some = |blocks: &[usize], outside| {
        let blocks = (0..12).map(|b| blocks.contains(&b)).collect();
        let config = SelectiveConfig { selection: Selection::Everything, blocks, outside };
        layout(&a, &[PeftMethod::Selective(config)])
    };
    let tables = |layout: &ParameterLayout| -> Vec<(String, [usize; 2], Owner)> {
        let tables = layout.tensors().iter().filter(|t| t.name.contains("relative"));
        tables.map(|t| (t.name.clone(), t.shape, t.owner)).collect()
    };
    let name = |stack| format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    let both =
        vec![(name("encoder"), [32, 8], Owner::Block(0)), (name("decoder"), [32, 8], Owner::Block(a.encoder_layers))];
    assert_eq!(tables(&some(&(0..12).collect::<Vec<_>>(), true)), both);
    assert_eq!(tables(&some(&[3], true)), both, "whichever blocks train");
    assert_eq!(tables(&some(&[0, 6], false)), [], "they are no block's own");
    assert_eq!(tables(&layout(&a, &[selective(&a, Selection::Norms, true)])), []);
}

#[test]
fn norms_and_biases_are_a_part_of_everything() {
    for name in PRESETS {
        let a = model(name);
        let names = |selection, outside| -> BTreeSet<String> {
            layout(&a, &[selective(&a, selection, outside)]).tensors().iter().map(|t| t.name.clone()).collect()
        };
        let (all, norms) = (names(Selection::Everything, true), names(Selection::Norms, true));
        assert!(norms.is_subset(&all) && norms.len() < all.len(), "{name}");
        assert!(names(Selection::Norms, false).is_subset(&norms));
        let is_norm = |n: &String| n.contains("norm") || n.contains("LayerNorm") || n.contains("ln_");
        assert!(norms.iter().filter(|n| !n.starts_with("head.")).all(is_norm), "{name}: {norms:?}");
        if !matches!(a.family, Family::Llama | Family::T5) {
            let biases: BTreeSet<_> = all.iter().filter(|n| n.ends_with(".bias")).cloned().collect();
            let mut found = names(Selection::Biases, true);
            assert!(found.remove("head.weight"));
            assert_eq!(found, biases, "{name}");
        }
    }
}

#[test]
fn tensors_tile_the_vector_and_a_cut_of_the_model_is_a_cut_of_it() {
    for name in PRESETS {
        let a = model(name);
        for method in methods(&a) {
            let layout = layout(&a, std::slice::from_ref(&method));
            let names: BTreeSet<_> = layout.tensors().iter().map(|t| &t.name).collect();
            assert_eq!(names.len(), layout.tensors().len(), "{name} {method:?}: a name twice");
            let mut end = 0;
            for tensor in layout.tensors() {
                assert_eq!(tensor.offset, end, "{name} {}", tensor.name);
                end = tensor.range().end;
            }
            assert_eq!(end, layout.len());
            assert!(layout.tensors().is_sorted_by_key(|t| t.owner), "{name} {method:?}");
            let mut below = 0;
            for split in 0..=a.blocks() {
                let ranges = layout.device_side(split);
                assert!(ranges.len() <= 1 && ranges.iter().all(|r| r.start == 0), "{name} {method:?}: {ranges:?}");
                let device = ranges.first().map_or(0, |r| r.end);
                assert!(device >= below, "{name} {method:?}: split {split}");
                below = device;
                let edge = layout.tensors().iter().find(|t| t.offset >= device).map(|t| t.owner);
                assert!(edge.is_none_or(|owner| owner >= Owner::Block(split)));
            }
            let behind: usize =
                layout.tensors().iter().filter(|t| t.owner == Owner::Head).map(|t| t.range().len()).sum();
            assert_eq!(layout.len() - below, behind);
            for tensor in layout.tensors() {
                assert_eq!(tensor.group == Group::Head, tensor.name.starts_with("head."), "{}", tensor.name);
            }
        }
    }
}

#[test]
fn only_chosen_blocks_train() {
    let a = model("minilm-l6");
    let mut config = lora_config(&a, 0, &[Projection::Query]);
    config.rank_per_block = vec![0, 0, 0, 4, 8, 16];
    let layout = layout(&a, &[PeftMethod::Lora(config)]);
    assert_eq!(layout.lowest_trainable(), Lowest::Block(3));
    let of = |block| layout.tensors().iter().filter(|t| t.owner == Owner::Block(block)).map(|t| t.range().len()).sum();
    let sizes: Vec<usize> = (0..6).map(of).collect();
    assert_eq!(sizes, [0, 0, 0, 4 * 768, 8 * 768, 16 * 768]);
    let lowest = |methods: &[PeftMethod]| ParameterLayout::new(&a, methods, HEAD).expect("fits").lowest_trainable();
    assert_eq!(lowest(&[]), Lowest::Head);
    assert_eq!(lowest(&[PeftMethod::Prompt(PromptConfig { tokens: 2 })]), Lowest::Input);
    assert!(Lowest::Input < Lowest::Block(0) && Lowest::Block(9) < Lowest::Head);
}

#[test]
fn methods_combine() {
    let a = model("bert-base");
    let combined = [
        PeftMethod::Lora(lora_config(&a, 4, &[Projection::Value])),
        adapter(&a, AdapterPlacement::Parallel, 8),
        adapter(&a, AdapterPlacement::Houlsby, 4),
        PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![2; 12] }),
        selective(&a, Selection::Biases, false),
    ];
    let apart: usize = combined.iter().map(|m| count(&a, m.clone())).sum();
    let together = layout(&a, &combined);
    assert_eq!(together.len(), apart + objective(&a).1);
    assert_eq!((together.methods(), together.objective(), together.prompt_tokens()), (&combined[..], HEAD, 0));
}

#[test]
fn what_does_not_fit_is_refused_with_a_way_out() {
    let bert = model("minilm-l6");
    let lora = |change: &dyn Fn(&mut LoraConfig)| {
        let mut config = lora_config(&bert, 4, &[Projection::Query]);
        change(&mut config);
        vec![PeftMethod::Lora(config)]
    };
    let adaptive = |ranks| lora(&|c| c.variant = LoraVariant::Adaptive(ranks));
    let prompt = |tokens| PeftMethod::Prompt(PromptConfig { tokens });
    let refused = |methods: &[PeftMethod], part: &str| {
        let message = ParameterLayout::new(&bert, methods, HEAD).expect_err(part).to_string();
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    };
    refused(&lora(&|c| c.rank_per_block.truncate(5)), "5 entries of LoRA ranks for a model of 6 blocks");
    refused(&lora(&|c| c.rank_per_block[2] = 385), "LoRA rank 385 in block 2 exceeds 384");
    refused(&lora(&|c| c.alpha = f64::NAN), "LoRA: alpha is NaN; give a finite number above 0");
    refused(&lora(&|c| c.dropout = 1.0), "dropout is 1; give a share from 0 to below 1");
    refused(&lora(&|c| c.targets.clear()), "no target projections");
    refused(&lora(&|c| c.targets.push(Projection::FfnGate)), "ffn_gate: minilm-l6 has no such product; it has query, ");
    refused(&adaptive(AdaptiveRanks { final_step: 5, ..ADAPTIVE }), "from step 5 to step 5; end it after it starts");
    refused(&adaptive(AdaptiveRanks { target_rank: 5, ..ADAPTIVE }), "target rank 5 is above 4");
    refused(&adaptive(AdaptiveRanks { target_rank: 0, ..ADAPTIVE }), "target rank is 0; give 1 or more");
    refused(&adaptive(AdaptiveRanks { orthogonality: -1.0, ..ADAPTIVE }), "orthogonality is -1; give");
    refused(&[adapter(&bert, AdapterPlacement::Houlsby, 385)], "width 385 in block 0 is no bottleneck");
    refused(&[PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![1] })], "1 entries of prefix tokens");
    refused(&[PeftMethod::Ia3(Ia3Config { blocks: vec![] })], "0 entries of (IA)3");
    refused(&[prompt(0)], "number of tokens is 0; give 1 or more, or leave the method out");
    refused(&[prompt(512)], "512 prompt tokens leave no room for text among the model's 512 positions");
    refused(&[prompt(3), prompt(4)], "prompt is given twice; give it once");
    let everything = selective(&bert, Selection::Everything, false);
    refused(&[lora(&|_| {}), vec![everything.clone()]].concat(), "block 0 has LoRA beside weights that are trained");
    refused(&[everything.clone(), everything], "selective is given twice");

    let objective = |name: &str, objective, methods: &dyn Fn(&Architecture) -> Vec<PeftMethod>, part: &str| {
        let a = model(name);
        let message = ParameterLayout::new(&a, &methods(&a), objective).expect_err(part).to_string();
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    };
    let full: &dyn Fn(&Architecture) -> Vec<PeftMethod> = &|a| vec![selective(a, Selection::Everything, true)];
    objective("t5-small", HEAD, full, "write the classes as target texts");
    objective("t5-small", Objective::Regression, full, "write the numbers as target texts");
    objective("bert-base", Objective::NextToken, full, "take a decoder such as GPT-2");
    objective("vit-b-16", Objective::NextToken, full, "a Vit model has no next-token objective");
    objective("gpt2", Objective::Classification { classes: 1 }, full, "number of classes is 1, expected 2 or more");
    objective("gpt2", Objective::NextToken, &|_| vec![], "nothing is trained");
    objective("smollm2-135m", HEAD, &|a| vec![selective(a, Selection::Biases, false)], "Llama model has no biases");
}

/// A checkpoint whose value at flat index i of any tensor is i, and which holds every tensor.
struct Counting;

impl TensorSource for Counting {
    fn tensor(&self, _: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        Ok((0..shape.iter().product()).map(|i: usize| i as f32).collect())
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

/// A checkpoint that has nothing.
struct Empty;

impl TensorSource for Empty {
    fn tensor(&self, name: &str, _: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        Err(CheckpointError::Missing { file: "empty".into(), tensor: name.into() })
    }

    fn has(&self, _: &str) -> bool {
        false
    }
}

fn tiny(name: &str) -> Architecture {
    let a = model(name);
    Architecture {
        encoder_layers: a.encoder_layers.min(1),
        decoder_layers: a.decoder_layers.min(1),
        hidden: 4,
        heads: 2,
        kv_heads: 2,
        head_dim: 2,
        ffn: 6,
        vocabulary: a.vocabulary.min(9),
        positions: if a.image.is_some() { 5 } else { a.positions.min(7) },
        image: a.image.map(|i| deft::fomo::ImageGeometry { side_px: 4, patch_px: 2, ..i }),
        ..a
    }
}

/// Starting values of `method` on `architecture`, by name.
fn initial(architecture: &Architecture, method: PeftMethod) -> impl Fn(&str) -> Vec<f32> {
    let layout = layout(architecture, &[method]);
    let values = layout.initial(&Streams::new(3, 0), &Counting).expect("everything is there");
    move |name| {
        let tensor = layout.tensors().iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no {name}"));
        values[tensor.range()].to_vec()
    }
}

#[test]
fn own_parameters_start_as_the_checkpoint_has_them() {
    let gpt2 = tiny("gpt2");
    let value = initial(&gpt2, selective(&gpt2, Selection::Everything, true));
    // c_attn is [4, 12]: output o of the keys is column 4 + o.
    assert_eq!(value("h.0.attn.key.weight")[..5], [4.0, 16.0, 28.0, 40.0, 5.0]);
    assert_eq!(value("h.0.attn.value.bias"), [8.0, 9.0, 10.0, 11.0]);
    // c_fc is [4, 6].
    assert_eq!(value("h.0.mlp.c_fc.weight")[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
    assert_eq!(value("h.0.mlp.c_fc.bias"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);

    let roberta = tiny("roberta-base");
    let value = initial(&roberta, selective(&roberta, Selection::Everything, true));
    let positions = value("embeddings.position_embeddings.weight");
    assert_eq!((positions.len(), positions[0]), (5 * 4, 8.0), "without the two rows before the first token");

    let bert = tiny("bert-base");
    let value = initial(&bert, selective(&bert, Selection::Everything, true));
    assert_eq!(value("embeddings.token_type_embeddings.weight"), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(value("encoder.layer.0.intermediate.dense.weight")[..3], [0.0, 1.0, 2.0]);

    let vit = tiny("vit-b-16");
    let value = initial(&vit, selective(&vit, Selection::Everything, true));
    assert_eq!(value("embeddings.patch_embeddings.projection.weight").len(), 4 * 3 * 2 * 2);
    assert_eq!(value("embeddings.position_embeddings").len(), 5 * 4);
    assert_eq!(value("embeddings.cls_token"), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn added_parameters_start_where_the_model_is_unchanged_or_near_it() {
    let bert = tiny("bert-base");
    let value = initial(&bert, variant(&bert, LoraVariant::Dora));
    let query = |part: &str| value(&format!("encoder.layer.0.attention.self.query.{part}"));
    assert!(query("lora_B").iter().all(|b| *b == 0.0));
    assert!(query("lora_A").iter().all(|a| *a != 0.0 && a.abs() < 0.5), "within 1 / sqrt 4");
    let norm = |row: f32| (0..4).map(|c| (4.0 * row + c as f32).powi(2)).sum::<f32>().sqrt();
    let (found, expected) = (query("lora_magnitude_vector"), [0.0, 1.0, 2.0, 3.0].map(norm));
    assert!(found.iter().zip(expected).all(|(x, y)| (x - y).abs() <= 1e-6 * y), "{found:?}, not {expected:?}");

    let value = initial(&bert, variant(&bert, LoraVariant::Adaptive(ADAPTIVE)));
    assert_eq!(value("encoder.layer.0.output.dense.lora_E"), [0.0; 4]);
    assert!(value("encoder.layer.0.output.dense.lora_B").iter().all(|b| *b != 0.0 && b.abs() < 0.2));

    let value = initial(&bert, adapter(&bert, AdapterPlacement::Houlsby, 3));
    for layer in ["attention.output", "output"] {
        let part = |part: &str| value(&format!("encoder.layer.0.{layer}.adapter.{part}"));
        assert!(part("down.weight").iter().all(|w| *w != 0.0));
        assert!([part("down.bias"), part("up.weight"), part("up.bias")].concat().iter().all(|w| *w == 0.0));
    }
    let value = initial(&bert, PeftMethod::Ia3(Ia3Config { blocks: vec![true] }));
    assert_eq!((value("encoder.layer.0.ia3_k"), value("encoder.layer.0.ia3_ff")), (vec![1.0; 4], vec![1.0; 6]));

    let prompt = initial(&bert, PeftMethod::Prompt(PromptConfig { tokens: 6 }))("prompt");
    let rows: BTreeSet<u32> = prompt.chunks(4).map(|row| row[0] as u32).collect();
    assert!(rows.len() > 1, "not one word over and over");
    for row in prompt.chunks(4) {
        assert_eq!(row, [0.0, 1.0, 2.0, 3.0].map(|c| row[0] + c), "a row of the table");
        assert!(row[0] % 4.0 == 0.0 && row[0] < 36.0);
    }
    let vit = tiny("vit-b-16");
    let prompt = initial(&vit, PeftMethod::Prompt(PromptConfig { tokens: 6 }))("prompt");
    let bound = (6.0f32 / (3.0 * 4.0 + 4.0)).sqrt();
    assert!(prompt.iter().all(|p| p.abs() < bound) && prompt.iter().any(|p| p.abs() > bound / 2.0));
}

#[test]
fn the_checkpoint_is_read_only_for_what_it_must_give() {
    let bert = tiny("bert-base");
    let values = |method| layout(&bert, &[method]).initial(&Streams::new(3, 0), &Empty);
    for method in methods(&bert) {
        let reads = match &method {
            PeftMethod::Lora(config) => config.variant == LoraVariant::Dora,
            PeftMethod::Prompt(_) | PeftMethod::Selective(_) => true,
            _ => false,
        };
        assert_eq!(values(method.clone()).is_err(), reads, "{method:?}");
    }
    let lora = PeftMethod::Lora(lora_config(&bert, 2, &[Projection::Query]));
    assert_eq!(values(lora.clone()).expect("no reads"), values(lora).expect("no reads"));
}
