//! Models of every family, small and of odd sizes: no dimension is a multiple of a register.

use deft::backend::{Activation, Backend};
use deft::data::{Objective, PackedBatch, TargetText};
use deft::fomo::{
    Architecture, CheckpointError, Family, ImageGeometry, RelativePositions, RotaryGeometry, TensorSource,
};
use deft::nn::{
    AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, Model,
    ParameterLayout, PeftMethod, PrefixConfig, Projection, PromptConfig, Selection, SelectiveConfig,
};
use deft::random::Streams;

pub const FAMILIES: [Family; 6] = [Family::Bert, Family::Roberta, Family::Gpt2, Family::Llama, Family::T5, Family::Vit];
pub const VOCABULARY: usize = 50;

/// Weights of a model that nobody trained: each tensor from a stream of its own name.
pub struct MadeUp;

impl TensorSource for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let stream = Streams::new(3, 0).counter(name, "weights");
        let norm = name.contains("orm") || name.contains("ln_");
        let (centre, spread) = if norm && name.ends_with("weight") { (1.0, 0.3) } else { (0.0, 0.5) };
        let len = shape.iter().product::<usize>() as u64;
        Ok((0..len).map(|i| (centre + spread * (2.0 * stream.uniform(i) - 1.0)) as f32).collect())
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

pub fn architecture(family: Family) -> Architecture {
    let bert = Architecture {
        name: format!("tiny {family:?}"),
        family,
        encoder_layers: 3,
        decoder_layers: 0,
        hidden: 21,
        heads: 3,
        kv_heads: 3,
        head_dim: 7,
        ffn: 37,
        gated_ffn: false,
        vocabulary: VOCABULARY,
        positions: 80,
        token_types: 2,
        image: None,
        norm_eps: 1e-12,
        activation: Activation::Gelu,
        rotary: None,
        relative_positions: None,
        tied_output: true,
    };
    let decoder = Architecture { encoder_layers: 0, decoder_layers: 3, token_types: 0, norm_eps: 1e-5, ..bert.clone() };
    match family {
        Family::Bert => bert,
        Family::Roberta => Architecture { token_types: 1, norm_eps: 1e-5, ..bert },
        Family::Gpt2 => Architecture { activation: Activation::GeluTanh, ..decoder },
        Family::Llama => Architecture {
            hidden: 24,
            heads: 4,
            kv_heads: 2,
            head_dim: 6,
            gated_ffn: true,
            positions: 0,
            activation: Activation::Silu,
            rotary: Some(RotaryGeometry { theta: 10_000.0, scaling: None }),
            tied_output: false,
            ..decoder
        },
        Family::T5 => Architecture {
            encoder_layers: 2,
            decoder_layers: 2,
            heads: 2,
            kv_heads: 2,
            head_dim: 5,
            gated_ffn: true,
            positions: 0,
            activation: Activation::GeluTanh,
            relative_positions: Some(RelativePositions { buckets: 8, max_distance: 20 }),
            ..decoder
        },
        Family::Vit => Architecture {
            vocabulary: 0,
            positions: 10,
            token_types: 0,
            image: Some(ImageGeometry { side_px: 9, patch_px: 3, channels: 2 }),
            ..bert
        },
    }
}

/// What a family is usually asked.
pub fn objective(family: Family) -> Objective {
    match family {
        Family::Bert | Family::Vit => Objective::Classification { classes: 3 },
        Family::Roberta => Objective::Regression,
        Family::Gpt2 | Family::Llama | Family::T5 => Objective::NextToken,
    }
}

pub fn layout(family: Family, methods: &[PeftMethod]) -> ParameterLayout {
    ParameterLayout::new(&architecture(family), methods, objective(family)).expect("fits the tiny model")
}

pub fn model<B: Backend>(backend: B, family: Family) -> Model<B> {
    Model::load(backend, &architecture(family), objective(family), &MadeUp).expect("the tiny model")
}

/// Sequences of the given lengths with made-up contents and targets. Images all have the model's size.
pub fn batch(family: Family, lengths: &[usize], seed: u64) -> PackedBatch {
    let stream = Streams::new(seed, 0).counter("batch", "tokens");
    let tokens = |s: usize, len: usize| -> Vec<u32> {
        let token = |i| (stream.child(s as u64).bits(i) % VOCABULARY as u64) as u32;
        // RoBERTa's padding, 1, stands in no text.
        (0..len as u64).map(token).map(|t| if family == Family::Roberta { t.max(2) } else { t }).collect()
    };
    let sequences: Vec<Vec<u32>> = lengths.iter().enumerate().map(|(s, &len)| tokens(s, len)).collect();
    let labelled = |(s, tokens): (usize, &Vec<u32>)| (tokens.clone(), (s % 3) as u32);
    let labelled: Vec<(Vec<u32>, u32)> = sequences.iter().enumerate().map(labelled).collect();
    let mut batch = PackedBatch::pack(labelled.iter().map(|(t, label)| (t.as_slice(), *label)));
    match family {
        Family::Roberta => batch.values = (0..lengths.len()).map(|s| s as f32 - 1.5).collect(),
        Family::T5 => {
            let mut target = TargetText::new();
            lengths.iter().enumerate().for_each(|(s, &len)| target.push(&tokens(100 + s, len % 7 + 1)));
            batch.decoder = Some(target);
        }
        Family::Vit => {
            let image = architecture(family).image.expect("a size");
            let patches = (image.side_px / image.patch_px).pow(2);
            let values = lengths.len() * patches * image.channels * image.patch_px.pow(2);
            batch.tokens.clear();
            batch.offsets = (0..=lengths.len()).map(|s| s * patches).collect();
            batch.patches = (0..values as u64).map(|i| (2.0 * stream.uniform(i) - 1.0) as f32).collect();
        }
        _ => {}
    }
    batch
}

