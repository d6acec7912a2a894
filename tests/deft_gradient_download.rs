//! Gradients from the edge against federated training, where devices compute them themselves.

mod support;

use deft::experiment::ReplicationRecord;
use deft::learning::Store;
use serde_json::{Value, json};
use std::sync::Arc;

fn play(set: &[(&str, Value)]) -> ReplicationRecord {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    support::play(&support::scenario("tiny.yaml", set), &store).replications.remove(0)
}

fn kind(name: &str) -> (&'static str, Value) {
    ("technique.kind", json!(name))
}

fn dimension(d: u64) -> (&'static str, Value) {
    ("technique.gradients", json!({"projection_dimension": d}))
}

fn numbers(record: &ReplicationRecord) -> Vec<(Option<f64>, Option<f64>, Option<f64>)> {
    record.rounds.iter().map(|r| (r.train_loss, r.test_loss, r.accuracy)).collect()
}

fn sizes(record: &ReplicationRecord, direction: &str, content: &str) -> Vec<u64> {
    let flows = record.flows.iter().filter(|f| f.direction == direction && f.content == content);
    flows.map(|f| f.bytes).collect()
}

/// Parameters of rank 4 on two targets in each of six blocks, and of the head.
const PARAMETERS: u64 = 6 * 2 * 2 * 4 * 384 + 2 * 385;

#[test]
fn whole_gradients_are_federated_training_to_the_last_bit() {
    let federated = play(&[kind("federated")]);
    let whole = play(&[kind("gradient_download")]);
    assert_eq!(numbers(&whole), numbers(&federated));
    // As many numbers as there are parameters are no shorter than the gradient itself.
    assert_eq!(numbers(&play(&[kind("gradient_download"), dimension(PARAMETERS)])), numbers(&federated));
    let projected = play(&[kind("gradient_download"), dimension(50)]);
    assert_ne!(numbers(&projected), numbers(&federated));
}

#[test]
fn frozen_blocks_on_the_device_change_when_and_not_what() {
    let upper = ("peft", json!({"rank": 4, "blocks": {"last": 2}}));
    let record = |blocks: u64| {
        play(&[kind("gradient_download"), upper.clone(), ("technique.gradients", json!({"device_blocks": blocks}))])
    };
    let (none, four) = (record(0), record(4));
    assert_eq!(numbers(&none), numbers(&four));
    let seconds = |r: &ReplicationRecord| r.devices.iter().map(|d| d.device_compute_s).sum::<f64>();
    assert!(seconds(&four) > 1.5 * seconds(&none));
}

#[test]
fn what_crosses_and_how_often() {
    // Three devices, two rounds of two steps.
    for (set, back) in [(vec![], 4 * PARAMETERS), (vec![dimension(100)], 400)] {
        let record = play(&[vec![kind("gradient_download")], set].concat());
        assert_eq!(sizes(&record, "downlink", "parameter_gradients"), [back; 12]);
        assert_eq!(sizes(&record, "downlink", "adapters"), [4 * PARAMETERS; 6], "once a round");
        assert_eq!(sizes(&record, "uplink", "adapters"), [4 * PARAMETERS; 12], "after every step");
        assert_eq!(sizes(&record, "uplink", "activations").len(), 12);
    }
}

#[test]
fn the_device_needs_no_model() {
    let memory = |name| play(&[kind(name)]).devices[0].peak_memory_bytes;
    // The embedding is half of MiniLM.
    assert!(2 * memory("gradient_download") < memory("federated") + 50_000_000);
    assert!(memory("gradient_download") < memory("federated"));
}
