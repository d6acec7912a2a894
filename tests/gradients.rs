//! The backward pass against finite differences in double precision, for every family and method, and the identities
//! that stacking, packing, splitting and threading must keep.

#[path = "gradients/connections.rs"]
mod connections;
#[path = "gradients/frozen_prefixes.rs"]
mod frozen_prefixes;
#[path = "gradients/half_precision.rs"]
mod half_precision;
#[path = "gradients/splits.rs"]
mod splits;
#[path = "gradients/stacks.rs"]
mod stacks;
#[path = "gradients/tiny.rs"]
mod tiny;
#[path = "gradients/variants.rs"]
mod variants;

use deft::backend::Cpu;
use deft::data::{Objective, PackedBatch};
use deft::fomo::Family;
use deft::nn::{
    LoraVariant, Model, NnError, Owner, ParameterLayout, PeftMethod, Projection, Share, StackItem, SumChannel,
};
use deft::random::{CounterStream, Streams};
use tiny::{FAMILIES, architecture, batch, layout, lora, methods, model, parameters};
use variants::everywhere;

/// What a model is asked and what is done to it on the way.
#[derive(Clone, Copy, Default)]
struct Conditions<'a> {
    /// Else what its family is usually asked.
    objective: Option<Objective>,
    /// A channel that forms the sums of some blocks.
    channel: Option<&'a SumChannel>,
    dropout: Option<CounterStream>,
}

/// Central differences of fourth order at up to `most` parameters of every tensor.
fn assert_gradient_matches_differences(family: Family, what: &str, methods: &[PeftMethod], most: usize) {
    assert_gradient_under(Conditions::default(), family, what, methods, most);
}

fn assert_gradient_under(
    Conditions { objective, channel, dropout }: Conditions,
    family: Family,
    what: &str,
    methods: &[PeftMethod],
    most: usize,
) {
    let objective = objective.unwrap_or(tiny::objective(family));
    let architecture = architecture(family);
    let model = Model::load(Cpu::<f64>::new(), &architecture, objective, &tiny::MadeUp).expect("the tiny model");
    let layout = ParameterLayout::new(&architecture, methods, objective).expect("fits the tiny model");
    // Language models predict nothing from a text of one token.
    let shortest = if matches!(family, Family::Gpt2 | Family::Llama) { 2 } else { 1 };
    let mut batch = batch(family, &[shortest, 11, 4, 17], 5);
    if objective == Objective::Regression {
        batch.values = (0..4).map(|s| s as f32 - 1.5).collect();
    }
    model.check_batch(&layout, &batch).expect("a batch that fits");
    let point = parameters(&layout, 8);
    let item = StackItem { channel, dropout, ..StackItem::new(&point, &batch) };
    let targets = model.evaluate(&layout, &point, &batch).targets as f64;
    let loss = |parameters: &[f32]| {
        if dropout.is_none() {
            return model.losses(&layout, &[StackItem { parameters, ..item }])[0];
        }
        // An evaluation drops nothing.
        let mut pass = model.pass(&layout, &[Share { dropout, ..Share::whole(parameters, &batch) }], false);
        pass.embed();
        pass.forward_blocks(0..architecture.blocks());
        pass.classify().iter().map(|o| o.loss).sum::<f64>() / targets
    };
    let outcome = &model.loss_and_gradients(&layout, &[item])[0];
    let what = format!("{family:?}, {what}");
    assert!((outcome.loss - loss(&point)).abs() < 1e-12, "{what}: loss");
    let typical = outcome.gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    for tensor in layout.tensors() {
        // An odd stride, so that the sample wanders over the columns.
        let stride = (tensor.range().len() / most) | 1;
        let sample: Vec<usize> = tensor.range().step_by(stride).collect();
        let numeric: Vec<f64> = sample
            .iter()
            .map(|&i| {
                // Parameters are f32: what counts is where they land, not where they were sent.
                let step = 2f32.powi(-12);
                let mut at = point.clone();
                let mut value = |k: f32| {
                    at[i] = point[i] + k * step;
                    (f64::from(at[i]), loss(&at))
                };
                let ((x1, l1), (x0, l0)) = (value(1.0), value(-1.0));
                let ((x3, l3), (x2, l2)) = (value(2.0), value(-2.0));
                (4.0 * (l1 - l0) / (x1 - x0) - (l3 - l2) / (x3 - x2)) / 3.0
            })
            .collect();
        let norm = numeric.iter().map(|n| n * n).sum::<f64>().sqrt();
        let error =
            sample.iter().zip(&numeric).map(|(&i, n)| (f64::from(outcome.gradient[i]) - n).powi(2)).sum::<f64>().sqrt();
        if tensor.name.ends_with("key.bias") {
            // Softmax ignores what all keys have in common.
            assert!(norm < 1e-8 && error < 1e-8, "{what}: {} has a gradient", tensor.name);
            continue;
        }
        // Rows of the embedding that no token of the batch reads have none.
        let absent = tensor.owner == Owner::Input && norm == 0.0;
        assert!(absent || norm > 1e-7 * typical, "{what}: {}: no gradient to compare", tensor.name);
        assert!(
            error <= 5e-5 * norm + 1e-9 * typical,
            "{what}: {}: relative error {:e} of norm {norm:e}",
            tensor.name,
            error / norm
        );
    }
}