/// Parameters away from where they start, so that every term of every gradient is exercised.
pub fn parameters(layout: &ParameterLayout, seed: u64) -> Vec<f32> {
    let stream = Streams::new(seed, 0).counter("parameters", "values");
    let mut values = layout.initial(&Streams::new(4, 0), &MadeUp).expect("all tensors are there");
    let jitter = |i: usize| (0.3 * (2.0 * stream.uniform(i as u64) - 1.0)) as f32;
    values.iter_mut().enumerate().for_each(|(i, v)| *v += jitter(i));
    values
}

pub fn lora(ranks: &[usize], targets: &[Projection]) -> LoraConfig {
    LoraConfig {
        rank_per_block: ranks.to_vec(),
        alpha: 6.0,
        targets: targets.to_vec(),
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant: LoraVariant::Plain,
    }
}

/// Every method with sizes that differ from block to block, and combinations that the literature combines.
pub fn methods(family: Family) -> Vec<(&'static str, Vec<PeftMethod>)> {
    let architecture = architecture(family);
    let blocks = architecture.blocks();
    let all: Vec<Projection> = Projection::of(&architecture).collect();
    let sizes = |sizes: [usize; 4]| sizes[..blocks].to_vec();
    let some = |which: [bool; 4]| which[..blocks].to_vec();
    let everywhere = lora(&sizes([2, 3, 1, 2]), &all);
    let adapter = |placement| {
        PeftMethod::Adapter(AdapterConfig {
            bottleneck_per_block: sizes([3, 0, 5, 2]),
            placement,
            activation: Activation::Gelu,
            scale: 0.7,
        })
    };
    let selective =
        |selection, which, outside| PeftMethod::Selective(SelectiveConfig { selection, blocks: some(which), outside });
    let prefix = PeftMethod::Prefix(PrefixConfig { tokens_per_block: sizes([2, 0, 3, 1]) });
    let ranks = AdaptiveRanks { target_rank: 1, warmup_steps: 1, final_step: 9, orthogonality: 0.0 };
    let mut methods = vec![
        ("lora", vec![PeftMethod::Lora(everywhere.clone())]),
        ("rslora", vec![PeftMethod::Lora(LoraConfig { scaling: LoraScaling::RankRoot, ..everywhere.clone() })]),
        ("adalora", vec![PeftMethod::Lora(LoraConfig { variant: LoraVariant::Adaptive(ranks), ..everywhere.clone() })]),
        ("houlsby", vec![adapter(AdapterPlacement::Houlsby)]),
        ("pfeiffer", vec![adapter(AdapterPlacement::Pfeiffer)]),
        ("parallel", vec![adapter(AdapterPlacement::Parallel)]),
        ("prefix", vec![prefix.clone()]),
        ("prompt", vec![PeftMethod::Prompt(PromptConfig { tokens: 3 })]),
        ("ia3", vec![PeftMethod::Ia3(Ia3Config { blocks: some([false, true, true, true]) })]),
        ("norms", vec![selective(Selection::Norms, [true, false, true, true], true)]),
        ("upper blocks", vec![selective(Selection::Everything, [false, true, true, true], false)]),
        ("outside and one block", vec![selective(Selection::Everything, [false, true, false, false], true)]),
        ("full", vec![selective(Selection::Everything, [true; 4], true)]),
        ("prefix and parallel adapter", vec![prefix, adapter(AdapterPlacement::Parallel)]),
        (
            "prompt, ia3 and lora",
            vec![
                PeftMethod::Prompt(PromptConfig { tokens: 2 }),
                PeftMethod::Ia3(Ia3Config { blocks: some([true; 4]) }),
                PeftMethod::Lora(lora(&sizes([0, 2, 0, 1]), &[Projection::Query, Projection::FfnDown])),
            ],
        ),
    ];
    if matches!(family, Family::Bert | Family::Roberta | Family::Gpt2 | Family::Vit) {
        methods.push(("bitfit", vec![selective(Selection::Biases, [true, false, true, true], true)]));
        let everywhere = PeftMethod::Lora(everywhere);
        methods.push(("lora and bitfit", vec![everywhere, selective(Selection::Biases, [true; 4], false)]));
    }
    methods
}
