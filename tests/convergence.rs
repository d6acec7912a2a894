//! Every method learns: on a handful of real sentences with the vendored model its loss falls far below where it began.

use deft::backend::{Activation, Backend, Cpu, HalfCpu};
use deft::data::{Dataset, Objective, PackedBatch, TokenizedDataset};
use deft::fomo::{Architecture, RandomWeights, TensorSource, preset, vendored};
use deft::nn::{
    AdamW, AdapterConfig, AdapterPlacement, AdaptiveRanks, Ia3Config, LoraConfig, LoraScaling, LoraVariant, Model,
    Moments, Optimizer, ParameterLayout, PeftMethod, PrefixConfig, Projection, PromptConfig, Selection,
    SelectiveConfig, Sgd, StackItem, ZerothOrder,
};
use deft::random::{CounterStream, Streams};

const BLOCKS: usize = 6;
const CLASSIFY: Objective = Objective::Classification { classes: 2 };

fn minilm() -> Architecture {
    vendored::minilm().architecture().expect("the vendored configuration")
}

fn minilm_on<B: Backend>(backend: B) -> Model<B> {
    let weights = vendored::minilm().checkpoint().expect("the vendored weights");
    Model::load(backend, &minilm(), CLASSIFY, &weights).expect("MiniLM")
}

/// Eight short film reviews, four of each kind.
fn reviews() -> PackedBatch {
    let dataset = Dataset::vendored("movie").expect("the vendored reviews");
    let tokenizer = vendored::minilm().tokenizer().expect("the vendored tokenizer");
    let all = TokenizedDataset::new(&dataset, &tokenizer, 64).expect("tokens").train;
    let short = |i: &usize| (6..14).contains(&all.sequence(*i).len());
    let of = |class| (0..all.sequences()).filter(short).filter(|i| all.labels[*i] == class).take(4).collect::<Vec<_>>();
    all.subset(&[of(0), of(1)].concat())
}

/// The head stands still where a method trains beside it: what the loss does is the method's doing.
fn adamw(learning_rate: f64, head_learning_rate: f64) -> Optimizer {
    Optimizer::AdamW(AdamW {
        learning_rate,
        head_learning_rate,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
    })
}

/// Losses before each step and after the last.
fn train<B: Backend>(
    model: &Model<B>,
    layout: &ParameterLayout,
    source: &dyn TensorSource,
    optimizer: Optimizer,
    (batch, steps): (&PackedBatch, u32),
) -> (Vec<f64>, Vec<f32>) {
    let mut parameters = layout.initial(&Streams::new(1, 0), source).expect("starting values");
    let (mut moments, mut losses) = (Moments::default(), Vec::new());
    for step in 0..=steps {
        let dropout = Some(CounterStream::new(5, u64::from(step)));
        let item = StackItem { dropout, ..StackItem::new(&parameters, batch) };
        let outcome = &model.loss_and_gradients(layout, &[item])[0];
        losses.push(outcome.loss);
        if step < steps {
            optimizer.update(layout, &mut parameters, &outcome.gradient, &mut moments);
        }
    }
    (losses, parameters)
}

fn lora(variant: LoraVariant) -> LoraConfig {
    LoraConfig {
        rank_per_block: vec![0, 0, 4, 4, 8, 8],
        alpha: 16.0,
        targets: vec![Projection::Query, Projection::Value],
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant,
    }
}

fn selective(selection: Selection, blocks: [bool; BLOCKS], outside: bool) -> PeftMethod {
    PeftMethod::Selective(SelectiveConfig { selection, blocks: blocks.to_vec(), outside })
}

