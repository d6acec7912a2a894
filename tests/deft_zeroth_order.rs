//! Rounds in which slopes along a shared direction are all that crosses.

mod support;

use deft::experiment::ReplicationRecord;
use deft::learning::{Client, Learning, SharedDirection, SlopeMean, State, StateHandle, StepOptions, Store, Task};
use deft::random::{CounterStream, Streams};
use serde_json::{Value, json};
use std::sync::Arc;

fn play(set: &[(&str, Value)]) -> ReplicationRecord {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let kind = ("technique.kind", json!("zeroth_order_federated"));
    let all = [&[kind][..], set].concat();
    support::play(&support::scenario("tiny.yaml", &all), &store).replications.remove(0)
}

fn numbers(record: &ReplicationRecord) -> Vec<(Option<f64>, Option<f64>, Option<f64>)> {
    record.rounds.iter().map(|r| (r.train_loss, r.test_loss, r.accuracy)).collect()
}

/// So strong a signal that its noise is far below the last bit of a slope.
fn silent_air() -> Vec<(&'static str, Value)> {
    vec![
        ("technique.aggregation", json!({"method": "air_comp", "truncation_threshold": 1e-9, "average_power_dbm": 50})),
        ("technique.zeroth_order", json!({"repetitions": 1_000_000})),
        ("devices[0].tx_power_dbm", json!(50)),
        ("devices[1].tx_power_dbm", json!(50)),
        ("radio", json!({"propagation": "free_space", "fading": {"kind": "none"}, "cell_noise_figure_db": 0})),
        ("placement", json!({"kind": "uniform", "min_distance_m": 1, "max_distance_m": 2})),
    ]
}

#[test]
fn without_noise_the_air_gives_the_digital_mean() {
    let digital = play(&[]);
    let air = play(&silent_air());
    for (a, d) in numbers(&air).into_iter().zip(numbers(&digital)) {
        for (a, d) in [(a.0, d.0), (a.1, d.1), (a.2, d.2)] {
            let (a, d) = (a.expect("trained"), d.expect("trained"));
            assert!((a - d).abs() <= 1e-6, "{a} over the air, {d} digitally");
        }
    }
    let noisy = play(&[
        ("technique.aggregation", json!({"method": "air_comp", "average_power_dbm": -40})),
        ("technique.zeroth_order", json!({"slope_limit": 1000})),
    ]);
    assert_ne!(numbers(&noisy), numbers(&digital));
}

#[test]
fn four_bytes_a_step_each_way() {
    let digital = play(&[]);
    for (direction, flows) in [("uplink", 12), ("downlink", 12)] {
        let sizes: Vec<u64> = digital.flows.iter().filter(|f| f.direction == direction).map(|f| f.bytes).collect();
        assert_eq!(sizes, vec![4; flows], "{direction}: three devices, two rounds of two steps");
    }
    assert!(digital.flows.iter().all(|f| f.content == "slopes"));
    // A superposition carries one slope, however many send.
    let air = play(&silent_air());
    let up: Vec<u64> = air.flows.iter().filter(|f| f.direction == "over_the_air").map(|f| f.bytes).collect();
    assert_eq!(up, [1; 12], "four bytes shared by three, in whole bytes");
}

#[test]
fn who_was_not_drawn_catches_up_on_what_it_missed() {
    let record = play(&[("technique.devices_per_round", json!(1)), ("technique.rounds", json!(6))]);
    let down: u64 = record.flows.iter().filter(|f| f.direction == "downlink").map(|f| f.bytes).sum();
    let mut heard = std::collections::BTreeMap::new();
    for round in 0..6u64 {
        let flow = record.flows.iter().find(|f| f.round == round as usize).expect("a flow a round");
        heard.insert(flow.device.clone(), 2 * (round + 1));
    }
    assert_eq!(down, 4 * heard.values().sum::<u64>(), "everybody has heard every step until its last round");
}

#[test]
fn training_none_emulates_the_same_times_as_nominal_batches() {
    let record = play(&[("training", json!("none"))]);
    assert!(record.rounds.iter().all(|r| r.delivered == 3 && r.end_s > r.start_s));
}

/// The learning plane alone.
fn learning() -> Learning {
    let scenario = support::scenario("tiny.yaml", &[("technique.kind", json!("zeroth_order_federated"))]);
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let architecture = deft::fomo::preset("minilm-l6").expect("a preset");
    let task = Task::new(&scenario, &architecture, Streams::new(3, 0), &store).expect("a task");
    Learning::new(Arc::new(task), store)
}

fn state(learn: &Learning, handle: StateHandle) -> Arc<State> {
    learn.state(handle).expect("computed").expect("trained")
}

fn mean(weights: Vec<f64>, limit: f64) -> SlopeMean {
    SlopeMean { weights, limit, noise_std: 0.0, noise: CounterStream::new(0, 0) }
}

#[test]
fn one_device_alone_takes_its_own_zeroth_order_step() {
    let learn = learning();
    let (start, device) = (learn.initial(), Client::Device(1));
    let whole = StepOptions { shared_direction: Some(SharedDirection::Step), ..StepOptions::default() };
    let own = learn.local_step_with(start, device, 3, true, whole);
    let slope = learn.slope(start, device, 3);
    let followed = learn.follow_slopes(start, &[slope], 3, mean(vec![1.0], f64::MAX));
    assert!(state(&learn, followed).parameters == state(&learn, own).parameters, "the two steps differ");
    assert_eq!(state(&learn, slope).parameters.len(), 1);
    assert_eq!(state(&learn, slope).loss, state(&learn, own).loss);
}

#[test]
fn the_mean_slope_moves_as_the_mean_of_the_devices_steps() {
    let learn = learning();
    let start = learn.initial();
    let whole = StepOptions { shared_direction: Some(SharedDirection::Step), ..StepOptions::default() };
    let devices = [Client::Device(0), Client::Device(1), Client::Device(2)];
    let weights = vec![0.5, 0.3, 0.2];
    let slopes = devices.map(|d| learn.slope(start, d, 0));
    let followed = state(&learn, learn.follow_slopes(start, &slopes, 0, mean(weights.clone(), f64::MAX)));
    let ends = devices.map(|d| state(&learn, learn.local_step_with(start, d, 0, true, whole.clone())));
    for n in 0..followed.parameters.len() {
        let expected: f64 = ends.iter().zip(&weights).map(|(e, w)| w * f64::from(e.parameters[n])).sum();
        assert!((f64::from(followed.parameters[n]) - expected).abs() < 1e-6, "parameter {n}");
    }
    // Cut off at nothing, nobody moves far.
    let still = state(&learn, learn.follow_slopes(start, &slopes, 0, mean(weights, 1e-30)));
    let began = state(&learn, start);
    let moved = still.parameters.iter().zip(&began.parameters).map(|(a, b)| (a - b).abs());
    assert!(moved.fold(0.0, f32::max) < 1e-20);
}