fn check_family(family: Family) {
    for (what, methods) in methods(family) {
        assert_gradient_matches_differences(family, what, &methods, 6);
    }
}

#[test]
fn bert_with_every_method_matches_differences() {
    check_family(Family::Bert);
}

#[test]
fn roberta_with_every_method_matches_differences() {
    check_family(Family::Roberta);
}

#[test]
fn gpt2_with_every_method_matches_differences() {
    check_family(Family::Gpt2);
}

#[test]
fn llama_with_every_method_matches_differences() {
    check_family(Family::Llama);
}

#[test]
fn t5_with_every_method_matches_differences() {
    check_family(Family::T5);
}

#[test]
fn vit_with_every_method_matches_differences() {
    check_family(Family::Vit);
}

#[test]
fn lora_on_one_projection_above_a_frozen_block_matches_differences() {
    for family in [Family::Bert, Family::Llama] {
        for target in Projection::of(&architecture(family)) {
            let method = PeftMethod::Lora(lora(&[0, 2, 0], &[target]));
            assert_gradient_matches_differences(family, target.name(), &[method], 24);
        }
    }
}

#[test]
fn the_head_alone_matches_differences() {
    assert_gradient_matches_differences(Family::Bert, "head", &[], 24);
    assert_gradient_matches_differences(Family::Vit, "head", &[], 24);
}

#[test]
fn low_rank_terms_with_dropout_match_differences() {
    let conditions = Conditions { dropout: Some(CounterStream::new(3, 3)), ..Conditions::default() };
    let check = |family, variant| {
        let what = format!("{variant:?} with dropout");
        assert_gradient_under(conditions, family, &what, &[everywhere(family, variant, 0.3)], 2);
    };
    FAMILIES.into_iter().for_each(|family| check(family, LoraVariant::Plain));
    check(Family::Bert, variants::ADAPTIVE);
}

#[test]
fn language_models_that_classify_and_an_encoder_that_estimates_match_differences() {
    let classes = Objective::Classification { classes: 3 };
    for (family, objective) in [
        (Family::Bert, Objective::Regression),
        (Family::Gpt2, classes),
        (Family::Gpt2, Objective::Regression),
        (Family::Llama, classes),
        (Family::Llama, Objective::Regression),
    ] {
        let conditions = Conditions { objective: Some(objective), ..Conditions::default() };
        let asked = |(what, _): &(&str, _)| ["prompt", "full"].contains(what);
        for (what, methods) in methods(family).into_iter().filter(asked) {
            assert_gradient_under(conditions, family, &format!("{what}, {objective:?}"), &methods, 2);
        }
    }
}

#[test]
fn low_rank_terms_start_as_the_model_itself() {
    for family in FAMILIES {
        let (model, batch) = (model(Cpu::<f64>::new(), family), batch(family, &[3, 11, 4], 5));
        let loss = |methods: &[PeftMethod]| {
            let layout = layout(family, methods);
            let start = layout.initial(&Streams::new(4, 0), &tiny::MadeUp).expect("all tensors are there");
            model.losses(&layout, &[StackItem::new(&start, &batch)])[0]
        };
        // Full tuning starts from the model's own weights.
        let (_, full) = methods(family).into_iter().find(|(what, _)| *what == "full").expect("a method");
        let itself = loss(&full);
        // DoRA's magnitudes are norms rounded to single precision.
        for (variant, far) in [(LoraVariant::Plain, 1e-12), (variants::ADAPTIVE, 1e-12), (LoraVariant::Dora, 1e-6)] {
            let apart = (loss(&[everywhere(family, variant, 0.0)]) - itself).abs();
            assert!(apart <= far, "{family:?}, {variant:?}: {apart:e} from {itself}");
        }
    }
}

