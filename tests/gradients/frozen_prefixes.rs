//! What is kept of the blocks below all that trains, against the same computed anew.

use crate::tiny::{FAMILIES, architecture, batch, layout, lora, model, parameters};
use crate::variants::{Named, last_block_alone, single_methods, variants};
use deft::backend::{Backend, Cpu, HalfCpu};
use deft::fomo::Family;
use deft::nn::{
    Cached, FrozenPrefix, LoraConfig, LoraVariant, PeftMethod, PrefixBudget, Projection, Selection, SelectiveConfig,
    StackItem,
};
use deft::random::CounterStream;
use std::sync::Arc;

/// What trains in the last block alone, from its first product to behind its last.
fn methods_of_the_last_block(family: Family) -> Vec<Named> {
    let upper = last_block_alone(family);
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
    methods.into_iter().map(|(what, method)| (what, vec![method])).collect()
}

/// Plays steps of overlapping samples with a cache of at most `limit` bytes. The parameters move from step to step, as
/// those of training do: what depends on them must not be kept.
fn assert_kept_is_computed<B: Backend>(
    backend: B,
    family: Family,
    methods: impl IntoIterator<Item = Named>,
    limits: &[usize],
) {
    let model = model(backend, family);
    let data = batch(family, &[5, 30, 2, 17, 8, 64, 3, 3, 21], 7);
    for (what, methods) in methods {
        let layout = layout(family, &methods);
        for &limit in limits {
            let memory = Arc::new(PrefixBudget::new(limit));
            let cache = FrozenPrefix::new(&model, &layout, data.sequences(), memory.clone());
            let cache = cache.expect("frozen blocks below");
            let steps = [&[3usize, 1, 4][..], &[4, 8, 0, 2, 5], &[1, 2, 3, 4], &[2, 7], &[5, 3, 1]];
            for (step, chosen) in (3..).zip(steps) {
                let (batch, point) = (data.subset(chosen), parameters(&layout, step));
                let dropout = Some(CounterStream::new(1, step));
                let plain = StackItem { dropout, loss_scale: 64.0, ..StackItem::new(&point, &batch) };
                let cached = StackItem { prefix: Some(Cached { cache: &cache, samples: chosen }), ..plain };
                let outcomes = model.loss_and_gradients(&layout, &[plain, cached]);
                let what = format!("{family:?}, {what}, {chosen:?}, limit {limit}");
                assert!(outcomes[0] == outcomes[1], "{what}: losses {} and {}", outcomes[0].loss, outcomes[1].loss);
                let evaluations = [plain, cached].map(|item| model.evaluate_item(&layout, &item));
                assert_eq!(evaluations[0], evaluations[1], "{what}");
            }
            let used = memory.used_bytes();
            assert!(used <= limit && (limit == 0) == (used == 0), "{family:?}, {what}: {used} bytes of {limit}");
        }
    }
}

#[test]
fn what_is_kept_of_a_frozen_prefix_is_what_would_be_computed_bit_for_bit() {
    for family in FAMILIES {
        let methods = methods_of_the_last_block(family);
        assert_kept_is_computed(Cpu::<f32>::new(), family, methods, &[0, 4_000, 40_000, usize::MAX]);
    }
    let everywhere = layout(Family::Bert, &[PeftMethod::Lora(lora(&[1, 0, 0], &[Projection::Query]))]);
    let bert = model(Cpu::<f32>::new(), Family::Bert);
    assert!(
        FrozenPrefix::new(&bert, &everywhere, 3, Arc::new(PrefixBudget::new(usize::MAX))).is_none(),
        "block 0 trains"
    );
}

/// Every other method and combination, of the last block.
fn others(family: Family) -> Vec<Named> {
    let sizes = last_block_alone(family);
    [single_methods(&sizes), variants(family, &sizes)].concat()
}

#[test]
fn under_every_method_what_is_kept_is_what_would_be_computed() {
    for family in FAMILIES {
        assert_kept_is_computed(Cpu::<f32>::new(), family, others(family), &[4_000, usize::MAX]);
    }
}

/// Its products are rounded as they are kept on the device, and must not be rounded again on the way to the host.
#[test]
fn in_half_precision_too_what_is_kept_is_what_would_be_computed() {
    for family in FAMILIES {
        let methods = [methods_of_the_last_block(family), others(family)].concat();
        assert_kept_is_computed(HalfCpu::new(), family, methods, &[usize::MAX]);
    }
}

#[test]
fn a_frozen_prefix_reaches_up_to_the_first_trainable_tensor() {
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
    for (what, methods) in methods_of_the_last_block(family) {
        let (layout, memory) = (layout(family, &methods), Arc::new(PrefixBudget::new(usize::MAX)));
        let cache = FrozenPrefix::new(&model, &layout, data.sequences(), memory.clone()).expect("frozen blocks below");
        let point = parameters(&layout, 3);
        let item =
            StackItem { prefix: Some(Cached { cache: &cache, samples: &[0, 1, 2] }), ..StackItem::new(&point, &data) };
        model.loss_and_gradients(&layout, &[item]);
        assert_eq!(memory.used_bytes(), rows * expected(what) * size_of::<f32>(), "{what}");
    }
}
