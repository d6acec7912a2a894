//! What is kept of the frozen blocks must not reach a test, or a trial that keeps something else.

use crate::{in_memory, plane, plane_in, state, test_loss, tiny};
use deft::learning::Client;
use serde_json::json;

#[test]
fn a_test_does_not_read_what_training_kept() {
    let tested = |trained_before: bool| {
        let learn = plane(&tiny(&[("peft", json!({"rank": 4, "blocks": {"last": 1}}))]));
        if trained_before {
            for step in 0..12 {
                state(&learn, learn.local_step(learn.initial(), Client::Pool, step, true));
            }
        }
        test_loss(&learn, learn.initial(), 10)
    };
    assert_eq!(tested(true), tested(false));
}

/// Trials that share a store and the frozen weights, but not how deep these reach.
#[test]
fn trials_of_other_depths_do_not_share_what_is_kept() {
    let last_loss = |depths: &[usize]| {
        let store = in_memory();
        let trial = |depth: &usize| {
            let peft = json!({"rank": 4, "blocks": {"last": depth}});
            let learn = plane_in(&tiny(&[("peft", peft), ("training.optimizer", json!({"kind": "sgd"}))]), &store);
            let ended = (0..6).fold(learn.initial(), |at, step| learn.local_step(at, Client::Pool, step, true));
            test_loss(&learn, ended, 10)
        };
        let losses: Vec<f64> = depths.iter().map(trial).collect();
        losses.last().copied()
    };
    assert_eq!(last_loss(&[1, 3]), last_loss(&[3]));
    assert_eq!(last_loss(&[3, 1]), last_loss(&[1]));
}
