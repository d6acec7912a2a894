//! What crosses which link under each technique, how much of it, and whether the books of a run balance.

mod support;

#[path = "support/balance.rs"]
mod balance;

use balance::balanced;
use deft::experiment::{Outcome, ReplicationRecord, RoundRecord};
use deft::learning::Store;
use deft::scenario::{Scenario, TechniqueKind};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

type Set<'a> = Vec<(&'a str, Value)>;

/// A direction and a content.
type Crossing = (&'static str, &'static str);

/// Every combination of technique and aggregation (a method, or the whole section), and all that crosses the air under it.
const TRAFFIC: &[(&str, &str, &[Crossing])] = &[
    ("centralized", "digital", &[("uplink", "raw_data")]),
    ("on_device", "digital", &[]),
    ("federated", "digital", &[("downlink", "adapters"), ("uplink", "adapters")]),
    ("federated", "air_comp", &[("downlink", "adapters"), ("over_the_air", "analog_update")]),
    ("split", "digital", &SPLIT),
    ("split_federated", "digital", &SPLIT),
    ("split_federated", "air_comp", &SPLIT_OVER_THE_AIR),
    ("federated", "one_bit", &[("downlink", "adapters"), ("over_the_air", "votes")]),
    (
        "federated",
        "{method: air_comp, power_control: uniform_forcing, channel_error: 0.1, timing_error_ns: 20}",
        &[("downlink", "adapters"), ("over_the_air", "analog_update")],
    ),
    (
        "split_federated",
        "{method: air_comp, power_control: optimal, phase_error_rad: 0.3, error_feedback: true}",
        &SPLIT_OVER_THE_AIR,
    ),
    ("federated", "{access: tdma}", &[("downlink", "adapters"), ("uplink", "adapters")]),
    (
        "federated",
        "{access: fdma_optimal, compression: {kind: qsgd, error_feedback: true}}",
        &[("downlink", "adapters"), ("uplink", "compressed_update")],
    ),
    (
        "federated",
        "{access: fdma_equal, compression: {kind: rand_k}}",
        &[("downlink", "adapters"), ("uplink", "compressed_update")],
    ),
    (
        "split_federated",
        "{compression: {kind: top_k}}",
        &[
            ("downlink", "adapters"),
            ("uplink", "activations"),
            ("downlink", "activation_gradients"),
            ("uplink", "compressed_update"),
        ],
    ),
    ("prompt_ensemble", "digital", &ENSEMBLE),
    ("prompt_transfer", "digital", &[("sidelink", "task_key"), ("sidelink", "prompt")]),
    ("tensor_parallel", "digital", &IN_SLICES),
    ("block_federated", "digital", &[("downlink", "adapters"), ("uplink", "adapters")]),
    ("gradient_download", "digital", &OWNED_GRADIENTS),
    ("gradient_download", "air_comp", &GRADIENTS_THEN_THE_AIR),
    ("zeroth_order_federated", "digital", &[("downlink", "slopes"), ("uplink", "slopes")]),
    ("zeroth_order_federated", "air_comp", &[("downlink", "slopes"), ("over_the_air", "slopes")]),
    ("offsite_tuning", "digital", &[("downlink", "emulator"), ("downlink", "adapters"), ("uplink", "adapters")]),
    (
        "offsite_tuning",
        "air_comp",
        &[("downlink", "emulator"), ("downlink", "adapters"), ("over_the_air", "analog_update")],
    ),
];
const IN_SLICES: [Crossing; 7] = [
    ("downlink", "adapters"),
    ("uplink", "activations"),
    ("downlink", "activations"),
    ("over_the_air", "partial_sums"),
    ("downlink", "activation_gradients"),
    ("over_the_air", "partial_gradients"),
    ("uplink", "adapters"),
];
const SPLIT: [Crossing; 4] =
    [("downlink", "adapters"), ("uplink", "activations"), ("downlink", "activation_gradients"), ("uplink", "adapters")];
const OWNED_GRADIENTS: [Crossing; 4] =
    [("downlink", "adapters"), ("uplink", "activations"), ("uplink", "adapters"), ("downlink", "parameter_gradients")];
const GRADIENTS_THEN_THE_AIR: [Crossing; 5] = [
    ("downlink", "adapters"),
    ("uplink", "activations"),
    ("uplink", "adapters"),
    ("downlink", "parameter_gradients"),
    ("over_the_air", "analog_update"),
];
const SPLIT_OVER_THE_AIR: [Crossing; 4] = [
    ("downlink", "adapters"),
    ("uplink", "activations"),
    ("downlink", "activation_gradients"),
    ("over_the_air", "analog_update"),
];

