//! The backward pass against finite differences in double precision, for every family and method, and the identities
//! that stacking, packing, splitting and threading must keep.

#[path = "gradients/connections.rs"]
mod connections;
#[path = "gradients/tiny.rs"]
mod tiny;

use deft::backend::Cpu;
use deft::data::PackedBatch;
use deft::fomo::Family;
use deft::nn::{
    LoraConfig, LoraVariant, Model, NnError, Owner, PeftMethod, Projection, Selection, SelectiveConfig, Share,
    StackItem, SumChannel,
};
use deft::random::CounterStream;
use tiny::{FAMILIES, architecture, batch, layout, lora, methods, model, parameters};

/// Central differences of fourth order at up to `most` parameters of every tensor.
fn assert_gradient_matches_differences(family: Family, what: &str, methods: &[PeftMethod], most: usize) {
    assert_gradient_through(None, family, what, methods, most);
}

/// The same where a channel forms the sums of some blocks.
fn assert_gradient_through(
    channel: Option<&SumChannel>,
    family: Family,
    what: &str,
    methods: &[PeftMethod],
    most: usize,
) {
    let (model, layout) = (model(Cpu::<f64>::new(), family), layout(family, methods));
    // Language models predict nothing from a text of one token.
    let shortest = if matches!(family, Family::Gpt2 | Family::Llama) { 2 } else { 1 };
    let batch = batch(family, &[shortest, 11, 4, 17], 5);
    model.check_batch(&layout, &batch).expect("a batch that fits");
    let point = parameters(&layout, 8);
    let item = StackItem { channel, ..StackItem::new(&point, &batch) };
    let loss = |parameters: &[f32]| model.losses(&layout, &[StackItem { parameters, ..item }])[0];
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
fn a_packed_batch_equals_its_sequences_one_by_one() {
    for family in FAMILIES {
        let methods = &methods(family)[0].1;
        let (model, layout) = (model(Cpu::<f64>::new(), family), layout(family, methods));
        let (lengths, point) = ([2, 40, 3, 17, 2, 64], parameters(&layout, 1));
        let whole = batch(family, &lengths, 2);
        let packed = &model.loss_and_gradients(&layout, &[StackItem::new(&point, &whole)])[0];
        let singles: Vec<PackedBatch> = (0..lengths.len()).map(|i| whole.subset(&[i])).collect();
        let stack: Vec<StackItem> = singles.iter().map(|batch| StackItem::new(&point, batch)).collect();
        let outcomes = model.loss_and_gradients(&layout, &stack);
        // Each sequence counts by its targets: tokens of a language model, else one.
        let targets: Vec<f64> = singles.iter().map(|b| model.evaluate(&layout, &point, b).targets as f64).collect();
        let total: f64 = targets.iter().sum();
        let mean = |f: &dyn Fn(usize) -> f64| (0..lengths.len()).map(|i| f(i) * targets[i]).sum::<f64>() / total;
        assert!((packed.loss - mean(&|i| outcomes[i].loss)).abs() < 1e-12, "{family:?}");
        for (p, &gradient) in packed.gradient.iter().enumerate() {
            let expected = mean(&|i| f64::from(outcomes[i].gradient[p]));
            let close = (f64::from(gradient) - expected).abs() < 1e-6 * expected.abs().max(0.1);
            assert!(close, "{family:?}: parameter {p}: {gradient} against {expected}");
        }
    }
}

#[test]
fn a_pass_over_two_clients_keeps_their_parameters_apart() {
    for family in FAMILIES {
        for (what, methods) in methods(family) {
            let (model, layout) = (model(Cpu::<f64>::new(), family), layout(family, &methods));
            let batches = [batch(family, &[5, 9], 1), batch(family, &[3, 2, 12], 2)];
            let points = [parameters(&layout, 1), parameters(&layout, 2)];
            let shares: Vec<Share> =
                batches.iter().zip(&points).map(|(batch, parameters)| Share::whole(parameters, batch)).collect();
            let blocks = architecture(family).blocks();
            let run = |shares: &[Share]| {
                let mut pass = model.pass(&layout, shares, true);
                pass.embed();
                pass.forward_blocks(0..blocks);
                pass.classify();
                pass.backward_blocks(0..blocks);
                pass.gradient()
            };
            let together = run(&shares);
            for (i, share) in shares.iter().enumerate() {
                let alone = run(std::slice::from_ref(share));
                let part = &together[i * layout.len()..][..layout.len()];
                for (p, (a, b)) in part.iter().zip(&alone).enumerate() {
                    let close = (a - b).abs() <= 1e-6 * b.abs().max(1e-3);
                    assert!(close, "{family:?}, {what}: entry {p} of client {i}: {a} against {b}");
                }
            }
        }
    }
}

#[test]
fn a_split_anywhere_equals_the_whole_bit_for_bit() {
    for family in FAMILIES {
        for (what, methods) in methods(family) {
            let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, &methods));
            let (batch, point) = (batch(family, &[7, 2, 30], 4), parameters(&layout, 6));
            let share = [Share::whole(&point, &batch)];
            let whole = &model.loss_and_gradients(&layout, &[StackItem::new(&point, &batch)])[0];
            let blocks = architecture(family).blocks();
            let targets = model.evaluate(&layout, &point, &batch).targets as f64;
            for split in 0..=blocks {
                let (mut device, mut edge) = (model.pass(&layout, &share, true), model.pass(&layout, &share, true));
                device.embed();
                device.forward_blocks(0..split);
                edge.set_hidden(&device.hidden(), split);
                edge.forward_blocks(split..blocks);
                let loss = edge.classify().iter().map(|o| o.loss).sum::<f64>() / targets;
                edge.backward_blocks(split..blocks);
                device.set_hidden_gradient(&edge.hidden_gradient(split), split);
                device.backward_blocks(0..split);

                let what = format!("{family:?}, {what}, split {split}");
                assert_eq!(loss, whole.loss, "{what}");
                let sum: Vec<f32> = edge.gradient().iter().zip(device.gradient()).map(|(e, d)| e + d).collect();
                // A decoder, or an output matrix, that reads the trained embedding too, blocks on both sides that read one
                // table of biases: both sides have a share of its gradient, and a sum of two sums is not the sum in one go.
                let outside = what.contains("full") || what.contains("outside");
                let shared = matches!(family, Family::Gpt2 | Family::T5) && outside;
                let equal = |a: f32, b: f32| a == b || shared && (a - b).abs() <= 1e-5 * b.abs().max(1e-2);
                let differ = sum.iter().zip(&whole.gradient).position(|(&a, &b)| !equal(a, b));
                assert_eq!(differ, None, "{what}");
            }
        }
    }
}

