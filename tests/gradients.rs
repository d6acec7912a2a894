//! The backward pass against finite differences in double precision, and the identities that stacking, packing,
//! splitting and threading must keep.

use deft::backend::{Backend, Cpu};
use deft::data::PackedBatch;
use deft::fomo::{Architecture, CheckpointError, Family, TensorSource};
use deft::nn::{LoraConfig, Model, NnError, Owner, ParameterLayout, PeftMethod, Projection, Share, StackItem};
use deft::random::Streams;

/// Weights of a model that nobody trained: each tensor from a stream of its own name.
struct MadeUp;

impl TensorSource for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let stream = Streams::new(3, 0).counter(name, "weights");
        let (centre, spread) = if name.ends_with("LayerNorm.weight") { (1.0, 0.3) } else { (0.0, 0.5) };
        let len = shape.iter().product::<usize>() as u64;
        Ok((0..len).map(|i| (centre + spread * (2.0 * stream.uniform(i) - 1.0)) as f32).collect())
    }
}

/// Odd sizes on purpose: no dimension is a multiple of a register.
fn tiny() -> Architecture {
    Architecture {
        name: "tiny".into(),
        family: Family::Bert,
        encoder_layers: 3,
        decoder_layers: 0,
        hidden: 21,
        heads: 3,
        kv_heads: 3,
        head_dim: 7,
        ffn: 37,
        gated_ffn: false,
        vocabulary: 50,
        positions: 80,
        token_types: 2,
        image: None,
        norm_eps: 1e-12,
        activation: deft::backend::Activation::Gelu,
        rotary: None,
        relative_positions: None,
        tied_output: false,
    }
}

fn lora(rank_per_block: [usize; 3], targets: &[Projection]) -> PeftMethod {
    PeftMethod::Lora(LoraConfig { rank_per_block: rank_per_block.to_vec(), alpha: 6.0, targets: targets.to_vec() })
}

fn layout(method: &PeftMethod) -> ParameterLayout {
    ParameterLayout::new(&tiny(), method, 3).expect("fits the tiny model")
}

fn model<B: Backend>(backend: B) -> Model<B> {
    Model::load(backend, &tiny(), &MadeUp).expect("the tiny model")
}

/// Sequences of the given lengths with made-up tokens and labels.
fn batch(lengths: &[usize], seed: u64) -> PackedBatch {
    let stream = Streams::new(seed, 0).counter("batch", "tokens");
    let sequences: Vec<Vec<u32>> = lengths
        .iter()
        .enumerate()
        .map(|(s, &len)| (0..len as u64).map(|i| (stream.child(s as u64).bits(i) % 50) as u32).collect())
        .collect();
    PackedBatch::pack(sequences.iter().enumerate().map(|(s, tokens)| (tokens.as_slice(), (s % 3) as u32)))
}

/// Parameters away from zero everywhere, so that every term of every gradient is exercised.
fn parameters(layout: &ParameterLayout, seed: u64) -> Vec<f32> {
    let stream = Streams::new(seed, 0).counter("parameters", "values");
    (0..layout.len() as u64).map(|i| (0.3 * (2.0 * stream.uniform(i) - 1.0)) as f32).collect()
}

fn loss(model: &Model<Cpu<f64>>, layout: &ParameterLayout, parameters: &[f32], batch: &PackedBatch) -> f64 {
    model.evaluate(layout, parameters, batch).loss_sum / batch.sequences() as f64
}

/// Central differences of fourth order at up to two dozen parameters of every tensor.
fn assert_gradient_matches_differences(method: &PeftMethod) {
    let (model, layout) = (model(Cpu::<f64>::new()), layout(method));
    let batch = batch(&[1, 19, 4, 33], 5);
    let point = parameters(&layout, 8);
    let outcome = &model.loss_and_gradients(&layout, &[StackItem { parameters: &point, batch: &batch }])[0];
    assert!((outcome.loss - loss(&model, &layout, &point, &batch)).abs() < 1e-12);
    for tensor in layout.tensors() {
        // An odd stride, so that the sample wanders over the columns.
        let stride = (tensor.range().len() / 24) | 1;
        let sample: Vec<usize> = tensor.range().step_by(stride).collect();
        let numeric: Vec<f64> = sample
            .iter()
            .map(|&i| {
                // Parameters are f32: what counts is where they land, not where they were sent.
                let step = 2f32.powi(-9);
                let mut at = point.clone();
                let mut value = |k: f32| {
                    at[i] = point[i] + k * step;
                    (f64::from(at[i]), loss(&model, &layout, &at, &batch))
                };
                let ((x1, l1), (x0, l0)) = (value(1.0), value(-1.0));
                let ((x3, l3), (x2, l2)) = (value(2.0), value(-2.0));
                (4.0 * (l1 - l0) / (x1 - x0) - (l3 - l2) / (x3 - x2)) / 3.0
            })
            .collect();
        let norm = numeric.iter().map(|n| n * n).sum::<f64>().sqrt();
        let error =
            sample.iter().zip(&numeric).map(|(&i, n)| (f64::from(outcome.gradient[i]) - n).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 1e-6, "{}: no gradient to compare", tensor.name);
        assert!(error < 2e-5 * norm, "{}: relative error {:e} of norm {norm:e}", tensor.name, error / norm);
    }
}