const ENSEMBLE: [Crossing; 4] =
    [("uplink", "task_key"), ("uplink", "prompt"), ("uplink", "query"), ("downlink", "answer")];

/// Of `tests/data/tiny.yaml` and MiniLM.
const BATCH: u64 = 4;
const TOKENS: u64 = 16;
const RANK: u64 = 4;
const HIDDEN: u64 = 384;
const BLOCKS: u64 = 6;
const DEVICES: usize = 3;

fn play(scenario: &Scenario) -> ReplicationRecord {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    support::play(scenario, &store).replications.remove(0)
}

fn technique(kind: &str, method: &str) -> Set<'static> {
    let aggregation = match method.starts_with('{') {
        true => serde_yaml::from_str(method).expect("the section as scenarios write it"),
        false => json!({"method": method}),
    };
    let mut set = vec![("technique.kind", json!(kind)), ("technique.aggregation", aggregation)];
    if kind.starts_with("prompt") {
        set.push(("peft", json!({"method": "prompt", "tokens": 4})));
    }
    if kind == "prompt_transfer" {
        // Near enough to hear each other.
        let ring = json!({"kind": "uniform", "min_distance_m": 5, "max_distance_m": 20});
        set.extend([
            ("technique.rounds", json!(3)),
            ("technique.devices_per_round", json!("all")),
            ("placement", ring),
        ]);
    }
    set
}

/// Time alone: no tensor is touched.
fn emulated(mut set: Set) -> Scenario {
    set.insert(0, ("training", json!("none")));
    support::scenario("tiny.yaml", &set)
}

fn crossings(record: &ReplicationRecord) -> BTreeSet<(&str, &str)> {
    record.flows.iter().map(|f| (f.direction.as_str(), f.content.as_str())).collect()
}

/// Sizes of the transfers of `content` in `direction`.
fn sizes(record: &ReplicationRecord, direction: &str, content: &str) -> Vec<u64> {
    let flows = record.flows.iter().filter(|f| f.direction == direction && f.content == content);
    flows.map(|f| f.bytes).collect()
}

fn all_equal(sizes: &[u64], to: u64) -> bool {
    !sizes.is_empty() && sizes.iter().all(|bytes| *bytes == to)
}

#[test]
fn each_technique_sends_what_it_may_and_nothing_else() {
    let kinds: BTreeSet<&str> = TRAFFIC.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, TechniqueKind::ALL.iter().map(|kind| kind.name()).collect(), "techniques in the table");
    for &(kind, method, allowed) in TRAFFIC {
        let set = technique(kind, method);
        let allowed: BTreeSet<(&str, &str)> = allowed.iter().copied().collect();
        assert_eq!(crossings(&play(&emulated(set.clone()))), allowed, "{kind}, {method}, time alone");
        assert_eq!(crossings(&play(&support::scenario("tiny.yaml", &set))), allowed, "{kind}, {method}");
    }
}

const ACTIVATIONS: Crossing = ("uplink", "activations");
const GRADIENTS: Crossing = ("downlink", "activation_gradients");
const ADAPTERS: [Crossing; 2] = [("downlink", "adapters"), ("uplink", "adapters")];

/// Settings of `technique.cut`, and all that crosses under each beside adapters; whether these cross.
fn cuts() -> Vec<(Value, Vec<Crossing>, bool)> {
    let quantised = json!({"compression": {"method": "quantise", "bits": 4}});
    vec![
        (quantised, vec![ACTIVATIONS, GRADIENTS], true),
        (json!({"compression": {"method": "top_k"}}), vec![ACTIVATIONS, GRADIENTS], true),
        (json!({"compression": {"method": "merge_tokens"}}), vec![ACTIVATIONS, GRADIENTS], true),
        (json!({"micro_batches": 3}), vec![ACTIVATIONS, GRADIENTS], true),
        (json!({"device_side": "frozen"}), vec![ACTIVATIONS], false),
        (json!({"device_side": "frozen", "cache_activations": true}), vec![ACTIVATIONS], false),
        (json!({"device_side": "frozen", "micro_batches": 2}), vec![ACTIVATIONS], false),
        (
            json!({"labels": "device"}),
            vec![ACTIVATIONS, GRADIENTS, ("downlink", "last_hidden"), ("uplink", "last_hidden_gradients")],
            true,
        ),
        (
            json!({"channel": "analog"}),
            vec![("uplink", "labels"), ("uplink", "analog_activations"), ("downlink", "analog_gradients"), GRADIENTS],
            true,
        ),
    ]
}

