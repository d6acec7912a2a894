//! Steps of half precision, whose losses are scaled.

use crate::{one_sentence, plane, state, tiny};
use deft::learning::Client;
use serde_json::json;

#[test]
fn a_step_in_half_precision_is_near_one_in_single() {
    let moved = |precision: &str| {
        let set = [("model.precision", json!(precision)), ("training.optimizer", json!({"kind": "sgd"}))];
        let learn = plane(&tiny(&set));
        let start = state(&learn, learn.initial());
        let first = learn.local_step(learn.initial(), Client::Device(0), 0, true);
        let after = state(&learn, learn.local_step(first, Client::Device(0), 1, false));
        after.parameters.iter().zip(&start.parameters).map(|(a, b)| f64::from(a - b)).collect::<Vec<f64>>()
    };
    let (single, half) = (moved("fp32"), moved("fp16"));
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let apart = norm(&mut single.iter().zip(&half).map(|(a, b)| a - b)) / norm(&mut single.iter().copied());
    assert!(apart > 0.0 && apart < 0.03, "{apart}");
}

/// Errors of thousands, times the first scale, are beyond the range of half precision.
#[test]
fn an_overflowing_step_is_skipped_and_lowers_the_scale() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = json!({"file": one_sentence(folder.path(), ["5000", "7000"])});
    let learn = plane(&tiny(&[
        ("training.dataset", file),
        ("training.task", json!("regression")),
        ("model.precision", json!("fp16")),
    ]));
    let start = state(&learn, learn.initial());
    let scale = |handle| {
        let state = state(&learn, handle);
        assert!(state.parameters == start.parameters, "a step along a gradient that is not a number");
        let moments = state.moments.as_ref().expect("those of AdamW");
        (moments.step, moments.loss_scale.scale)
    };
    let first = learn.local_step(learn.initial(), Client::Device(0), 0, true);
    assert_eq!(scale(first), (0, 32_768.0));
    assert_eq!(scale(learn.local_step(first, Client::Device(0), 1, false)), (0, 16_384.0));
}