#[test]
fn lora_on_every_projection_matches_differences() {
    assert_gradient_matches_differences(&lora([2, 3, 1], &Projection::ALL));
}

#[test]
fn lora_on_one_projection_above_a_frozen_block_matches_differences() {
    for target in Projection::ALL {
        assert_gradient_matches_differences(&lora([0, 2, 0], &[target]));
    }
}

#[test]
fn the_head_alone_matches_differences() {
    assert_gradient_matches_differences(&PeftMethod::HeadOnly);
}

#[test]
fn a_packed_batch_equals_its_sequences_one_by_one() {
    let (model, layout) = (model(Cpu::<f64>::new()), layout(&lora([2, 2, 2], &Projection::ALL)));
    let (lengths, point) = ([1, 40, 2, 17, 1, 64], parameters(&layout, 1));
    let whole = batch(&lengths, 2);
    let packed = &model.loss_and_gradients(&layout, &[StackItem { parameters: &point, batch: &whole }])[0];
    let singles: Vec<PackedBatch> =
        (0..lengths.len()).map(|i| PackedBatch::pack([(whole.sequence(i), whole.labels[i])])).collect();
    let stack: Vec<StackItem> = singles.iter().map(|batch| StackItem { parameters: &point, batch }).collect();
    let outcomes = model.loss_and_gradients(&layout, &stack);
    let mean = |f: &dyn Fn(usize) -> f64| (0..lengths.len()).map(f).sum::<f64>() / lengths.len() as f64;
    assert!((packed.loss - mean(&|i| outcomes[i].loss)).abs() < 1e-12);
    for (p, &gradient) in packed.gradient.iter().enumerate() {
        let expected = mean(&|i| f64::from(outcomes[i].gradient[p]));
        assert!((f64::from(gradient) - expected).abs() < 1e-7, "parameter {p}: {gradient} against {expected}");
    }
}

#[test]
fn a_pass_over_two_clients_keeps_their_parameters_apart() {
    let (model, layout) = (model(Cpu::<f64>::new()), layout(&lora([1, 2, 3], &Projection::ALL)));
    let (batches, points) =
        ([batch(&[5, 9], 1), batch(&[3, 1, 12], 2)], [parameters(&layout, 1), parameters(&layout, 2)]);
    let shares: Vec<Share> = batches
        .iter()
        .zip(&points)
        .map(|(batch, parameters)| Share { parameters, batch, sequences: 0..batch.sequences() })
        .collect();
    let run = |shares: &[Share]| {
        let mut pass = model.pass(&layout, shares, true);
        pass.embed();
        pass.forward_blocks(0..3);
        pass.classify();
        pass.backward_blocks(0..3);
        pass.gradient()
    };
    let together = run(&shares);
    for (i, share) in shares.iter().enumerate() {
        let alone = run(std::slice::from_ref(share));
        let (part, start) = (&together[i * layout.len()..][..layout.len()], i * layout.len());
        for (p, (a, b)) in part.iter().zip(&alone).enumerate() {
            assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-3), "entry {} of client {i}: {a} against {b}", start + p);
        }
    }
}

#[test]
fn a_split_anywhere_equals_the_whole_bit_for_bit() {
    for method in [lora([2, 2, 2], &[Projection::Query, Projection::Value]), lora([0, 2, 1], &Projection::ALL)] {
        let (model, layout) = (model(Cpu::<f32>::new()), layout(&method));
        let (batch, point) = (batch(&[7, 1, 30], 4), parameters(&layout, 6));
        let share = [Share { parameters: &point, batch: &batch, sequences: 0..3 }];
        let whole = &model.loss_and_gradients(&layout, &[StackItem { parameters: &point, batch: &batch }])[0];
        for split in 0..=3 {
            let (mut device, mut edge) = (model.pass(&layout, &share, true), model.pass(&layout, &share, true));
            device.embed();
            device.forward_blocks(0..split);
            edge.set_hidden(&device.hidden());
            edge.forward_blocks(split..3);
            let loss = edge.classify().iter().map(|o| o.loss).sum::<f64>() / 3.0;
            edge.backward_blocks(split..3);
            device.set_hidden_gradient(&edge.hidden_gradient());
            device.backward_blocks(0..split);

            let mut gradient = edge.gradient();
            let lower = device.gradient();
            for range in layout.device_side(split) {
                assert!(gradient[range.clone()].iter().all(|&g| g == 0.0), "the edge trained the device's part");
                gradient[range.clone()].copy_from_slice(&lower[range]);
            }
            assert_eq!(loss, whole.loss, "split {split}");
            assert_eq!(gradient, whole.gradient, "split {split}");
        }
    }
}