/// What trains in the last block alone, from its first product to behind its last.
fn methods_of_the_last_block(family: Family) -> Vec<(&'static str, PeftMethod)> {
    let blocks = architecture(family).blocks();
    let upper: Vec<usize> = (0..blocks).map(|b| if b + 1 == blocks { 2 } else { 0 }).collect();
    let on = |targets: &[Projection]| lora(&upper, targets);
    let chosen: Vec<bool> = upper.iter().map(|&rank| rank > 0).collect();
    let selected =
        |selection| PeftMethod::Selective(SelectiveConfig { selection, blocks: chosen.clone(), outside: false });
    let dora = LoraConfig { variant: LoraVariant::Dora, ..on(&[Projection::FfnUp]) };
    let mut methods = vec![
        ("queries and values", PeftMethod::Lora(on(&[Projection::Query, Projection::Value]))),
        ("dropout", PeftMethod::Lora(LoraConfig { dropout: 0.25, ..on(&[Projection::Query]) })),
        ("the attention's output", PeftMethod::Lora(on(&[Projection::AttentionOutput]))),
        ("both of the feed-forward layer", PeftMethod::Lora(on(&[Projection::FfnUp, Projection::FfnDown]))),
        ("its inner product", PeftMethod::Lora(on(&[Projection::FfnUp]))),
        ("its output", PeftMethod::Lora(on(&[Projection::FfnDown]))),
        ("magnitudes", PeftMethod::Lora(dora)),
        ("whole", selected(Selection::Everything)),
    ];
    if !matches!(family, Family::Llama | Family::T5) {
        methods.push(("biases", selected(Selection::Biases)));
    }
    methods
}

#[test]
fn what_is_kept_of_a_frozen_prefix_is_what_would_be_computed_bit_for_bit() {
    use deft::nn::{Cached, FrozenPrefix, PrefixBudget};
    use std::sync::Arc;
    for family in FAMILIES {
        let model = model(Cpu::<f32>::new(), family);
        for (what, method) in methods_of_the_last_block(family) {
            let layout = layout(family, &[method]);
            let data = batch(family, &[5, 30, 2, 17, 8, 64, 3, 3, 21], 7);
            let point = parameters(&layout, 3);
            for limit in [0, 4_000, 40_000, usize::MAX] {
                let memory = Arc::new(PrefixBudget::new(limit));
                let cache = FrozenPrefix::new(&model, &layout, data.sequences(), memory.clone());
                let cache = cache.expect("frozen blocks below");
                for chosen in [&[3usize, 1, 4][..], &[4, 8, 0, 2, 5], &[1, 2, 3, 4], &[2, 7], &[5, 3, 1]] {
                    let batch = data.subset(chosen);
                    let plain = StackItem { dropout: Some(CounterStream::new(1, 2)), ..StackItem::new(&point, &batch) };
                    let cached = StackItem { prefix: Some(Cached { cache: &cache, samples: chosen }), ..plain };
                    let outcomes = model.loss_and_gradients(&layout, &[plain, cached]);
                    assert_eq!(outcomes[0], outcomes[1], "{family:?}, {what}, {chosen:?}, limit {limit}");
                    let evaluations = [plain, cached].map(|item| model.evaluate_item(&layout, &item));
                    assert_eq!(evaluations[0], evaluations[1], "{family:?}, {what}, {chosen:?}, limit {limit}");
                }
                let used = memory.used_bytes();
                assert!(used <= limit && (limit == 0) == (used == 0), "{family:?}: {used} bytes of {limit}");
            }
        }
    }
    let everywhere = layout(Family::Bert, &[PeftMethod::Lora(lora(&[1, 0, 0], &[Projection::Query]))]);
    let bert = model(Cpu::<f32>::new(), Family::Bert);
    assert!(
        FrozenPrefix::new(&bert, &everywhere, 3, Arc::new(PrefixBudget::new(usize::MAX))).is_none(),
        "block 0 trains"
    );
}