#[test]
fn each_shape_of_a_cut_sends_what_it_may_and_its_books_balance() {
    let shared = json!({"server_side": "shared"});
    for kind in ["split", "split_federated"] {
        let mut all = cuts();
        if kind == "split_federated" {
            all.push((shared.clone(), vec![ACTIVATIONS, GRADIENTS], true));
        }
        for (cut, mut allowed, adapters) in all {
            let what = format!("{kind}, {cut}");
            let set = [technique(kind, "digital"), vec![("technique.cut", cut)]].concat();
            if adapters {
                allowed.extend(ADAPTERS);
            }
            let allowed: BTreeSet<Crossing> = allowed.into_iter().collect();
            for scenario in [emulated(set.clone()), support::scenario("tiny.yaml", &set)] {
                let record = play(&scenario);
                assert_eq!(record.outcome, Outcome::Completed, "{what}");
                assert_eq!(crossings(&record), allowed, "{what}");
                balanced(&record, &what);
            }
            for seconds in [Value::Null, json!(0.3), json!(2.0)] {
                if kind == "split_federated" {
                    let mut set = set.clone();
                    set.push(("technique.round_deadline_s", seconds));
                    balanced(&play(&support::scenario("keys.yaml", &set)), &what);
                }
            }
        }
    }
}

#[test]
fn bytes_follow_the_shapes() {
    for (precision, width) in [("fp32", 4), ("fp16", 2), ("int8", 1)] {
        let record = |kind, method| {
            play(&emulated([technique(kind, method), vec![("model.precision", json!(precision))]].concat()))
        };
        // Two factors of RANK x HIDDEN for each of two targets in each block; the head has weights and biases.
        let lora = |blocks: u64| blocks * 2 * 2 * RANK * HIDDEN * width;
        let whole = lora(BLOCKS) + 2 * (HIDDEN + 1) * width;
        let cut = BATCH * TOKENS * HIDDEN * width;
        let split = record("split", "digital");
        assert!(all_equal(&sizes(&split, "uplink", "activations"), cut + 4 * BATCH), "{precision}");
        assert!(all_equal(&sizes(&split, "downlink", "activation_gradients"), cut), "{precision}");
        assert!(all_equal(&sizes(&split, "uplink", "adapters"), lora(2)), "{precision}");
        assert!(all_equal(&sizes(&split, "downlink", "adapters"), lora(2)), "{precision}");
        let federated = record("federated", "digital");
        assert!(all_equal(&sizes(&federated, "uplink", "adapters"), whole), "{precision}");
        let raw = record("centralized", "digital");
        assert_eq!(sizes(&raw, "uplink", "raw_data"), [2 * BATCH * TOKENS; DEVICES], "once a device");
        for (kind, payload) in [("federated", whole), ("split_federated", lora(2))] {
            let air = record(kind, "air_comp");
            for round in &air.rounds {
                let flows = air.flows.iter().filter(|f| f.round == round.round && f.direction == "over_the_air");
                let bytes: u64 = flows.map(|f| f.bytes).sum();
                // A superposition carries its payload once; whole bytes are dealt to those who send.
                let expected = payload / round.delivered.max(1) as u64 * round.delivered as u64;
                assert_eq!(bytes, expected, "{kind}, {precision}, {} senders", round.delivered);
            }
        }
    }
}

/// Of `tests/data/tiny.tsv`: text, label, split.
fn training_rows() -> impl Iterator<Item = &'static str> {
    include_str!("data/tiny.tsv").lines().skip(1).filter(|row| row.split('\t').nth(2) == Some("train"))
}

