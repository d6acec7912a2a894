//! Block allocation against federated training, and against what each allocation promises.

mod support;

use deft::experiment::{Outcome, Record, ReplicationRecord};
use deft::learning::Store;
use serde_json::{Value, json};
use std::sync::Arc;

fn record(file: &str, set: &[(&str, Value)]) -> Record {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    support::play(&support::scenario(file, set), &store)
}

fn play(set: &[(&str, Value)]) -> ReplicationRecord {
    record("tiny.yaml", set).replications.remove(0)
}

fn kind(name: &str) -> (&'static str, Value) {
    ("technique.kind", json!(name))
}

fn blocks(allocation: &str, bandwidth: &str) -> (&'static str, Value) {
    ("technique.blocks", json!({"allocation": allocation, "bandwidth": bandwidth}))
}

fn numbers(record: &ReplicationRecord) -> Vec<(Option<f64>, Option<f64>, Option<f64>)> {
    record.rounds.iter().map(|r| (r.train_loss, r.test_loss, r.accuracy)).collect()
}

fn measure(record: &ReplicationRecord, name: &str) -> f64 {
    record.measures.iter().find(|m| m.measure == name).unwrap_or_else(|| panic!("no {name}")).value
}

/// A model whose only block with trainable parameters is number `block`.
fn only(block: usize) -> (&'static str, Value) {
    ("peft", json!({"rank": 4, "blocks": [block]}))
}

#[test]
fn one_block_on_everybody_is_federated_training_of_it() {
    for block in [0, 5] {
        let federated = play(&[kind("federated"), only(block)]);
        for allocation in ["exact", "crunch", "uniform", "random"] {
            let allocated = play(&[kind("block_federated"), blocks(allocation, "optimal"), only(block)]);
            assert_eq!(numbers(&allocated), numbers(&federated), "block {block}, {allocation}");
            assert_eq!(measure(&allocated, "blocks_trained"), 1.0);
        }
    }
}

#[test]
fn devices_train_different_blocks_and_only_those_cross() {
    let all = play(&[kind("block_federated")]);
    assert_eq!(measure(&all, "blocks_trained"), 3.0, "three devices, six blocks");
    let federated = play(&[kind("federated")]);
    assert_ne!(numbers(&all), numbers(&federated));
    // Rank 4 on two targets of 384 x 384 in 32 bits, and a head of two classes.
    let (block, head) = (4 * 2 * 2 * 4 * 384, 4 * 2 * 385);
    for flow in &all.flows {
        let expected = match (flow.direction.as_str(), flow.round) {
            ("uplink", _) => block + head,
            // First everything, then what has changed: three blocks.
            (_, 0) => 6 * block + head,
            _ => 3 * block + head,
        };
        assert_eq!(flow.bytes, expected, "{} in round {}", flow.direction, flow.round);
    }
}

/// Time alone, where nothing fades: what was planned happens.
fn emulated(allocation: &str, bandwidth: &str) -> ReplicationRecord {
    let devices = json!([
        {"name": "fast", "count": 3, "hardware": "snapdragon_8_gen_3"},
        {"name": "slow", "count": 3, "hardware": "snapdragon_778g"},
    ]);
    play(&[
        ("training", json!("none")),
        kind("block_federated"),
        blocks(allocation, bandwidth),
        ("devices", devices),
        ("peft.rank", json!(64)),
        ("radio", json!({"bandwidth_mhz": 20, "fading": {"kind": "none"}})),
        ("placement", json!({"kind": "uniform", "min_distance_m": 30, "max_distance_m": 500})),
    ])
}

#[test]
fn the_oracle_plans_the_shortest_rounds_and_plans_come_true() {
    let mut planned = vec![];
    for allocation in ["exact", "crunch", "uniform", "random"] {
        for bandwidth in ["optimal", "equal"] {
            let record = emulated(allocation, bandwidth);
            assert_eq!(record.outcome, Outcome::Completed);
            let seconds = measure(&record, "planned_round_seconds");
            // A round is the download (everybody at once), then what was planned, then nothing.
            for (round, times) in record.rounds.iter().enumerate() {
                let flows = record.flows.iter().filter(|f| f.round == round && f.direction == "downlink");
                let downloads = flows.map(|f| f.end_s - f.start_s).fold(0.0, f64::max);
                let length = times.end_s - times.start_s;
                assert!(length > 0.5 * seconds / record.rounds.len() as f64, "{allocation}: {length} of {seconds}");
                if allocation == "exact" || allocation == "crunch" {
                    let most = seconds + downloads + 0.01;
                    assert!(
                        length <= most,
                        "{allocation}, {bandwidth}: {length} s, planned {seconds} s + {downloads} s"
                    );
                }
            }
            planned.push((allocation, bandwidth, seconds));
        }
    }
    let of = |a: &str, b: &str| planned.iter().find(|(x, y, _)| (*x, *y) == (a, b)).expect("played").2;
    for (allocation, bandwidth, seconds) in &planned {
        assert!(of("exact", bandwidth) <= *seconds, "{allocation}, {bandwidth}: {planned:?}");
        assert!(of(allocation, "optimal") <= of(allocation, "equal"), "{allocation}: {planned:?}");
    }
    assert!(of("exact", "optimal") < of("random", "equal"), "{planned:?}");
    assert!(of("crunch", "equal") <= of("random", "equal"), "{planned:?}");
}

#[test]
fn who_lacks_memory_trains_a_block_near_the_output() {
    // Weights of 32 bits take 90 MB; of 12 GB the share below leaves room for some blocks' activations only.
    let set = |memory_share: f64| {
        vec![
            ("training", json!("none")),
            kind("block_federated"),
            blocks("uniform", "equal"),
            ("workload", json!({"batch_size": 64, "sequence_tokens": 128})),
            (
                "devices",
                json!([{"name": "phone", "count": 6, "hardware": "snapdragon_8_gen_3", "memory_share": memory_share}]),
            ),
        ]
    };
    let roomy = play(&set(0.5));
    assert_eq!(measure(&roomy, "blocks_trained"), 6.0);
    let peak = |r: &ReplicationRecord| r.devices.iter().map(|d| d.peak_memory_bytes).max().expect("devices");
    let limit = roomy.devices[0].memory_limit_bytes as f64;
    let tight = play(&set(0.5 * 0.7 * peak(&roomy) as f64 / limit));
    assert!(measure(&tight, "blocks_trained") < 6.0);
    assert!(tight.devices.iter().all(|d| d.peak_memory_bytes <= d.memory_limit_bytes && d.rounds_delivered == 2));
    let least = roomy.devices.iter().map(|d| d.peak_memory_bytes).min().expect("devices");
    let none = play(&set(0.5 * 0.1 * least as f64 / limit));
    assert_eq!(none.outcome, Outcome::NoDevicesLeft);
}