#[test]
fn a_frozen_prefix_reaches_up_to_the_first_trainable_tensor() {
    use deft::nn::{Cached, FrozenPrefix, PrefixBudget};
    use std::sync::Arc;
    let (family, lengths) = (Family::Bert, [5, 30, 2]);
    let (model, data) = (model(Cpu::<f32>::new(), family), batch(family, &lengths, 7));
    let architecture = architecture(family);
    let (hidden, inner, rows) = (architecture.hidden, architecture.ffn, lengths.iter().sum::<usize>());
    let attention = architecture.heads * architecture.head_dim + 2 * architecture.kv_heads * architecture.head_dim;
    let expected = |what| match what {
        "queries and values" | "dropout" | "the attention's output" | "biases" => hidden + attention,
        "both of the feed-forward layer" | "its inner product" | "its output" => hidden + inner,
        "magnitudes" | "whole" => hidden,
        _ => unreachable!("{what}"),
    };
    for (what, method) in methods_of_the_last_block(family) {
        let (layout, memory) = (layout(family, &[method]), Arc::new(PrefixBudget::new(usize::MAX)));
        let cache = FrozenPrefix::new(&model, &layout, data.sequences(), memory.clone()).expect("frozen blocks below");
        let point = parameters(&layout, 3);
        let item =
            StackItem { prefix: Some(Cached { cache: &cache, samples: &[0, 1, 2] }), ..StackItem::new(&point, &data) };
        model.loss_and_gradients(&layout, &[item]);
        assert_eq!(memory.used_bytes(), rows * expected(what) * size_of::<f32>(), "{what}");
    }
}

#[test]
fn neither_stack_mates_nor_threads_change_a_bit() {
    let family = Family::Bert;
    let methods = [PeftMethod::Lora(deft::nn::LoraConfig { dropout: 0.25, ..lora(&[2, 1, 2], &[Projection::Query]) })];
    let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, &methods));
    // The second batch is several chunks long.
    let batches = [
        batch(family, &[3, 9], 1),
        batch(family, &[60; 25], 2),
        batch(family, &[1], 3),
        batch(family, &[20, 70, 41], 4),
    ];
    assert!(model.chunks(&batches[1]).len() > 2);
    let points: Vec<Vec<f32>> = (0..4).map(|i| parameters(&layout, i)).collect();
    let key = |i: usize| deft::random::CounterStream::new(i as u64, 77);
    let stack: Vec<StackItem> = batches
        .iter()
        .zip(&points)
        .enumerate()
        .map(|(i, (batch, parameters))| StackItem { dropout: Some(key(i)), ..StackItem::new(parameters, batch) })
        .collect();
    let on = |threads: usize, stack: &[StackItem]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| model.loss_and_gradients(&layout, stack))
    };
    let reference = on(1, &stack);
    assert_eq!(on(2, &stack), reference);
    assert_eq!(on(3, &stack), reference);
    let separate: Vec<_> = stack.iter().map(|item| on(2, std::slice::from_ref(item)).remove(0)).collect();
    assert_eq!(separate, reference);
    let reversed: Vec<StackItem> = stack.iter().rev().copied().collect();
    assert!(on(2, &reversed).iter().eq(reference.iter().rev()));
    let dry: Vec<StackItem> = stack.iter().map(|item| StackItem { dropout: None, ..*item }).collect();
    assert_ne!(on(2, &dry), reference, "dropout drops nothing");
}

/// On one thread, three or four of these batches share a pass.
#[test]
fn small_batches_that_share_a_pass_keep_their_bits() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread pool");
    for family in FAMILIES {
        let model = model(Cpu::<f32>::new(), family);
        for (what, methods) in methods(family) {
            let layout = layout(family, &methods);
            let batches: Vec<PackedBatch> = (0..14).map(|i| batch(family, &[2 + i % 5, 7, 3 + i], i as u64)).collect();
            let points: Vec<Vec<f32>> = (0..14).map(|i| parameters(&layout, i)).collect();
            let items = batches.iter().zip(&points).enumerate();
            let stack: Vec<StackItem> = items
                .map(|(i, (batch, point))| StackItem {
                    dropout: Some(CounterStream::new(i as u64, 78)),
                    ..StackItem::new(point, batch)
                })
                .collect();
            let on_one = |stack: &[StackItem]| pool.install(|| model.loss_and_gradients(&layout, stack));
            let alone: Vec<_> = stack.chunks(1).flat_map(on_one).collect();
            assert_eq!(on_one(&stack), alone, "{family:?}, {what}");
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