#[test]
fn bytes_follow_the_data_where_there_is_training() {
    let train: u64 = training_rows().map(|row| row.split('\t').next().expect("a text").len() as u64 + 1).sum();
    let raw = play(&support::scenario("tiny.yaml", &technique("centralized", "digital")));
    assert_eq!(sizes(&raw, "uplink", "raw_data").iter().sum::<u64>(), train);

    let split = play(&support::scenario("tiny.yaml", &technique("split", "digital")));
    let steps = sizes(&split, "uplink", "activations");
    let back = sizes(&split, "downlink", "activation_gradients");
    assert_eq!(steps.len(), DEVICES * 2 * 2, "one a device, round and local step");
    let tokens: BTreeSet<u64> = steps.iter().map(|bytes| (bytes - 4 * BATCH) / (4 * HIDDEN)).collect();
    assert!(tokens.len() > 1, "sentences differ in length, batches in tokens: {tokens:?}");
    for (up, down) in steps.iter().zip(&back) {
        assert_eq!(up - 4 * BATCH, *down);
        assert_eq!(down % (4 * HIDDEN), 0);
        assert!((3 * BATCH..=TOKENS * BATCH).contains(&(down / (4 * HIDDEN))));
    }
}

#[test]
fn the_books_balance() {
    let walk = json!({"kind": "random_waypoint", "min_speed_m_per_s": 20, "max_speed_m_per_s": 80});
    for &(kind, method, _) in TRAFFIC {
        let mut set = technique(kind, method);
        set.push(("technique.round_deadline_s", Value::Null));
        balanced(&play(&support::scenario("keys.yaml", &set)), &format!("{kind}, {method}"));
        set.push(("mobility", walk.clone()));
        balanced(&play(&support::scenario("keys.yaml", &set)), &format!("{kind}, {method}, walking"));
        let trained = play(&support::scenario("tiny.yaml", &technique(kind, method)));
        balanced(&trained, &format!("{kind}, {method}, training"));
        let dealt: usize = trained.devices.iter().map(|d| d.training_samples).sum();
        assert_eq!(dealt, training_rows().count(), "{kind}, {method}: every sample is somebody's, and nobody else's");
        for seconds in [0.3, 3.0].iter().filter(|_| kind.ends_with("federated")) {
            set.push(("technique.round_deadline_s", json!(seconds)));
            balanced(&play(&support::scenario("keys.yaml", &set)), &format!("{kind}, {method}, at most {seconds} s"));
        }
    }
}

#[test]
fn every_split_point_runs_and_gradients_come_back_where_something_below_trains() {
    for kind in ["split", "split_federated"] {
        for split_point in 0..=BLOCKS {
            let point = ("technique.split_point", json!(split_point));
            let record = |more: Set| play(&emulated([technique(kind, "digital"), vec![point.clone()], more].concat()));
            let all = record(vec![]);
            assert_eq!(all.outcome, Outcome::Completed);
            assert!(all.rounds.iter().all(|r| r.delivered == DEVICES), "{kind} at {split_point}");
            // Blocks from the fifth on train.
            let upper = record(vec![("peft.rank", json!({"blocks": [0, 0, 0, 0, RANK, RANK]}))]);
            for (record, trains_below) in [(all, split_point > 0), (upper, split_point > 4)] {
                let crossing = crossings(&record);
                assert!(crossing.contains(&("uplink", "activations")));
                for expected in [("downlink", "activation_gradients"), ("downlink", "adapters"), ("uplink", "adapters")]
                {
                    assert_eq!(crossing.contains(&expected), trains_below, "{kind} at {split_point}: {expected:?}");
                }
            }
        }
    }
}

#[test]
fn every_kind_of_model_runs_under_every_technique() {
    for architecture in ["t5-11b", "llama-7b", "gpt2", "vit-b-16", "roberta-base", "bert-large"] {
        for &(kind, method, allowed) in TRAFFIC {
            let mut set = technique(kind, method);
            set.push(("model.architecture", json!(architecture)));
            if architecture == "vit-b-16" {
                // As many as an image has patches, and one for its class.
                set.push(("workload.sequence_tokens", json!(197)));
            }
            // Memory for the largest of them.
            set.push((
                "devices",
                json!([{"name": "tower", "count": 2, "hardware": "intel_xeon_8380", "memory_share": 1}]),
            ));
            let record = play(&emulated(set));
            let what = format!("{architecture}, {kind}, {method}");
            assert_eq!(record.outcome, Outcome::Completed, "{what}");
            // Under `prompt_transfer` the two tune one after the other.
            let fewest = if kind == "prompt_transfer" { 1 } else { 2 };
            let fine = |r: &RoundRecord| (fewest..=2).contains(&r.participants) && r.end_s > r.start_s;
            assert!(record.rounds.iter().all(fine), "{what}");
            assert_eq!(crossings(&record), allowed.iter().copied().collect(), "{what}");
            balanced(&record, &what);
        }
    }
}

