//! Passes over parts of the blocks, and over parts of a batch.

use crate::tiny::{FAMILIES, architecture, batch, layout, model, parameters};
use crate::variants::every_method;
use deft::backend::{Backend, Cpu, HalfCpu};
use deft::data::PackedBatch;
use deft::fomo::Family;
use deft::nn::{Share, StackItem};
use deft::random::CounterStream;

/// With dropout, and a loss scale as half precision needs it.
fn assert_split_anywhere_is_the_whole<B: Backend>(backend: B, family: Family) {
    let model = model(backend, family);
    for (what, methods) in every_method(family) {
        let layout = layout(family, &methods);
        let (batch, point) = (batch(family, &[7, 2, 30], 4), parameters(&layout, 6));
        let (dropout, loss_scale) = (Some(CounterStream::new(4, 4)), 64.0);
        let share = [Share { dropout, loss_scale, ..Share::whole(&point, &batch) }];
        let item = StackItem { dropout, loss_scale, ..StackItem::new(&point, &batch) };
        let whole = &model.loss_and_gradients(&layout, &[item])[0];
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
            let near = |a: f32, b: f32| (a - b).abs() <= 1e-5 * b.abs().max(1e-2 * loss_scale);
            let equal = |a: f32, b: f32| a == b || shared && near(a, b);
            let differ = sum.iter().zip(&whole.gradient).position(|(&a, &b)| !equal(a, b));
            assert_eq!(differ, None, "{what}");
        }
    }
}

#[test]
fn a_split_anywhere_equals_the_whole_bit_for_bit() {
    FAMILIES.into_iter().for_each(|family| assert_split_anywhere_is_the_whole(Cpu::<f32>::new(), family));
}

#[test]
fn in_half_precision_a_split_anywhere_equals_the_whole_bit_for_bit() {
    FAMILIES.into_iter().for_each(|family| assert_split_anywhere_is_the_whole(HalfCpu::new(), family));
}

#[test]
fn a_packed_batch_equals_its_sequences_one_by_one() {
    for family in FAMILIES {
        let model = model(Cpu::<f64>::new(), family);
        for (what, methods) in every_method(family) {
            let layout = layout(family, &methods);
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
            assert!((packed.loss - mean(&|i| outcomes[i].loss)).abs() < 1e-12, "{family:?}, {what}");
            for (p, &gradient) in packed.gradient.iter().enumerate() {
                let expected = mean(&|i| f64::from(outcomes[i].gradient[p]));
                let close = (f64::from(gradient) - expected).abs() < 1e-6 * expected.abs().max(0.1);
                assert!(close, "{family:?}, {what}: parameter {p}: {gradient} against {expected}");
            }
        }
    }
}

#[test]
fn a_pass_over_two_clients_keeps_their_parameters_apart() {
    for family in FAMILIES {
        let model = model(Cpu::<f64>::new(), family);
        for (what, methods) in every_method(family) {
            let layout = layout(family, &methods);
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