#[test]
fn every_method_learns_on_a_pretrained_model() {
    let (model, batch) = (minilm_on(Cpu::<f32>::new()), reviews());
    let weights = vendored::minilm().checkpoint().expect("the vendored weights");
    let adapter = |placement| {
        PeftMethod::Adapter(AdapterConfig {
            bottleneck_per_block: vec![8; BLOCKS],
            placement,
            activation: Activation::Gelu,
            scale: 1.0,
        })
    };
    let ranks = AdaptiveRanks { target_rank: 2, warmup_steps: 4, final_step: 20, orthogonality: 0.1 };
    let plain = lora(LoraVariant::Plain);
    let all = [true; BLOCKS];
    let top = [false, false, false, false, true, true];
    let cases: Vec<(&str, Vec<PeftMethod>, f64)> = vec![
        ("head", vec![], 5e-2),
        ("lora", vec![PeftMethod::Lora(plain.clone())], 5e-3),
        ("lora with dropout", vec![PeftMethod::Lora(LoraConfig { dropout: 0.1, ..plain.clone() })], 5e-3),
        ("rslora", vec![PeftMethod::Lora(LoraConfig { scaling: LoraScaling::RankRoot, ..plain.clone() })], 3e-3),
        ("dora", vec![PeftMethod::Lora(lora(LoraVariant::Dora))], 5e-3),
        ("adalora", vec![PeftMethod::Lora(lora(LoraVariant::Adaptive(ranks)))], 2e-2),
        ("houlsby", vec![adapter(AdapterPlacement::Houlsby)], 3e-3),
        ("pfeiffer", vec![adapter(AdapterPlacement::Pfeiffer)], 3e-3),
        ("parallel adapter", vec![adapter(AdapterPlacement::Parallel)], 3e-3),
        ("prefix", vec![PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![8; BLOCKS] })], 3e-2),
        ("prompt", vec![PeftMethod::Prompt(PromptConfig { tokens: 8 })], 2e-2),
        ("ia3", vec![PeftMethod::Ia3(Ia3Config { blocks: all.to_vec() })], 3e-2),
        ("bitfit", vec![selective(Selection::Biases, all, true)], 5e-3),
        ("layer norm", vec![selective(Selection::Norms, all, true)], 1e-2),
        ("top blocks", vec![selective(Selection::Everything, top, false)], 2e-4),
        ("full", vec![selective(Selection::Everything, all, true)], 1e-4),
        (
            "prefix and parallel adapter",
            vec![
                PeftMethod::Prefix(PrefixConfig { tokens_per_block: vec![4; BLOCKS] }),
                adapter(AdapterPlacement::Parallel),
            ],
            3e-3,
        ),
    ];
    for (name, methods, rate) in cases {
        let layout = ParameterLayout::new(&minilm(), &methods, CLASSIFY).expect("fits MiniLM");
        let head_rate = if methods.is_empty() { rate } else { 0.0 };
        let (losses, parameters) = train(&model, &layout, &weights, adamw(rate, head_rate), (&batch, 30));
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        println!("{name}: {} parameters, loss {first:.3} to {last:.4}", layout.len());
        assert!(last < 0.4 * first, "{name}: the loss went from {first:.3} to {last:.3}");
        if name == "adalora" {
            let ranks = layout.tensors().iter().filter(|t| t.name.ends_with("lora_E"));
            let left = ranks.flat_map(|t| &parameters[t.range()]).filter(|e| **e != 0.0).count();
            // Four blocks with two targets at a mean rank of 2.
            assert!(left <= 16, "{left} singular values are left of a budget of 16");
        }
    }
}