/// The rounds in which the devices of `group` took part, and those in which their update counted, all devices together.
fn rounds_of(record: &ReplicationRecord, group: &str) -> (usize, usize) {
    let devices = || record.devices.iter().filter(|d| d.group == group);
    (devices().map(|d| d.rounds_taken_part).sum(), devices().map(|d| d.rounds_delivered).sum())
}

#[test]
fn a_device_too_small_for_the_model_takes_no_part() {
    let devices = json!([
        {"name": "phone", "count": 1, "hardware": "snapdragon_8_gen_3"},
        {"name": "robot", "count": 1, "hardware": "jetson_agx_orin", "memory_share": 1},
    ]);
    let record = |kind| {
        let model = vec![("model.architecture", json!("llama-7b")), ("devices", devices.clone())];
        play(&emulated([technique(kind, "digital"), model].concat()))
    };
    let whole = record("federated");
    assert_eq!((rounds_of(&whole, "phone"), rounds_of(&whole, "robot")), ((0, 0), (2, 2)));
    assert!(whole.flows.iter().all(|f| f.device == "robot-0"));
    // Two of 32 blocks do fit.
    let cut = record("split_federated");
    assert_eq!((rounds_of(&cut, "phone"), rounds_of(&cut, "robot")), ((2, 2), (2, 2)));
}

#[test]
fn an_empty_battery_drops_a_device() {
    let work = ("workload", json!({"batch_size": 32, "sequence_tokens": 64}));
    let record = |mut more: Set| {
        more.extend([work.clone(), ("devices[0].battery_percent", json!(1e-6))]);
        play(&emulated([technique("federated", "digital"), more].concat()))
    };
    let mixed = record(vec![]);
    assert_eq!(mixed.outcome, Outcome::Completed);
    assert_eq!((rounds_of(&mixed, "phone"), rounds_of(&mixed, "board")), ((2, 0), (2, 2)));
    let phones = || mixed.devices.iter().filter(|d| d.group == "phone");
    assert!(phones().all(|d| d.battery_left_percent == Some(0.0)));
    assert_eq!(mixed.rounds.iter().map(|r| r.participants).collect::<Vec<_>>(), [3, 1]);

    let alone = [("devices", json!([{"name": "phone", "hardware": "snapdragon_8_gen_3"}]))];
    let phones_only = record(alone.to_vec());
    assert_eq!(phones_only.outcome, Outcome::NoDevicesLeft);
    assert_eq!(phones_only.rounds.len(), 1);
}

#[test]
fn a_deadline_drops_a_straggler() {
    const SECONDS: f64 = 2.0;
    for (kind, method, _) in TRAFFIC.iter().filter(|(kind, ..)| kind.ends_with("federated")) {
        let slow = ("devices[1].compute_share", json!(0.001));
        let set = [technique(kind, method), vec![slow]].concat();
        let patient = play(&emulated(set.clone()));
        assert_eq!(rounds_of(&patient, "board"), (2, 2), "{kind}, {method}");
        assert!(patient.rounds.iter().all(|r| r.end_s - r.start_s > SECONDS), "{kind}, {method}: no straggler");
        let strict = play(&emulated([set, vec![("technique.round_deadline_s", json!(SECONDS))]].concat()));
        assert_eq!((rounds_of(&strict, "phone").0, rounds_of(&strict, "board")), (4, (2, 0)), "{kind}, {method}");
        for r in &strict.rounds {
            let aggregating = r.end_s - r.start_s - SECONDS;
            assert!((0.0..0.1).contains(&aggregating), "{kind}, {method}: {r:?}");
            assert!(r.participants == 3 && r.delivered < 3, "{kind}, {method}: {r:?}");
        }
        balanced(&strict, kind);
    }
}

#[test]
fn what_a_deadline_cuts_off_is_sent_in_vain() {
    let slow = ("radio.bandwidth_mhz", json!(5));
    let set = [technique("federated", "digital"), vec![slow]].concat();
    let patient = play(&emulated(set.clone()));
    let upload = patient.flows.iter().rfind(|f| f.round == 0 && f.direction == "uplink").expect("an upload");
    let middle = f64::midpoint(upload.start_s, upload.start_s + upload.radio_s);
    let strict = play(&emulated([set, vec![("technique.round_deadline_s", json!(middle))]].concat()));
    let cut = strict.flows.iter().find(|f| f.round == 0 && f.device == upload.device && f.outcome == "cut_off");
    let cut = cut.expect("the upload is cut off");
    let share = cut.bytes as f64 / upload.bytes as f64;
    assert!((0.3..0.7).contains(&share), "{share} of the upload crossed the air");
    assert_eq!(cut.lost_bytes, cut.bytes);
    assert!(cut.tx_joules > 0.0 && strict.rounds[0].lost_bytes >= cut.bytes);
    balanced(&strict, "cut off");
}

