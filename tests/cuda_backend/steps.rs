//! Steps of AdamW that the backend takes where gradients are, against those of the host along the same gradients.

use crate::cuda_device::{device, on_gpu};
use crate::cuda_host::{HostDevice, SCHEDULES, Schedule};
use crate::tiny::{architecture, batch, layout, lora, model, parameters};
use crate::watched::Watched;
use deft::backend::cuda::{Cuda, Purpose};
use deft::backend::{Backend, HalfCpu};
use deft::data::PackedBatch;
use deft::fomo::Family;
use deft::nn::{AdamW, Model, Moments, Optimizer, ParameterLayout, PeftMethod, Projection, StackItem};
use std::sync::Arc;

const RULE: AdamW =
    AdamW { learning_rate: 0.02, head_learning_rate: 0.05, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weight_decay: 0.1 };

/// Passes of few tokens, so that one client's batch takes several and two clients share one.
fn cuda(schedule: Schedule, bytes: usize) -> Option<Cuda> {
    device(schedule).map(|device| Cuda::in_passes_of(20, device, bytes).expect("a little memory"))
}

/// Three clients: a batch of several passes, one that shares a pass with its neighbour, one of nothing.
fn batches(family: Family) -> [PackedBatch; 3] {
    [batch(family, &[9, 14, 12, 11, 3], 5), batch(family, &[4, 2], 6), batch(family, &[], 7)]
}

struct Client {
    parameters: Vec<f32>,
    moments: Moments,
    loss: f64,
}

fn clients(layout: &ParameterLayout) -> Vec<Client> {
    let moments = || {
        let mut moments = Moments::anew(0);
        moments.loss_scale.scale = 512.0;
        moments
    };
    (8..11).map(|seed| Client { parameters: parameters(layout, seed), moments: moments(), loss: 0.0 }).collect()
}

fn items<'a>(clients: &'a [Client], batches: &'a [PackedBatch]) -> Vec<StackItem<'a>> {
    let item = |(client, batch): (&'a Client, &'a PackedBatch)| StackItem {
        loss_scale: client.moments.loss_scale.scale,
        ..StackItem::new(&client.parameters, batch)
    };
    clients.iter().zip(batches).map(item).collect()
}

fn step_there<B: Backend>(
    model: &Model<B>,
    layout: &ParameterLayout,
    rule: AdamW,
    clients: &mut [Client],
    batches: &[PackedBatch],
) {
    let mut moments: Vec<Moments> = clients.iter().map(|c| c.moments.clone()).collect();
    let stepped = model.adamw_steps(layout, &items(clients, batches), &rule, &mut moments).expect("steps of its own");
    for ((client, stepped), moments) in clients.iter_mut().zip(stepped).zip(moments) {
        *client = Client { parameters: stepped.parameters, moments, loss: stepped.loss };
    }
}

fn step_here<B: Backend>(
    model: &Model<B>,
    layout: &ParameterLayout,
    rule: AdamW,
    clients: &mut [Client],
    batches: &[PackedBatch],
) {
    let outcomes = model.loss_and_gradients(layout, &items(clients, batches));
    for (client, mut outcome) in clients.iter_mut().zip(outcomes) {
        client.loss = outcome.loss;
        if client.moments.loss_scale.unscale(&mut outcome.gradient) {
            let Client { parameters, moments, .. } = client;
            Optimizer::AdamW(rule).update(layout, parameters, &outcome.gradient, moments);
        }
    }
}

fn off(found: &[f32], expected: &[f32]) -> f64 {
    let square = |(f, e): (&f32, &f32)| f64::from(f - e).powi(2);
    let size: f64 = expected.iter().map(|e| f64::from(*e).powi(2)).sum();
    (found.iter().zip(expected).map(square).sum::<f64>() / size.max(1e-30)).sqrt()
}

fn lora_everywhere(family: Family) -> ParameterLayout {
    let all: Vec<Projection> = Projection::of(&architecture(family)).collect();
    layout(family, &[PeftMethod::Lora(lora(&vec![2; architecture(family).blocks()], &all))])
}

#[test]
fn steps_taken_there_are_those_of_the_host_along_the_same_gradients() {
    for family in [Family::Bert, Family::Llama] {
        let Some(cuda) = cuda(Schedule::default(), 48 << 20) else { return };
        let (layout, batches) = (lora_everywhere(family), batches(family));
        let model = model(cuda, family);
        let (mut there, mut here) = (clients(&layout), clients(&layout));
        for step in 0..3 {
            step_there(&model, &layout, RULE, &mut there, &batches);
            step_here(&model, &layout, RULE, &mut here, &batches);
            for (client, (t, h)) in there.iter().zip(&here).enumerate() {
                let what = format!("{family:?}, step {step}, client {client}");
                assert_eq!(t.moments.step, step + 1, "{what}");
                assert_eq!((t.moments.run_step, t.moments.loss_scale), (h.moments.run_step, h.moments.loss_scale));
                assert!((t.loss - h.loss).abs() <= 1e-4 * h.loss, "{what}: loss {} and {}", t.loss, h.loss);
                // A GPU may contract products and sums, after which gradients differ by a rounding to half precision.
                assert!(off(&t.parameters, &h.parameters) < 1e-4, "{what}: {}", off(&t.parameters, &h.parameters));
                assert!(off(&t.moments.m, &h.moments.m) < 1e-3 && off(&t.moments.v, &h.moments.v) < 2e-3, "{what}");
                if step == 0 {
                    assert!(off(&t.parameters, &h.parameters) < 1e-6, "{what}: one step");
                }
            }
        }
        assert!(there[0].parameters != clients(&layout)[0].parameters && there[0].loss > 0.0);
    }
}

