//! The golden cases of MiniLM on the device: gradients of real weights, real sentences and every method of the case files, within
//! 3e-2 of the CPU's in single precision, which `tests/golden_peft.rs` holds to PyTorch's within 2e-4.
//!
//! Weights are those that are part of the program. On the host runtime only the first two blocks of some methods: it is slow.

use crate::compare::numbers;
use crate::cuda_device::{device, on_gpu};
use crate::cuda_host::Schedule;
use crate::methods::Listed;
use deft::backend::cuda::Cuda;
use deft::backend::{Backend, Cpu};
use deft::data::{Objective, PackedBatch};
use deft::fomo::{Architecture, SafetensorsCheckpoint, vendored};
use deft::nn::{Model, ParameterLayout, StackItem};
use serde_json::Value;

const FILES: [&str; 3] = [
    include_str!("../golden/minilm_methods.json"),
    include_str!("../golden/minilm_shared.json"),
    include_str!("../golden/minilm_variants.json"),
];
/// The bar for half precision.
const TOLERANCE: f64 = 3e-2;
const LOSS_SCALE: f32 = 1024.0;
const MEMORY: usize = 512 << 20;

fn batch(json: &Value) -> PackedBatch {
    let labels = numbers(&json["labels"]);
    let real = |s: usize| -> Vec<u32> {
        let (ids, mask) = (numbers(&json["input_ids"][s]), numbers(&json["attention_mask"][s]));
        ids.iter().zip(mask).filter(|(_, m)| *m == 1.0).map(|(id, _)| *id as u32).collect()
    };
    let sentences: Vec<Vec<u32>> = (0..labels.len()).map(real).collect();
    PackedBatch::pack(sentences.iter().zip(&labels).map(|(s, label)| (s.as_slice(), *label as u32)))
}

fn gradient<B: Backend>(
    backend: B,
    (architecture, objective, weights): (&Architecture, Objective, &SafetensorsCheckpoint),
    layout: &ParameterLayout,
    parameters: &[f32],
    batch: &PackedBatch,
) -> Vec<f32> {
    let model = Model::load(backend, architecture, objective, weights).expect("MiniLM's tensors");
    let item = StackItem { loss_scale: LOSS_SCALE, ..StackItem::new(parameters, batch) };
    let gradient = model.loss_and_gradients(layout, &[item]).remove(0).gradient;
    gradient.into_iter().map(|g| g / LOSS_SCALE).collect()
}

#[test]
fn gradients_of_the_golden_cases() {
    let minilm = vendored::minilm();
    let (weights, whole) = (minilm.checkpoint().expect("its weights"), minilm.architecture().expect("its shape"));
    let mut compared = 0;
    for json in FILES {
        let json: Value = serde_json::from_str(json).expect("a case file");
        let batch = batch(&json);
        let objective = Objective::Classification { classes: numbers(&json["head"]["bias"]).len() };
        for (method, expected) in json["methods"].as_object().into_iter().flatten() {
            let listed = Listed {
                file: json["model"].as_str().expect("a model"),
                method,
                tensors: expected["tensors"].as_array().expect("tensors"),
                constants: &json["constants"],
            };
            if !on_gpu() && !["lora", "prefix"].contains(&method.as_str()) {
                continue;
            }
            let Some(device) = device(Schedule::default()) else { return };
            let full = ParameterLayout::new(&whole, &listed.peft(&whole), objective).expect("fits MiniLM");
            let all = listed.parameters(&full, &weights);
            let architecture = Architecture { encoder_layers: if on_gpu() { 6 } else { 2 }, ..whole.clone() };
            let layout = ParameterLayout::new(&architecture, &listed.peft(&architecture), objective).expect("fits");
            // Those of the whole model, by name.
            let mut parameters = vec![0.0; layout.len()];
            for tensor in layout.tensors() {
                let of_whole = full.tensors().iter().find(|t| t.name == tensor.name).expect("the same tensor");
                parameters[tensor.range()].copy_from_slice(&all[of_whole.range()]);
            }
            let cuda = Cuda::new(device, MEMORY).expect("memory");
            let model = (&architecture, objective, &weights);
            let found = gradient(cuda, model, &layout, &parameters, &batch);
            let expected = gradient(Cpu::<f32>::new(), model, &layout, &parameters, &batch);
            let norm = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let typical = norm(&expected) / (layout.len() as f64).sqrt();
            for tensor in layout.tensors() {
                let (found, expected) = (&found[tensor.range()], &expected[tensor.range()]);
                let apart: Vec<f32> = found.iter().zip(expected).map(|(f, e)| f - e).collect();
                // Softmax ignores what all keys have in common: the gradient of their bias is noise around 0.
                let size = norm(expected).max(0.1 * typical * (expected.len() as f64).sqrt());
                let off = norm(&apart) / size;
                assert!(off <= TOLERANCE, "{method}: gradient of {} off by {off:e}", tensor.name);
            }
            compared += 1;
        }
    }
    assert!(compared >= if on_gpu() { 7 } else { 2 }, "{compared} methods");
}
