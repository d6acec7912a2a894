//! The cut of split techniques: what should equal something simpler does, and bytes and seconds are as computed by hand.

mod support;

use deft::experiment::{ReplicationRecord, RoundRecord};
use deft::learning::{Distortion, Store};
use deft::random::CounterStream;
use deft::scenario::CutCompression;
use deft::world::expected_error;
use serde_json::{Value, json};
use std::sync::Arc;

type Set = Vec<(&'static str, Value)>;

/// Of `tests/data/tiny.yaml` and MiniLM.
const BATCH: u64 = 4;
const TOKENS: u64 = 16;
const HIDDEN: u64 = 384;

fn play(set: Set, store: &Arc<Store>) -> ReplicationRecord {
    support::play(&support::scenario("tiny.yaml", &set), store).replications.remove(0)
}

fn emulate(mut set: Set) -> ReplicationRecord {
    set.insert(0, ("training", json!("none")));
    set.insert(1, ("model.precision", json!("fp32")));
    play(set, &in_memory())
}

fn in_memory() -> Arc<Store> {
    Arc::new(Store::open(None).expect("a store in memory"))
}

fn cut(cut: Value) -> (&'static str, Value) {
    ("technique.cut", cut)
}

fn kind(kind: &str) -> (&'static str, Value) {
    ("technique.kind", json!(kind))
}

/// What was learnt in each round, to the last bit.
fn learnt(record: &ReplicationRecord) -> Vec<[u64; 3]> {
    let bits = |x: Option<f64>| x.expect("trained").to_bits();
    record.rounds.iter().map(|r: &RoundRecord| [r.train_loss, r.test_loss, r.accuracy].map(bits)).collect()
}

fn last_loss(record: &ReplicationRecord) -> f64 {
    record.rounds.last().and_then(|r| r.test_loss).expect("trained")
}

fn sizes(record: &ReplicationRecord, content: &str) -> Vec<u64> {
    record.flows.iter().filter(|f| f.content == content).map(|f| f.bytes).collect()
}

#[test]
fn shapes_that_change_time_alone_learn_the_same_to_the_last_bit() {
    let store = in_memory();
    let plain = play(vec![], &store);
    let computed = store.counts().computed;
    let whole = play(vec![kind("federated")], &store);
    assert_eq!(learnt(&whole), learnt(&plain));
    for shape in [json!({"labels": "device"}), json!({"micro_batches": 1}), json!({"micro_batches": 3})] {
        let record = play(vec![cut(shape.clone())], &store);
        assert_eq!(learnt(&record), learnt(&plain), "{shape}");
    }
    assert_eq!(store.counts().computed, computed, "one chain of operations");
    let explicit = play(vec![cut(json!({"micro_batches": 1, "compression": {"method": "none"}}))], &store);
    assert_eq!((&explicit.flows, &explicit.rounds), (&plain.flows, &plain.rounds));
    // Everything is kept: not the same operations, but the same numbers.
    for method in ["top_k", "merge_tokens"] {
        let record = play(vec![cut(json!({"compression": {"method": method, "kept_fraction": 1}}))], &store);
        assert_eq!(learnt(&record), learnt(&plain), "{method}");
    }
    assert!(store.counts().computed > computed);
}

#[test]
fn compression_bends_the_numbers_the_more_the_fewer_bits_cross() {
    let store = in_memory();
    let plain = last_loss(&play(vec![], &store));
    let off = |compression: Value| {
        let record = play(vec![cut(json!({"compression": compression}))], &store);
        (last_loss(&record) - plain).abs()
    };
    let fp16 = off(json!({"method": "fp16"}));
    let eight = off(json!({"method": "quantise", "bits": 8}));
    let two = off(json!({"method": "quantise", "bits": 2, "scale": "sample"}));
    assert!(fp16 > 0.0 && fp16 < 1e-3, "{fp16}");
    assert!(eight > 0.0 && eight < 2e-2, "{eight}");
    assert!(two > eight, "{two} {eight}");
    assert!(off(json!({"method": "top_k", "kept_fraction": 0.1})) > fp16);
    assert!(off(json!({"method": "merge_tokens", "kept_fraction": 0.3})) > fp16);
}

#[test]
fn a_strong_analog_link_learns_what_a_digital_one_does_and_a_weak_one_does_not() {
    let store = in_memory();
    let close = |power_dbm: i32| -> Set {
        vec![
            cut(json!({"channel": "analog"})),
            ("radio.propagation", json!("free_space")),
            ("radio.fading", json!({"kind": "none"})),
            ("radio.cell_tx_power_dbm", json!(power_dbm)),
            ("placement", json!({"kind": "fixed", "positions_m": [[10, 0], [0, 10], [-10, 0]]})),
            ("devices[0].tx_power_dbm", json!(power_dbm)),
            ("devices[1].tx_power_dbm", json!(power_dbm)),
        ]
    };
    let digital = last_loss(&play(vec![], &store));
    let off = |power: i32| (last_loss(&play(close(power), &store)) - digital).abs();
    assert!(off(50) < 2e-3, "{}", off(50));
    assert!(off(-40) > off(50), "{}", off(-40));
}

#[test]
fn a_frozen_device_side_is_training_the_upper_blocks_alone() {
    let store = in_memory();
    let frozen = play(vec![cut(json!({"device_side": "frozen"}))], &store);
    let upper = play(vec![("peft.rank", json!({"blocks": [0, 0, 4, 4, 4, 4]}))], &store);
    assert_eq!(learnt(&frozen), learnt(&upper));
    assert_ne!(learnt(&frozen), learnt(&play(vec![], &store)));
    // The edge keeps activations: the same numbers, and a sample crosses once.
    let kept = play(
        vec![cut(json!({"device_side": "frozen", "cache_activations": true})), ("technique.rounds", json!(5))],
        &store,
    );
    let anew = play(vec![cut(json!({"device_side": "frozen"})), ("technique.rounds", json!(5))], &store);
    assert_eq!(learnt(&kept), learnt(&anew));
    let [kept, anew] = [kept, anew].map(|r| sizes(&r, "activations").iter().sum::<u64>());
    assert!(kept < anew, "{kept} of {anew} bytes");
    // Without training a device holds one mini-batch, which crosses in the first step.
    let cut_once = json!({"device_side": "frozen", "cache_activations": true});
    let once = emulate(vec![cut(cut_once)]);
    assert_eq!(sizes(&once, "activations"), [BATCH * TOKENS * HIDDEN * 4 + 4 * BATCH; 3]);
}

#[test]
fn one_device_beside_a_shared_server_side_has_it_for_itself() {
    let store = in_memory();
    let one = |server_side: &str, round: usize| {
        let devices = json!([{"name": "phone", "count": round, "hardware": "snapdragon_8_gen_3"}]);
        play(vec![cut(json!({"server_side": server_side})), ("devices", devices)], &store)
    };
    assert_eq!(learnt(&one("shared", 1)), learnt(&one("per_device", 1)));
    let (shared, alone) = (one("shared", 3), one("per_device", 3));
    assert_ne!(learnt(&shared), learnt(&alone));
    assert_eq!(learnt(&shared), learnt(&one("shared", 3)));
    assert!((last_loss(&shared) - last_loss(&alone)).abs() < 0.2);
}

#[test]
fn compressed_sizes_are_as_counted_by_hand() {
    let (values, vectors, labels) = (BATCH * TOKENS * HIDDEN, BATCH * TOKENS, 4 * BATCH);
    for (compression, up, down) in [
        (json!({"method": "none"}), 4 * values, 4 * values),
        (json!({"method": "fp16"}), 2 * values, 2 * values),
        (json!({"method": "quantise"}), values + 4 * vectors, values + 4 * vectors),
        (json!({"method": "quantise", "scale": "sample"}), values + 4 * BATCH, values + 4 * BATCH),
        (json!({"method": "quantise", "bits": 4}), values / 2 + 4 * vectors, values / 2 + 4 * vectors),
        (json!({"method": "quantise", "bits": 3}), values * 3 / 8 + 4 * vectors, values * 3 / 8 + 4 * vectors),
        // 39 of 384 values a token, each with two bytes for its place.
        (json!({"method": "top_k", "kept_fraction": 0.1}), vectors * 39 * 6, vectors * 39 * 6),
        // 5 of 16 tokens a sample, and two bytes that say which belong together.
        (json!({"method": "merge_tokens", "kept_fraction": 0.3}), BATCH * (5 * HIDDEN * 4 + 2), BATCH * 5 * HIDDEN * 4),
    ] {
        let record = emulate(vec![cut(json!({"compression": compression.clone()}))]);
        assert!(sizes(&record, "activations").iter().all(|bytes| *bytes == up + labels), "{compression}");
        assert!(sizes(&record, "activation_gradients").iter().all(|bytes| *bytes == down), "{compression}");
    }
    let shape = emulate(vec![cut(json!({"labels": "device"}))]);
    for content in ["activations", "activation_gradients", "last_hidden", "last_hidden_gradients"] {
        assert!(sizes(&shape, content).iter().all(|bytes| *bytes == 4 * values), "{content}: no labels");
    }
}

/// One device under one cell whose links do not fade.
fn alone(mut more: Set) -> Set {
    let mut set: Set = vec![
        kind("split"),
        ("radio.fading", json!({"kind": "none"})),
        ("workload", json!({"batch_size": 32, "sequence_tokens": 64})),
        ("devices", json!([{"name": "board", "hardware": "raspberry_pi_5"}])),
    ];
    set.append(&mut more);
    set
}

#[test]
fn a_pipeline_takes_no_less_than_its_longest_stage_and_no_more_than_all() {
    for bandwidth_mhz in [20, 100] {
        let band = ("radio.bandwidth_mhz", json!(bandwidth_mhz));
        let plain = emulate(alone(vec![band.clone()]));
        let piped = emulate(alone(vec![band.clone(), cut(json!({"micro_batches": 8}))]));
        let longest = |r: &RoundRecord| r.device_compute_s.max(r.uplink_s).max(r.edge_compute_s).max(r.downlink_s);
        for (plain, piped) in plain.rounds.iter().zip(&piped.rounds) {
            let [whole, overlapped] = [plain, piped].map(|r| r.end_s - r.start_s);
            assert!(overlapped < whole, "{overlapped} {whole}");
            assert!(overlapped > longest(plain), "{overlapped} {}", longest(plain));
            assert_eq!(plain.uplink_bytes, piped.uplink_bytes);
        }
    }
}

#[test]
fn the_chosen_cut_is_the_best_of_all_cuts_played() {
    for (bandwidth_mhz, hardware) in [(5, "raspberry_pi_5"), (100, "raspberry_pi_5"), (20, "snapdragon_8_gen_3")] {
        for shape in [json!({}), json!({"labels": "device"}), json!({"compression": {"method": "quantise", "bits": 4}})]
        {
            let device = json!([{"name": "device", "hardware": hardware}]);
            let at = |split_point: Value, more: Set| {
                let mut set = alone(vec![
                    ("radio.bandwidth_mhz", json!(bandwidth_mhz)),
                    ("devices", device.clone()),
                    cut(shape.clone()),
                    ("technique.split_point", split_point),
                ]);
                set.extend(more);
                emulate(set)
            };
            let played: Vec<ReplicationRecord> = (0..=6).map(|s| at(json!(s), vec![])).collect();
            let joules = |r: &ReplicationRecord| r.rounds.iter().map(|r| r.device_joules).sum::<f64>();
            let seconds = |r: &ReplicationRecord| r.simulated_seconds;
            let least = |of: &dyn Fn(&ReplicationRecord) -> f64| played.iter().map(of).fold(f64::INFINITY, f64::min);
            let objective = |minimise: &str| ("technique.split_objective", json!({"minimise": minimise}));
            let quickest = at(json!("auto"), vec![objective("latency")]);
            assert_eq!(seconds(&quickest), least(&seconds), "{bandwidth_mhz} MHz, {hardware}, {shape}");
            let thriftiest = at(json!("auto"), vec![objective("energy")]);
            assert_eq!(joules(&thriftiest), least(&joules), "{bandwidth_mhz} MHz, {hardware}, {shape}");
        }
    }
}

/// What SFT chooses together, against every pair of a cut and a form within the bound, played.
#[test]
fn the_chosen_cut_and_form_are_the_best_of_all_pairs_played() {
    let width = 384;
    for (bandwidth_mhz, hardware, largest_error) in [(5, "raspberry_pi_5", 0.05), (100, "snapdragon_8_gen_3", 0.3)] {
        let play = |split_point: Value, compression: Value| {
            emulate(alone(vec![
                ("radio.bandwidth_mhz", json!(bandwidth_mhz)),
                ("devices", json!([{"name": "device", "hardware": hardware}])),
                cut(json!({ "compression": compression })),
                ("technique.split_point", split_point),
            ]))
        };
        let mut forms = vec![json!({"method": "none"})];
        for bits in 2..=8 {
            for kept in (4..=width).step_by(20) {
                let kept_fraction = f64::from(kept) / f64::from(width);
                let form = CutCompression::SparseQuantised { kept_fraction, bits };
                if expected_error(form, width as u64) <= largest_error {
                    forms.push(json!({"method": "sparse_quantised", "kept_fraction": kept_fraction, "bits": bits}));
                }
            }
        }
        assert!(forms.len() > 30, "{forms:?}");
        let mut least = f64::INFINITY;
        for form in &forms {
            for split_point in [0, 3, 6] {
                least = least.min(play(json!(split_point), form.clone()).simulated_seconds);
            }
        }
        let auto = play(json!("auto"), json!({"method": "auto", "largest_error": largest_error}));
        assert!(auto.simulated_seconds <= least, "{} against {least}", auto.simulated_seconds);
        let measure = |name: &str| auto.measures.iter().find(|m| m.measure == name).expect("measured").value;
        assert!(measure("cut_error") <= largest_error && measure("cut_error") > 0.5 * largest_error);
        assert!(measure("cut_kept_share") < 1.0 && measure("cut_bits") <= 8.0);
    }
}

#[test]
fn the_expected_error_is_that_of_normal_values() {
    let stream = CounterStream::new(11, 3);
    let (width, tokens) = (384, 300);
    let values: Vec<f32> = (0..width * tokens).map(|i| stream.normal(i as u64) as f32).collect();
    let squares = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    for (kept_fraction, bits) in [(1.0, 8), (1.0, 3), (0.5, 4), (0.25, 2), (0.1, 6)] {
        let mut sent = values.clone();
        Distortion::SparseQuantise { kept_fraction, bits }.apply(&mut sent, width, &stream.child(1));
        let apart: Vec<f32> = values.iter().zip(&sent).map(|(a, b)| a - b).collect();
        let (found, expected) = (
            squares(&apart) / squares(&values),
            expected_error(CutCompression::SparseQuantised { kept_fraction, bits }, width as u64),
        );
        assert!((found / expected - 1.0).abs() < 0.08, "{kept_fraction} in {bits} bits: {found} for {expected}");
    }
}

#[test]
fn each_device_gets_its_own_cut_under_its_own_memory_and_learns_the_same() {
    let store = in_memory();
    let set = |split_point: Value| -> Set {
        let devices = json!([
            {"name": "fast", "hardware": "jetson_agx_orin", "compute_share": 1},
            {"name": "slow", "hardware": "raspberry_pi_5", "compute_share": 0.1},
        ]);
        let edge = ("edge_servers", json!([{"name": "edge", "hardware": "raspberry_pi_5"}]));
        vec![
            ("devices", devices),
            edge,
            ("technique.split_point", split_point),
            ("radio.fading", json!({"kind": "none"})),
        ]
    };
    let auto = play(set(json!("auto")), &store);
    assert_eq!(learnt(&auto), learnt(&play(set(json!(3)), &store)));
    let measured = auto.measures.iter().find(|m| m.measure == "split_point").expect("the cuts are measured");
    assert!((0.0..=6.0).contains(&measured.value), "{measured:?}");
    let adapters: Vec<u64> = auto
        .devices
        .iter()
        .map(|d| auto.flows.iter().filter(|f| f.device == d.device && f.content == "adapters").map(|f| f.bytes).sum())
        .collect();
    assert_ne!(adapters[0], adapters[1], "different cuts, different device sides");
}

#[test]
fn card_slows_the_edge_down_where_joules_count() {
    let at = |latency_weight: f64| {
        let objective = json!({"minimise": "card", "latency_weight": latency_weight, "lowest_edge_speed": 0.1});
        emulate(alone(vec![("technique.split_point", json!("auto")), ("technique.split_objective", objective)]))
    };
    let speed = |r: &ReplicationRecord| r.measures.iter().find(|m| m.measure == "edge_speed").map(|m| m.value);
    let (hasty, thrifty) = (at(1.0), at(0.02));
    assert_eq!(speed(&hasty), Some(1.0));
    assert!(speed(&thrifty) < Some(1.0) && speed(&thrifty) >= Some(0.1), "{:?}", speed(&thrifty));
    assert!(thrifty.simulated_seconds > hasty.simulated_seconds);
}