/// A few steps from one point, of the GPU's kernels and of the CPU in half precision: as near as their gradients are. Steps
/// are small, because AdamW's first ones go by the signs of gradients, of which the smallest are noise.
#[test]
fn steps_follow_those_of_the_cpu_in_half_precision() {
    for family in [Family::Bert, Family::Gpt2, Family::Llama] {
        let Some(cuda) = cuda(Schedule::default(), 48 << 20) else { return };
        let (layout, batches) = (lora_everywhere(family), batches(family));
        let rule = AdamW { learning_rate: 2e-3, head_learning_rate: 5e-3, ..RULE };
        let (gpu, cpu) = (model(cuda, family), model(HalfCpu::new(), family));
        assert_eq!(cpu.adamw_steps(&layout, &[], &RULE, &mut []), None);
        let (mut there, mut here) = (clients(&layout), clients(&layout));
        for step in 0..4 {
            step_there(&gpu, &layout, rule, &mut there, &batches);
            step_here(&cpu, &layout, rule, &mut here, &batches);
            for (client, (t, h)) in there.iter().zip(&here).enumerate() {
                let what = format!("{family:?}, step {step}, client {client}");
                assert!((t.loss - h.loss).abs() <= 1e-2 * h.loss, "{what}: loss {} and {}", t.loss, h.loss);
                let moved = off(&h.parameters, &clients(&layout)[client].parameters);
                let apart = off(&t.parameters, &h.parameters);
                assert!(apart < 0.1 * moved, "{what}: {apart} apart after moving {moved}");
            }
        }
    }
}

#[test]
fn a_step_that_overflows_moves_nothing_and_lowers_the_scale() {
    let Some(cuda) = cuda(Schedule::default(), 48 << 20) else { return };
    let (layout, batches) = (lora_everywhere(Family::Bert), batches(Family::Bert));
    let model = model(cuda, Family::Bert);
    let mut those = clients(&layout);
    step_there(&model, &layout, RULE, &mut those, &batches);
    let before: Vec<(Vec<f32>, Moments)> = those.iter().map(|c| (c.parameters.clone(), c.moments.clone())).collect();
    those[0].moments.loss_scale.scale = f32::MAX;
    step_there(&model, &layout, RULE, &mut those, &batches);
    let (first, (parameters, moments)) = (&those[0], &before[0]);
    assert_eq!(&first.parameters, parameters);
    assert_eq!((&first.moments.m, &first.moments.v, first.moments.step), (&moments.m, &moments.v, 1));
    assert_eq!(first.moments.loss_scale.scale, f32::MAX / 2.0);
    assert!(those[1].parameters != before[1].0 && those[1].moments.step == 2);
}

/// The host waits for a step when all clients' have begun.
#[test]
fn steps_of_all_clients_begin_before_the_host_waits_for_one() {
    if on_gpu() {
        return;
    }
    let Some(device) = HostDevice::new(Schedule::default()) else { return };
    let device = Arc::new(Watched::new(device, |_| None));
    let cuda = Cuda::new(device.clone(), 48 << 20).expect("a little memory");
    let (layout, batches) = (lora_everywhere(Family::Bert), batches(Family::Bert));
    let model = model(cuda, Family::Bert);
    let mut those = clients(&layout);
    device.forget();
    step_there(&model, &layout, RULE, &mut those, &batches);
    let order = device.order();
    let first = order.iter().position(|what| *what == "unscale").expect("a step");
    let (begun, waited): (Vec<&str>, Vec<&str>) = order[first..].iter().partition(|what| **what != "read");
    assert_eq!((begun.iter().filter(|what| **what == "unscale").count(), waited.len()), (3, 3), "{order:?}");
    assert!(order.ends_with(&["read"; 3]), "{order:?}");
}

#[test]
fn what_an_optimiser_remembers_stays_there_while_it_takes_little() {
    let (layout, batches) = (lora_everywhere(Family::Bert), batches(Family::Bert));
    let each = 2 * (4 * layout.len()).next_multiple_of(256);
    for (bytes, kept) in [(48 << 20, 3 * each), (24 * each, 3 * each), (16 * each, 2 * each)] {
        // Of 16, an eighth is 2: the third client's goes to the host. Weights and activations need more than that.
        let Some(device) = device(SCHEDULES[1]) else { return };
        let cuda = Cuda::in_passes_of(20, device, bytes.max(each)).expect("a little memory");
        let stepped = Cuda::catching(|| {
            let model = model(cuda.clone(), Family::Bert);
            let mut those = clients(&layout);
            step_there(&model, &layout, RULE, &mut those, &batches);
            assert_eq!(cuda.held_bytes(Purpose::Moments), kept, "of {bytes}");
            assert!(those.iter().all(|c| c.moments.m.len() == layout.len()));
            those
        });
        drop(stepped.unwrap_or_else(|why| panic!("{why}")));
        assert_eq!(cuda.held_bytes(Purpose::Moments), 0, "of {bytes}");
    }
}
