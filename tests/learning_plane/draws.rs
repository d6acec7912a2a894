//! What a step draws belongs to its device and its number.

use crate::{one_sentence, plane, state, tiny};
use deft::learning::{Client, Cut, Distortion, StepOptions};
use serde_json::json;

/// What steps find differs from device to device and from step to step.
fn assert_own<T: PartialEq>(what: &str, found: impl Fn(u32, u64) -> T) {
    let [reference, other_device, other_step] = [(0, 1), (1, 1), (0, 2)].map(|(device, step)| found(device, step));
    assert!(other_device != reference, "two devices {what}");
    assert!(other_step != reference, "two steps {what}");
}

#[test]
fn dropout_is_each_devices_and_steps_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = json!({"file": one_sentence(folder.path(), ["1", "1"])});
    let with = |dropout: f64| {
        plane(&tiny(&[
            ("training.dataset", file.clone()),
            ("training.task", json!("regression")),
            ("peft", json!({"rank": 4, "dropout": dropout})),
            ("training.optimizer", json!({"kind": "sgd"})),
        ]))
    };
    for dropout in [0.0, 0.5] {
        let learn = with(dropout);
        // Low rank terms start at zero: only a second step sees what is dropped.
        let first = learn.local_step(learn.initial(), Client::Device(0), 0, true);
        let after = |device, step| {
            state(&learn, learn.local_step(first, Client::Device(device), step, true)).parameters.clone()
        };
        if dropout == 0.0 {
            assert!(after(0, 1) == after(1, 1) && after(0, 1) == after(0, 2), "batches of one sentence differ");
        } else {
            assert_own("drop the same", after);
        }
    }
}

#[test]
fn cut_draws_are_each_devices_and_steps_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = json!({"file": one_sentence(folder.path(), ["1", "1"])});
    let learn = plane(&tiny(&[("training.dataset", file), ("training.task", json!("regression"))]));
    let cut = Cut { block: 2, up: Distortion::Noise { snr: 10.0 }, down: Distortion::None };
    assert_own("hear the same noise", |device, step| {
        let options = StepOptions { cut: Some(cut.clone()), ..StepOptions::default() };
        state(&learn, learn.local_step_with(learn.initial(), Client::Device(device), step, true, options)).loss
    });
}
