//! Steps side by side: neither company nor threads change a bit, and what a step draws is its own.

use crate::tiny::{FAMILIES, architecture, batch, layout, lora, model, parameters};
use crate::variants::{every_method, everywhere};
use deft::backend::{Backend, Cpu, HalfCpu};
use deft::data::PackedBatch;
use deft::fomo::Family;
use deft::nn::{
    AtCut, Cut, Distortion, LoraConfig, LoraVariant, PeftMethod, Projection, PromptConfig, Share, StackItem,
};
use deft::random::CounterStream;

fn on<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool").install(work)
}

fn assert_company_and_threads_change_nothing<B: Backend>(backend: B, family: Family) {
    let ranks = [2, 1, 2, 1];
    let ranks = &ranks[..architecture(family).blocks()];
    let methods = [PeftMethod::Lora(LoraConfig { dropout: 0.25, ..lora(ranks, &[Projection::Query]) })];
    let (model, layout) = (model(backend, family), layout(family, &methods));
    // The second batch is several chunks long. Language models predict nothing from a text of one token.
    let shortest = if family == Family::Gpt2 { 2 } else { 1 };
    let batches = [
        batch(family, &[3, 9], 1),
        batch(family, &[60; 25], 2),
        batch(family, &[shortest], 3),
        batch(family, &[20, 70, 41], 4),
    ];
    assert!(model.chunks(&batches[1]).len() > 2);
    let points: Vec<Vec<f32>> = (0..4).map(|i| parameters(&layout, i)).collect();
    let key = |i: usize| CounterStream::new(i as u64, 77);
    let items = batches.iter().zip(&points).enumerate();
    let stack: Vec<StackItem> = items
        .map(|(i, (batch, parameters))| StackItem { dropout: Some(key(i)), ..StackItem::new(parameters, batch) })
        .collect();
    let on = |threads, stack: &[StackItem]| on(threads, || model.loss_and_gradients(&layout, stack));
    let reference = on(1, &stack);
    assert!(on(2, &stack) == reference, "{family:?}: two threads");
    assert!(on(3, &stack) == reference, "{family:?}: three threads");
    let separate: Vec<_> = stack.iter().map(|item| on(2, std::slice::from_ref(item)).remove(0)).collect();
    assert!(separate == reference, "{family:?}: alone");
    let reversed: Vec<StackItem> = stack.iter().rev().copied().collect();
    assert!(on(2, &reversed).iter().eq(reference.iter().rev()), "{family:?}: in another order");
    let dry: Vec<StackItem> = stack.iter().map(|item| StackItem { dropout: None, ..*item }).collect();
    assert!(on(2, &dry) != reference, "{family:?}: dropout drops nothing");
}

#[test]
fn neither_stack_mates_nor_threads_change_a_bit() {
    // An encoder, a language model, and one with cross attention and a table of biases.
    for family in [Family::Bert, Family::Gpt2, Family::T5] {
        assert_company_and_threads_change_nothing(Cpu::<f32>::new(), family);
        assert_company_and_threads_change_nothing(HalfCpu::new(), family);
    }
}

/// On one thread, three or four of these batches share a pass.
fn assert_sharing_a_pass_keeps_bits<B: Backend>(backend: B, family: Family) {
    let model = model(backend, family);
    for (what, methods) in every_method(family) {
        let layout = layout(family, &methods);
        let batches: Vec<PackedBatch> = (0..14).map(|i| batch(family, &[2 + i % 5, 7, 3 + i], i as u64)).collect();
        let points: Vec<Vec<f32>> = (0..14).map(|i| parameters(&layout, i)).collect();
        let items = batches.iter().zip(&points).enumerate();
        let stack: Vec<StackItem> = items
            .map(|(i, (batch, point))| StackItem {
                dropout: Some(CounterStream::new(i as u64, 78)),
                // Those of a pass may have met overflows at other times.
                loss_scale: 2f32.powi(i as i32),
                ..StackItem::new(point, batch)
            })
            .collect();
        let on_one = |stack: &[StackItem]| on(1, || model.loss_and_gradients(&layout, stack));
        let alone: Vec<_> = stack.chunks(1).flat_map(on_one).collect();
        assert!(on_one(&stack) == alone, "{family:?}, {what}");
    }
}

#[test]
fn small_batches_that_share_a_pass_keep_their_bits() {
    FAMILIES.into_iter().for_each(|family| assert_sharing_a_pass_keeps_bits(Cpu::<f32>::new(), family));
}

#[test]
fn in_half_precision_small_batches_that_share_a_pass_keep_their_bits() {
    FAMILIES.into_iter().for_each(|family| assert_sharing_a_pass_keeps_bits(HalfCpu::new(), family));
}

/// However the batch is cut into chunks, passes over parts drop what one pass over all drops.
#[test]
fn dropout_belongs_to_a_place_in_the_batch() {
    for family in FAMILIES {
        let model = model(Cpu::<f64>::new(), family);
        let low_rank = everywhere(family, LoraVariant::Plain, 0.3);
        // The rows of a prompt come before each text's own.
        let prompt = PeftMethod::Prompt(PromptConfig { tokens: 3 });
        for methods in [vec![low_rank.clone()], vec![low_rank, prompt]] {
            let layout = layout(family, &methods);
            let (data, point) = (batch(family, &[5, 9, 2, 17, 8], 2), parameters(&layout, 3));
            let losses = |batch: &PackedBatch, sequences: std::ops::Range<usize>| {
                let dropout = Some(CounterStream::new(8, 8));
                let share = Share { sequences, dropout, ..Share::whole(&point, batch) };
                let mut pass = model.pass(&layout, &[share], false);
                pass.embed();
                pass.forward_blocks(0..architecture(family).blocks());
                pass.classify().iter().map(|o| o.loss).collect::<Vec<f64>>()
            };
            let whole = losses(&data, 0..5);
            assert_eq!([losses(&data, 0..2), losses(&data, 2..5)].concat(), whole, "{family:?}");
            let swapped = losses(&data.subset(&[1, 0]), 0..2);
            assert_ne!(swapped[1], whole[0], "{family:?}: the same is dropped at another place");
        }
    }
}

/// The second chunk of a batch does not repeat the noise of the first.
#[test]
fn a_samples_draws_are_of_its_place_in_the_batch() {
    let family = Family::Bert;
    let layout = layout(family, &[PeftMethod::Lora(lora(&[2, 1, 2], &[Projection::Query]))]);
    let model = model(Cpu::<f32>::new(), family);
    let one = batch(family, &[50], 2);
    let (all, half) = (one.subset(&[0; 12]), one.subset(&[0; 6]));
    assert_eq!((model.chunks(&all), model.chunks(&half).len()), (vec![0..6, 6..12], 1));
    let point = parameters(&layout, 3);
    let noise = Distortion::Noise { snr: 4.0 };
    for (up, down) in [(noise, Distortion::None), (Distortion::None, noise)] {
        let cut = Cut { block: 1, up, down };
        let gradient = |batch| {
            let cut = Some(AtCut { cut: &cut, stream: CounterStream::new(5, 5) });
            let item = StackItem { cut, ..StackItem::new(&point, batch) };
            model.loss_and_gradients(&layout, &[item]).remove(0).gradient
        };
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let (whole, part) = (gradient(&all), gradient(&half));
        let apart = norm(&mut whole.iter().zip(&part).map(|(a, b)| a - b)) / norm(&mut part.iter().copied());
        assert!(apart > 1e-4, "both chunks hear the same noise: {up:?}, {down:?}");
    }
}