#[test]
fn plain_gradient_descent_and_forward_passes_alone_learn_too() {
    let (model, batch) = (minilm_on(Cpu::<f32>::new()), reviews());
    let weights = vendored::minilm().checkpoint().expect("the vendored weights");
    let layout = ParameterLayout::new(&minilm(), &[], CLASSIFY).expect("a head");
    let sgd = Sgd { learning_rate: 0.1, head_learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
    let (losses, _) = train(&model, &layout, &weights, Optimizer::Sgd(sgd), (&batch, 30));
    assert!(losses[30] < 0.5 * losses[0], "SGD: {losses:?}");

    let lora = PeftMethod::Lora(lora(LoraVariant::Plain));
    let layout = ParameterLayout::new(&minilm(), &[lora], CLASSIFY).expect("fits MiniLM");
    let rule = ZerothOrder { perturbation: 1e-3, learning_rate: 1e-4, head_learning_rate: 3e-3 };
    let mut parameters = layout.initial(&Streams::new(1, 0), &weights).expect("starting values");
    let loss = |parameters: &[f32]| model.losses(&layout, &[StackItem::new(parameters, &batch)])[0];
    let first = loss(&parameters);
    for step in 0..60 {
        let stream = CounterStream::new(9, step);
        let points = rule.perturbed(&parameters, stream);
        let losses = model.losses(&layout, &[0, 1].map(|i: usize| StackItem::new(&points[i], &batch)));
        rule.apply(&layout, &mut parameters, rule.slope([losses[0], losses[1]]), stream);
    }
    let last = loss(&parameters);
    assert!(last < 0.8 * first, "zeroth order: the loss went from {first:.3} to {last:.3}");
}

#[test]
fn half_precision_with_loss_scaling_follows_single_precision() {
    let batch = reviews();
    let weights = vendored::minilm().checkpoint().expect("the vendored weights");
    let method = PeftMethod::Lora(lora(LoraVariant::Plain));
    let layout = ParameterLayout::new(&minilm(), &[method], CLASSIFY).expect("fits MiniLM");
    let single = train(&minilm_on(Cpu::<f32>::new()), &layout, &weights, adamw(2e-3, 2e-3), (&batch, 20)).0;
    let model = minilm_on(HalfCpu::new());
    let mut parameters = layout.initial(&Streams::new(1, 0), &weights).expect("starting values");
    let (mut moments, mut half, mut skipped) = (Moments::default(), Vec::new(), 0);
    while half.len() < single.len() {
        let item = StackItem { loss_scale: moments.loss_scale.scale, ..StackItem::new(&parameters, &batch) };
        let mut outcome = model.loss_and_gradients(&layout, &[item]).remove(0);
        if moments.loss_scale.unscale(&mut outcome.gradient) {
            half.push(outcome.loss);
            adamw(2e-3, 2e-3).update(&layout, &mut parameters, &outcome.gradient, &mut moments);
        } else {
            skipped += 1;
        }
        assert!(skipped < 20, "the loss scale never settles");
    }
    assert_ne!(half, single, "nothing was rounded");
    for (step, (h, s)) in half.iter().zip(&single).enumerate() {
        assert!((h - s).abs() < 0.02, "step {step}: {h} in half precision, {s} in single");
    }
}

/// Families without a published checkpoint that can be shipped start from random numbers, and learn all the same.
#[test]
fn other_families_learn_from_random_weights() {
    let tokenizer = vendored::minilm().tokenizer().expect("the vendored tokenizer");
    let movie = |kind| {
        let dataset = Dataset::vendored_for("movie", kind).expect("the vendored reviews");
        TokenizedDataset::new(&dataset, &tokenizer, 24).expect("tokens").train
    };
    let digits = Dataset::vendored("digits").expect("the vendored digits");
    let size = digits.image.expect("images");
    let digits = TokenizedDataset::from_images(&digits, size, 2).expect("patches").train;
    let some: Vec<usize> = (0..16).map(|i| i * 31).collect();
    let cases = [
        ("vit-digits", Objective::Classification { classes: 10 }, digits.subset(&some)),
        ("gpt2-tiny", Objective::NextToken, movie(deft::data::TaskKind::LanguageModel).subset(&some[..8])),
        ("t5-tiny", Objective::NextToken, movie(deft::data::TaskKind::SequenceToSequence).subset(&some[..8])),
    ];
    for (name, objective, batch) in cases {
        let architecture = preset(name).expect("a preset");
        let weights = RandomWeights::new(Streams::new(2, 0));
        let model = Model::load(Cpu::<f32>::new(), &architecture, objective, &weights).expect("random weights");
        let everything = PeftMethod::Selective(SelectiveConfig {
            selection: Selection::Everything,
            blocks: vec![true; architecture.blocks()],
            outside: true,
        });
        let layout = ParameterLayout::new(&architecture, &[everything], objective).expect("fits");
        model.check_batch(&layout, &batch).expect("a batch that fits");
        let (losses, _) = train(&model, &layout, &weights, adamw(2e-3, 2e-3), (&batch, 40));
        let (first, last) = (losses[0], losses[40]);
        println!("{name}: {} parameters, loss {first:.3} to {last:.4}", layout.len());
        assert!(last < 0.35 * first, "{name}: the loss went from {first:.3} to {last:.3}");
    }
}