#[test]
fn neither_stack_mates_nor_threads_change_a_bit() {
    let (model, layout) = (model(Cpu::<f32>::new()), layout(&lora([2, 1, 2], &Projection::ALL)));
    // The second batch is several chunks long.
    let batches = [batch(&[3, 9], 1), batch(&[60; 25], 2), batch(&[1], 3), batch(&[20, 70, 41], 4)];
    assert!(model.chunks(&batches[1]).len() > 2);
    let points: Vec<Vec<f32>> = (0..4).map(|i| parameters(&layout, i)).collect();
    let stack: Vec<StackItem> =
        batches.iter().zip(&points).map(|(batch, parameters)| StackItem { parameters, batch }).collect();
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
}

#[test]
fn evaluation_agrees_with_training_and_an_empty_batch_is_neutral() {
    let (model, layout) = (model(Cpu::<f32>::new()), layout(&lora([1, 1, 1], &[Projection::FfnDown])));
    let (batch, point) = (batch(&[12; 60], 9), parameters(&layout, 2));
    let evaluation = model.evaluate(&layout, &point, &batch);
    let empty = PackedBatch { offsets: vec![0], ..PackedBatch::default() };
    let items = [&batch, &empty].map(|batch| StackItem { parameters: &point, batch });
    let outcomes = model.loss_and_gradients(&layout, &items);
    assert!((evaluation.loss_sum / 60.0 - outcomes[0].loss).abs() < 1e-12);
    let agree = evaluation.predictions.iter().zip(&batch.labels).filter(|(p, l)| p == l).count();
    assert_eq!((evaluation.correct, evaluation.predictions.len()), (agree, 60));
    assert!(outcomes[1].loss == 0.0 && outcomes[1].gradient.iter().all(|&g| g == 0.0));
}

#[test]
fn the_layout_names_orders_and_divides() {
    let layout = layout(&lora([2, 0, 1], &[Projection::Value, Projection::Query]));
    let names: Vec<&str> = layout.tensors().iter().map(|t| t.name.as_str()).collect();
    let lora_name = |block, part| format!("encoder.layer.{block}.attention.self.{part}");
    let expected: Vec<String> = [0, 2]
        .iter()
        .flat_map(|&b| ["query.lora_A", "query.lora_B", "value.lora_A", "value.lora_B"].map(|p| lora_name(b, p)))
        .chain(["head.weight".into(), "head.bias".into()])
        .collect();
    assert_eq!(names, expected);
    assert_eq!(layout.len(), 4 * 2 * 21 + 4 * 21 + 3 * 21 + 3);
    assert!(layout.device_side(0).is_empty());
    assert!(layout.device_side(2).iter().eq([&(0..4 * 2 * 21)]));
    assert!(layout.device_side(3).iter().eq([&(0..4 * 2 * 21 + 4 * 21)]));
    assert_eq!(layout.lowest_trainable_block(), Some(0));

    let initial = layout.initial(&Streams::new(1, 0));
    for tensor in layout.tensors() {
        let values = &initial[tensor.range()];
        if tensor.name.ends_with("lora_B") || tensor.name.ends_with("bias") {
            assert!(values.iter().all(|&v| v == 0.0), "{} starts at zero", tensor.name);
        } else {
            let bound = 1.0 / 21f32.sqrt();
            assert!(values.iter().all(|v| v.abs() <= bound) && values.iter().any(|v| v.abs() > 0.5 * bound));
        }
        assert_eq!(tensor.owner == Owner::Head, tensor.name.starts_with("head"));
    }
    assert_ne!(initial, layout.initial(&Streams::new(2, 0)));
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let refused = |method: PeftMethod| ParameterLayout::new(&tiny(), &method, 3).expect_err("does not fit");
    assert!(matches!(refused(lora([22, 0, 0], &[Projection::Key])), NnError::RankTooLarge { block: 0, limit: 21, .. }));
    assert!(matches!(refused(lora([1, 1, 1], &[])), NnError::NoTargets));
    let short = LoraConfig { rank_per_block: vec![1], alpha: 1.0, targets: vec![Projection::Key] };
    assert!(matches!(refused(PeftMethod::Lora(short)), NnError::RankCount { found: 1, expected: 3 }));
    let llama = Architecture { family: Family::Llama, ..tiny() };
    assert!(Model::load(Cpu::<f32>::new(), &llama, &MadeUp).is_err());
    let bent = Architecture { head_dim: 8, ..tiny() };
    assert!(matches!(Model::load(Cpu::<f32>::new(), &bent, &MadeUp), Err(NnError::Geometry { found: 24, .. })));

    let model = model(Cpu::<f32>::new());
    assert!(model.check_batch(&batch(&[80, 1], 1), 3).is_ok());
    let long = model.check_batch(&batch(&[3, 81], 1), 3);
    assert!(matches!(long, Err(NnError::SequenceLength { sequence: 1, tokens: 81, limit: 80 })));
    assert!(matches!(model.check_batch(&batch(&[3, 0], 1), 3), Err(NnError::SequenceLength { sequence: 1, .. })));
    assert!(matches!(model.check_batch(&batch(&[3, 3], 1), 1), Err(NnError::Label { sequence: 1, .. })));
    let alien = PackedBatch::pack([([7, 50].as_slice(), 0)]);
    assert!(matches!(model.check_batch(&alien, 3), Err(NnError::Token { token: 50, .. })));
}
