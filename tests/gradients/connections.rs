//! Blocks that devices hold in slices, whose sums a channel forms.

use crate::tiny::{FAMILIES, architecture, batch, layout, lora, methods, model, parameters};
use crate::{Conditions, assert_gradient_under};
use deft::backend::Cpu;
use deft::data::PackedBatch;
use deft::fomo::Family;
use deft::nn::{Cached, FrozenPrefix, PeftMethod, PrefixBudget, Projection, Share, StackItem, StepOutcome, SumChannel};
use deft::random::CounterStream;
use std::sync::Arc;

fn channel(blocks: &[usize], gains: &[f64], noise_std: f64) -> SumChannel {
    SumChannel { blocks: blocks.to_vec(), gains: gains.to_vec(), noise_std, noise: CounterStream::new(4, 9) }
}

const UNEQUAL: [f64; 3] = [0.75, 1.25, 1.0625];

#[test]
fn the_gradient_is_that_of_the_network_that_was_heard() {
    for family in FAMILIES {
        for (what, methods) in methods(family) {
            let last = architecture(family).blocks() - 1;
            let channel = channel(&[0, last], &UNEQUAL, 0.0);
            let conditions = Conditions { channel: Some(&channel), ..Conditions::default() };
            assert_gradient_under(conditions, family, &format!("{what}, in slices"), &methods, 3);
        }
    }
}

#[test]
fn the_sum_over_slices_is_the_whole_layer() {
    for family in FAMILIES {
        let (_, methods) = methods(family).remove(0);
        let (model, layout) = (model(Cpu::<f64>::new(), family), layout(family, &methods));
        let (batch, point) = (batch(family, &[6, 11, 4], 5), parameters(&layout, 8));
        let blocks: Vec<usize> = (0..architecture(family).blocks()).collect();
        let whole = StackItem::new(&point, &batch);
        let outcome = |gains: &[f64]| {
            let channel = channel(&blocks, gains, 0.0);
            model.loss_and_gradients(&layout, &[StackItem { channel: Some(&channel), ..whole }]).remove(0)
        };
        let expected = model.loss_and_gradients(&layout, &[whole]).remove(0);
        assert!(distance(&outcome(&[1.0; 3]), &expected) < 1e-6, "{family:?}");
        assert!(distance(&outcome(&UNEQUAL), &expected) > 1e-3, "{family:?}: gains change nothing");
    }
}

/// Between gradients, over the length of `b`'s, or between losses.
fn distance(a: &StepOutcome, b: &StepOutcome) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut a.gradient.iter().zip(&b.gradient).map(|(a, b)| f64::from(a - b)));
    (apart / norm(&mut b.gradient.iter().map(|g| f64::from(*g)))).max((a.loss - b.loss).abs())
}

#[test]
fn noise_belongs_to_a_place_in_the_batch_not_to_a_chunk_or_thread() {
    for family in [Family::Bert, Family::Gpt2] {
        let methods = [PeftMethod::Lora(lora(&[2, 1, 2], &[Projection::Query, Projection::AttentionOutput]))];
        let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, &methods));
        let (batch, point) = (batch(family, &[50; 24], 2), parameters(&layout, 3));
        assert!(model.chunks(&batch).len() > 2);
        let noisy = channel(&[0, 2], &UNEQUAL, 0.1);
        let item = StackItem { channel: Some(&noisy), ..StackItem::new(&point, &batch) };
        let on = |threads: usize, stack: &[StackItem]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            pool.install(|| model.loss_and_gradients(&layout, stack))
        };
        let alone = on(1, &[item]).remove(0);
        let company = on(3, &[StackItem::new(&point, &batch), item]);
        assert_eq!(company[1], alone, "{family:?}");
        assert!(distance(&alone, &company[0]) > 1e-3, "{family:?}: noise changes nothing");
        let other = SumChannel { noise: CounterStream::new(5, 9), ..noisy.clone() };
        assert_ne!(on(1, &[StackItem { channel: Some(&other), ..item }])[0], alone, "{family:?}");

        // Two passes over halves that are not the chunks hear what one pass over all hears.
        let losses = |sequences: std::ops::Range<usize>| {
            let share = Share { sequences, channel: Some(&noisy), ..Share::whole(&point, &batch) };
            let mut pass = model.pass(&layout, &[share], false);
            pass.embed();
            pass.forward_blocks(0..3);
            pass.classify().iter().map(|o| o.loss).collect::<Vec<f64>>()
        };
        assert_eq!([losses(0..7), losses(7..24)].concat(), losses(0..24), "{family:?}");
    }
}

#[test]
fn hidden_states_that_a_channel_has_been_through_are_not_kept() {
    let family = Family::Bert;
    let methods = [PeftMethod::Lora(lora(&[0, 0, 2], &[Projection::Query]))];
    let (model, layout) = (model(Cpu::<f32>::new(), family), layout(family, &methods));
    let (data, point) = (batch(family, &[5, 30, 2, 17], 7), parameters(&layout, 3));
    let samples: Vec<usize> = (0..data.sequences()).collect();
    let memory = Arc::new(PrefixBudget::new(usize::MAX));
    let cache = FrozenPrefix::new(&model, &layout, data.sequences(), memory.clone()).expect("frozen blocks below");
    let prefix = Some(Cached { cache: &cache, samples: &samples });
    let outcome = |prefix, channel: &SumChannel, batch: &PackedBatch| {
        model.loss_and_gradients(
            &layout,
            &[StackItem { prefix, channel: Some(channel), ..StackItem::new(&point, batch) }],
        )
    };
    let below = channel(&[1], &[1.0; 3], 0.2);
    assert_eq!(outcome(prefix, &below, &data), outcome(None, &below, &data));
    assert_eq!(memory.used_bytes(), 0);
    // Above what is kept, it may be.
    let above = channel(&[2], &[1.0; 3], 0.2);
    assert_eq!(outcome(prefix, &above, &data), outcome(None, &above, &data));
    assert!(memory.used_bytes() > 0);
    assert_eq!(outcome(prefix, &above, &data), outcome(None, &above, &data));
    assert_eq!(outcome(prefix, &below, &data), outcome(None, &below, &data));
}
