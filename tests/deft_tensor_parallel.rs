//! Blocks in slices: digital sums are the whole layer, noise does what its level says, time and bytes follow the method.

mod support;

use deft::experiment::ReplicationRecord;
use deft::learning::Store;
use deft::scenario::Scenario;
use serde_json::{Value, json};
use std::sync::Arc;

fn store() -> Arc<Store> {
    Arc::new(Store::open(None).expect("a store in memory"))
}

fn scenario(kind: &str, connections: Option<Value>, more: &[(&'static str, Value)]) -> Scenario {
    let mut set = vec![("technique.kind", json!(kind))];
    set.extend(connections.map(|c| ("technique.connections", c)));
    set.extend_from_slice(more);
    support::scenario("tiny.yaml", &set)
}

fn play(scenario: &Scenario) -> ReplicationRecord {
    support::play(scenario, &store()).replications.remove(0)
}

fn numbers(record: &ReplicationRecord) -> Vec<(Option<f64>, Option<f64>, Option<f64>)> {
    record.rounds.iter().map(|r| (r.train_loss, r.test_loss, r.accuracy)).collect()
}

fn measure(record: &ReplicationRecord, name: &str) -> f64 {
    record.measures.iter().find(|m| m.measure == name).unwrap_or_else(|| panic!("{name} is measured")).value
}

fn air(more: &[(&str, Value)]) -> Option<Value> {
    let mut c = json!({"method": "air_comp", "blocks": [2, 4], "slices": 2});
    more.iter().for_each(|(key, value)| c[*key] = value.clone());
    Some(c)
}

#[test]
fn digital_sums_are_those_of_the_whole_layer_bit_for_bit() {
    let whole = play(&scenario("split", None, &[]));
    for slices in [1, 3] {
        let sliced = scenario("tensor_parallel", Some(json!({"method": "digital", "slices": slices})), &[]);
        assert_eq!(numbers(&play(&sliced)), numbers(&whole), "{slices} slices");
    }
}

#[test]
fn much_power_over_known_channels_comes_close_to_the_whole_layer_and_little_does_not() {
    let whole = play(&scenario("split", None, &[]));
    // The radio's limit and the rules' are far apart: devices close by with the strongest transmitters.
    let close = [
        ("devices[0].tx_power_dbm", json!(50)),
        ("devices[1].tx_power_dbm", json!(50)),
        ("placement", json!({"kind": "uniform", "min_distance_m": 1, "max_distance_m": 2})),
    ];
    let at = |power: f64| {
        play(&scenario(
            "tensor_parallel",
            air(&[("average_power_dbm", json!(power)), ("receive_antennas", json!(16))]),
            &close,
        ))
    };
    let (strong, weak) = (at(50.0), at(-70.0));
    let gap = |record: &ReplicationRecord| {
        let pairs = numbers(record).into_iter().zip(numbers(&whole));
        pairs
            .map(|(a, b)| (a.0.unwrap() - b.0.unwrap()).abs().max((a.1.unwrap() - b.1.unwrap()).abs()))
            .fold(0.0, f64::max)
    };
    let noise = measure(&strong, "connection_noise");
    assert!(noise < 1e-3, "{noise}");
    assert!(gap(&strong) < 10.0 * noise, "{} at a noise of {noise}", gap(&strong));
    assert!(gap(&weak) > 100.0 * gap(&strong), "{} and {}", gap(&weak), gap(&strong));
    // 120 dB of power are 120 dB of SNR.
    let snr = |r: &ReplicationRecord| measure(r, "connection_snr_db");
    assert!((snr(&strong) - snr(&weak) - 120.0).abs() < 1e-6);
    assert!(measure(&weak, "connection_exact_accuracy") <= 1.0);
}

#[test]
fn time_grows_with_slices_digitally_and_not_over_the_air() {
    let uplink = |method: &str, slices: u64| {
        let mut set = vec![("training", json!("none")), ("radio", json!({"fading": {"kind": "none"}}))];
        set.push(("devices", json!([{"name": "phone", "count": 4, "hardware": "snapdragon_8_gen_3"}])));
        set.push(("workload", json!({"batch_size": 32, "sequence_tokens": 64})));
        let c = json!({"method": method, "slices": slices});
        let record = play(&scenario("tensor_parallel", Some(c), &set));
        let sums = record.flows.iter().filter(|f| f.content == "partial_sums");
        let bytes: u64 = sums.clone().map(|f| f.bytes).sum();
        // Turns follow each other: from the first start to the last end of each sum.
        let mut spans: Vec<(u64, u64)> = sums.map(|f| (f.start_s.to_bits(), f.end_s.to_bits())).collect();
        spans.sort_unstable();
        let mut seconds = std::collections::BTreeMap::<u64, f64>::new();
        for (start, end) in spans {
            let length = f64::from_bits(end) - f64::from_bits(start);
            let longest = seconds.entry(start).or_default();
            *longest = longest.max(length);
        }
        (seconds.values().sum::<f64>(), bytes)
    };
    let [digital_2, digital_4, air_2, air_4] =
        [("digital", 2), ("digital", 4), ("air_comp", 2), ("air_comp", 4)].map(|(m, s)| uplink(m, s));
    assert!(digital_4.0 > 1.4 * digital_2.0, "{digital_2:?} {digital_4:?}");
    assert!((air_4.0 / air_2.0 - 1.0).abs() < 1e-9, "{air_2:?} {air_4:?}");
    assert_eq!((digital_4.1, air_4.1, digital_2.1), (2 * digital_2.1, air_2.1, 2 * air_2.1));
}

#[test]
fn more_antennas_and_better_knowledge_mean_less_noise() {
    let noise = |more: &[(&str, Value)]| {
        let scenario = scenario("tensor_parallel", air(more), &[("training", json!("none"))]);
        measure(&play(&scenario), "connection_noise")
    };
    let [one, sixteen] = [1, 16].map(|n| noise(&[("receive_antennas", json!(n))]));
    assert!(sixteen < one / 2.0, "{one} {sixteen}");
    let [known, guessed] = [0.0, 0.5].map(|e| noise(&[("channel_error", json!(e)), ("average_power_dbm", json!(20))]));
    assert!(guessed > known, "{known} {guessed}");
}

#[test]
fn a_round_with_fewer_devices_than_slices_delivers_nothing_and_the_run_goes_on() {
    let phones = json!([
        {"name": "phone", "count": 2, "hardware": "snapdragon_8_gen_3", "battery_percent": 1e-7},
        {"name": "board", "count": 1, "hardware": "raspberry_pi_5"},
    ]);
    let set = [("devices", phones), ("training", json!("none")), ("technique.rounds", json!(3))];
    let record = play(&scenario("tensor_parallel", Some(json!({"slices": 2})), &set));
    assert_eq!(record.rounds.iter().map(|r| r.delivered).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(record.rounds[1].participants < 2);
}