#[test]
fn evaluation_agrees_with_training_and_an_empty_batch_is_neutral() {
    let family = Family::Bert;
    let methods = [PeftMethod::Lora(lora(&[1, 1, 1], &[Projection::FfnDown]))];
    let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, &methods));
    let (batch, point) = (batch(family, &[12; 60], 9), parameters(&layout, 2));
    let evaluation = model.evaluate(&layout, &point, &batch);
    let empty = PackedBatch { offsets: vec![0], ..PackedBatch::default() };
    let outcomes = model.loss_and_gradients(&layout, &[&batch, &empty].map(|batch| StackItem::new(&point, batch)));
    assert!((evaluation.loss_sum / 60.0 - outcomes[0].loss).abs() < 1e-12);
    let agree = evaluation.predictions.iter().zip(&batch.labels).filter(|(p, l)| p == l).count();
    assert_eq!((evaluation.correct, evaluation.predictions.len(), evaluation.targets), (agree, 60, 60));
    assert!(outcomes[1].loss == 0.0 && outcomes[1].gradient.iter().all(|&g| g == 0.0));
}

#[test]
fn a_loss_scale_is_a_factor_of_the_gradient() {
    let family = Family::Llama;
    let methods = &methods(family)[0].1;
    let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, methods));
    let (batch, point) = (batch(family, &[9, 20], 9), parameters(&layout, 2));
    let plain = StackItem::new(&point, &batch);
    let outcomes = model.loss_and_gradients(&layout, &[plain, StackItem { loss_scale: 1024.0, ..plain }]);
    // A power of two scales without rounding.
    let scaled: Vec<f32> = outcomes[0].gradient.iter().map(|g| 1024.0 * g).collect();
    assert_eq!((outcomes[0].loss, &scaled), (outcomes[1].loss, &outcomes[1].gradient));
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let load = |a: &deft::fomo::Architecture| {
        Model::load(Cpu::<f32>::new(), a, tiny::objective(a.family), &tiny::MadeUp).err().expect("does not fit")
    };
    let bent = deft::fomo::Architecture { head_dim: 8, ..architecture(Family::Bert) };
    assert!(matches!(load(&bent), NnError::Geometry { found: 24, .. }));
    let odd = deft::fomo::Architecture { head_dim: 5, hidden: 20, ..architecture(Family::Llama) };
    assert!(matches!(load(&odd), NnError::Geometry { what: "head_dim", found: 5, .. }));
    let groups = deft::fomo::Architecture { kv_heads: 3, ..architecture(Family::Llama) };
    assert!(matches!(load(&groups), NnError::Geometry { what: "kv_heads", .. }));

    let family = Family::Bert;
    let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, &[]));
    let check = |batch: &PackedBatch| model.check_batch(&layout, batch);
    assert!(check(&batch(family, &[80, 1], 1)).is_ok());
    let long = check(&batch(family, &[3, 81], 1));
    assert!(matches!(long, Err(NnError::SequenceLength { sequence: 1, tokens: 81, limit: 80 })));
    assert!(matches!(check(&batch(family, &[3, 0], 1)), Err(NnError::SequenceLength { sequence: 1, .. })));
    let alien = PackedBatch::pack([([7, 50].as_slice(), 0)]);
    assert!(matches!(check(&alien), Err(NnError::Token { token: 50, .. })));
    let unknown = PackedBatch::pack([([7, 5].as_slice(), 3)]);
    assert!(matches!(check(&unknown), Err(NnError::Label { label: 3, classes: 3, .. })));
    assert!(matches!(check(&batch(Family::Vit, &[1], 1)), Err(NnError::Content { .. })));

    let vit = tiny::model(Cpu::<f32>::new(), Family::Vit);
    let layout = tiny::layout(Family::Vit, &[]);
    assert!(vit.check_batch(&layout, &batch(Family::Vit, &[1, 1], 1)).is_ok());
    assert!(matches!(vit.check_batch(&layout, &batch(Family::Bert, &[9], 1)), Err(NnError::Content { .. })));
    let roberta = tiny::model(Cpu::<f32>::new(), Family::Roberta);
    let layout = tiny::layout(Family::Roberta, &[]);
    assert!(matches!(
        roberta.check_batch(&layout, &batch(Family::Roberta, &[79], 1)),
        Err(NnError::SequenceLength { tokens: 79, limit: 78, .. })
    ));
    let padded = PackedBatch::pack([([7, 5].as_slice(), 0), ([7, 1, 5].as_slice(), 0)]);
    assert!(matches!(roberta.check_batch(&layout, &padded), Err(NnError::Padding { sequence: 1, token: 1 })));
    let mut endless = batch(Family::Roberta, &[5, 6], 1);
    endless.values[1] = f32::NAN;
    assert!(matches!(roberta.check_batch(&layout, &endless), Err(NnError::Content { .. })));
    let t5 = tiny::model(Cpu::<f32>::new(), Family::T5);
    let layout = tiny::layout(Family::T5, &methods(Family::T5)[0].1);
    assert!(matches!(t5.check_batch(&layout, &batch(Family::Bert, &[5], 1)), Err(NnError::Content { .. })));
}