/// What `technique.local` and `technique.synchrony` add to the traffic of digital federated fine-tuning, and its books.
#[test]
fn federated_settings_send_what_they_may_and_keep_the_books() {
    let settings: [(Set, bool); 7] = [
        (vec![("technique.local", json!({"proximal_mu": 0.1}))], false),
        (vec![("technique.local", json!({"correction": "scaffold"}))], true),
        (vec![("technique.server", json!({"optimizer": "yogi"}))], false),
        (vec![("technique.averaging", json!("refactored")), ("devices[0].lora_rank", json!(2))], false),
        (vec![("technique.synchrony", json!({"kind": "semi_asynchronous", "buffer": 1}))], false),
        (vec![("technique.synchrony", json!({"kind": "asynchronous"})), ("technique.rounds", json!(7))], false),
        (vec![("technique.sampling", json!({"kind": "by_utility"})), ("technique.devices_per_round", json!(1))], false),
    ];
    let walk = json!({"kind": "random_waypoint", "min_speed_m_per_s": 20, "max_speed_m_per_s": 80});
    for kind in ["federated", "split_federated"] {
        let (_, _, plain) = TRAFFIC.iter().find(|(k, m, _)| *k == kind && *m == "digital").expect("a row");
        for (setting, controls) in &settings {
            let mut allowed: BTreeSet<(&str, &str)> = plain.iter().copied().collect();
            if *controls {
                allowed.extend([("downlink", "control_variates"), ("uplink", "control_variates")]);
            }
            let set = [technique(kind, "digital"), setting.clone()].concat();
            let record = play(&emulated(set.clone()));
            let what = format!("{kind}, {setting:?}");
            assert_eq!(crossings(&record), allowed, "{what}");
            balanced(&record, &what);
            let keys = |more: Set| {
                let base = [set.clone(), vec![("technique.round_deadline_s", Value::Null)], more].concat();
                play(&support::scenario("keys.yaml", &base))
            };
            balanced(&keys(vec![]), &what);
            balanced(&keys(vec![("mobility", walk.clone())]), &format!("{what}, walking"));
        }
    }
}

/// The settings of `technique.synchrony` beside every shape of a cut: the same bytes cross, and no book loses any.
#[test]
fn cuts_without_rounds_send_what_they_may_and_keep_the_books() {
    let cuts = [
        json!({"labels": "device"}),
        json!({"device_side": "frozen"}),
        json!({"device_side": "frozen", "cache_activations": true}),
        json!({"micro_batches": 4}),
        json!({"compression": {"method": "top_k"}}),
        json!({"channel": "analog"}),
    ];
    let walk = json!({"kind": "random_waypoint", "min_speed_m_per_s": 20, "max_speed_m_per_s": 80});
    // Deadlines of the small and of the large scenario that pass before some have delivered.
    let synchronies = [
        (json!({"kind": "semi_asynchronous", "buffer": 2}), [Value::Null, Value::Null]),
        (json!({"kind": "semi_asynchronous", "buffer": 2}), [json!(0.4), json!(3)]),
        (json!({"kind": "asynchronous"}), [Value::Null, Value::Null]),
    ];
    for cut in cuts {
        let base = || [technique("split_federated", "digital"), vec![("technique.cut", cut.clone())]].concat();
        let plain = play(&emulated(base()));
        let allowed = crossings(&plain);
        for (synchrony, [small, large]) in &synchronies {
            let what = format!("{cut}, {synchrony}, {small}");
            let set = |deadline: &Value, more: Set<'static>| {
                let asynchronous = vec![
                    ("technique.synchrony", synchrony.clone()),
                    ("technique.round_deadline_s", deadline.clone()),
                    ("technique.rounds", json!(9)),
                ];
                [base(), asynchronous, more].concat()
            };
            let record = play(&emulated(set(small, vec![])));
            assert!(crossings(&record).is_subset(&allowed), "{what}");
            assert!(crossings(&record) == allowed || !small.is_null(), "{what}");
            balanced(&record, &what);
            let walking = set(large, vec![("mobility", walk.clone())]);
            balanced(&play(&support::scenario("keys.yaml", &walking)), &what);
        }
    }
}
