//! Federated optimisation: what each variant must equal, and what sets it apart.

#[path = "support/balance.rs"]
mod balance;
mod support;

use balance::balanced;
use deft::experiment::{FlowRecord, LearningCounts, Record, ReplicationRecord, RoundRecord};
use deft::learning::Store;
use deft::scenario::Scenario;
use serde_json::{Value, json};
use std::sync::Arc;

type Set = Vec<(&'static str, Value)>;

fn in_memory() -> Arc<Store> {
    Arc::new(Store::open(None).expect("a store in memory"))
}

/// `tests/data/tiny.yaml` under federated fine-tuning, of unlike shares.
fn tiny(kind: &str, more: Set) -> Scenario {
    let base: Set = vec![
        ("technique.kind", json!(kind)),
        ("training.partition", json!({"kind": "dirichlet", "alpha": 0.3})),
        ("training.final_evaluation_samples", json!(10)),
    ];
    support::scenario("tiny.yaml", &[base, more].concat())
}

fn sgd() -> Set {
    vec![
        ("training.optimizer", json!({"kind": "sgd"})),
        ("training.learning_rate", json!(0.5)),
        ("training.head_learning_rate", json!(0.5)),
    ]
}

fn play(scenario: &Scenario, store: &Arc<Store>) -> ReplicationRecord {
    support::play(scenario, store).replications.remove(0)
}

/// What was learnt in each round.
fn learnt(record: &ReplicationRecord) -> Vec<[f64; 3]> {
    let of = |r: &RoundRecord| [r.train_loss, r.test_loss, r.accuracy].map(|x| x.expect("training"));
    record.rounds.iter().map(of).collect()
}

fn near(a: &[[f64; 3]], b: &[[f64; 3]]) -> bool {
    a.len() == b.len() && a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() <= 1e-6)
}

/// The record without what says how it was computed, and without measures.
fn played(scenario: &Scenario, store: &Arc<Store>) -> Record {
    let mut record = support::play(scenario, store);
    for r in &mut record.replications {
        (r.learning, r.measures) = (LearningCounts::default(), vec![]);
    }
    record
}

fn measure(record: &ReplicationRecord, name: &str) -> Option<f64> {
    record.measures.iter().find(|m| m.measure == name).map(|m| m.value)
}

#[test]
fn settings_that_change_nothing_share_every_number_with_plain_averaging() {
    let store = in_memory();
    for kind in ["federated", "split_federated"] {
        let plain = played(&tiny(kind, vec![]), &store);
        let computed = store.counts().computed;
        for nothing in [
            ("technique.local", json!({"proximal_mu": 0, "correction": "none"})),
            ("technique.server", json!({"optimizer": "mean"})),
            ("technique.synchrony", json!({"kind": "synchronous"})),
        ] {
            let scenario = tiny(kind, vec![nothing.clone()]);
            assert_eq!(scenario, tiny(kind, vec![]), "{nothing:?}");
            assert_eq!(played(&scenario, &store), plain, "{nothing:?}");
        }
        assert_eq!(store.counts().computed, computed);
    }
}

#[test]
fn a_proximal_term_holds_devices_back() {
    let store = in_memory();
    let losses = |mu: f64| {
        let local = ("technique.local", json!({"proximal_mu": mu}));
        let more = [sgd(), vec![local, ("technique.local_steps", json!(4))]].concat();
        learnt(&play(&tiny("federated", more), &store))
    };
    let [free, held, pinned] = [0.0, 0.2, 1.9].map(losses);
    assert_ne!(free, held);
    // The first step starts at the reference. A learning rate of 0.5 times mu of 2 would take each step back whole.
    let initial = 2f64.ln();
    let moved = |rounds: &[[f64; 3]]| (rounds[0][1] - initial).abs();
    assert!(moved(&pinned) < moved(&free), "{free:?} {pinned:?}");
    let split = ("technique.local", json!({"proximal_mu": 0.2}));
    let split = learnt(&play(
        &tiny("split_federated", [sgd(), vec![split, ("technique.local_steps", json!(4))]].concat()),
        &store,
    ));
    assert_eq!(split, held, "a lossless split changes when things happen, not what");
}

#[test]
fn control_variates_start_as_plain_averaging_and_then_differ() {
    let store = in_memory();
    let record = |correction: &str, more: Set| {
        let local = ("technique.local", json!({"correction": correction}));
        play(&tiny("federated", [sgd(), vec![local, ("technique.rounds", json!(3))], more].concat()), &store)
    };
    let [plain, corrected] = ["none", "scaffold"].map(|c| record(c, vec![]));
    assert_eq!(learnt(&plain)[0], learnt(&corrected)[0]);
    assert_ne!(learnt(&plain)[1], learnt(&corrected)[1]);
    // Who is alone drifts from nobody: c = c_i, and what is added is zero.
    let alone = || vec![("devices", json!([{"name": "phone", "hardware": "snapdragon_8_gen_3"}]))];
    let [plain, corrected] = ["none", "scaffold"].map(|c| learnt(&record(c, alone())));
    assert!(near(&plain, &corrected), "{plain:?} {corrected:?}");
}

#[test]
fn control_variates_double_the_traffic_and_take_memory() {
    let record = |kind: &str, correction: &str| {
        let local = ("technique.local", json!({"correction": correction}));
        let set: Set = vec![("training", json!("none")), ("technique.kind", json!(kind)), local];
        play(&support::scenario("tiny.yaml", &set), &in_memory())
    };
    for kind in ["federated", "split_federated"] {
        let [plain, corrected] = ["none", "scaffold"].map(|c| record(kind, c));
        let bytes = |r: &ReplicationRecord, direction: &str, content: &str| {
            let of = |f: &&FlowRecord| f.direction == direction && f.content == content;
            r.flows.iter().filter(of).map(|f| f.bytes).sum::<u64>()
        };
        for direction in ["uplink", "downlink"] {
            let parameters = bytes(&plain, direction, "adapters");
            assert_eq!(bytes(&corrected, direction, "adapters"), parameters);
            assert_eq!(bytes(&corrected, direction, "control_variates"), parameters);
            assert_eq!(bytes(&plain, direction, "control_variates"), 0);
        }
        assert!(corrected.devices[0].peak_memory_bytes > plain.devices[0].peak_memory_bytes);
        assert!(corrected.simulated_seconds > plain.simulated_seconds);
    }
}

#[test]
fn a_server_without_memory_at_rate_one_is_the_mean() {
    let store = in_memory();
    let rounds = |server: Value| learnt(&play(&tiny("federated", vec![("technique.server", server)]), &store));
    let mean = rounds(json!({"optimizer": "mean"}));
    assert_eq!(rounds(json!({"optimizer": "momentum", "learning_rate": 1, "beta1": 0})), mean);
    let mut all = vec![mean];
    for server in [
        json!({"optimizer": "momentum"}),
        json!({"optimizer": "momentum", "learning_rate": 0.5}),
        json!({"optimizer": "adam"}),
        json!({"optimizer": "yogi"}),
        json!({"optimizer": "adagrad"}),
        json!({"optimizer": "adagrad", "beta1": 0.5}),
        json!({"optimizer": "adam", "tau": 0.1}),
    ] {
        let next = rounds(server.clone());
        assert!(!all.contains(&next), "{server}");
        all.push(next);
    }
}

#[test]
fn a_buffer_for_all_is_synchronous_event_by_event() {
    let store = in_memory();
    let buffered = |n: usize| ("technique.synchrony", json!({"kind": "semi_asynchronous", "buffer": n}));
    for kind in ["federated", "split_federated"] {
        for (devices, server) in [(3, json!({"optimizer": "mean"})), (2, json!({"optimizer": "adam"}))] {
            let common = || {
                vec![
                    ("technique.devices_per_round", json!(devices)),
                    ("technique.server", server.clone()),
                    ("technique.rounds", json!(4)),
                ]
            };
            let synchronous = played(&tiny(kind, common()), &store);
            let computed = store.counts().computed;
            let full = played(&tiny(kind, [common(), vec![buffered(devices)]].concat()), &store);
            assert_eq!(full, synchronous, "{kind}, {devices} at once");
            assert_eq!(store.counts().computed, computed);
        }
    }
    // Two cells, two servers that meet over wires, and walking devices.
    let walk = json!({"kind": "random_waypoint", "min_speed_m_per_s": 20, "max_speed_m_per_s": 80});
    let keys = |more: Set| {
        let base: Set = vec![("technique.round_deadline_s", Value::Null), ("mobility", walk.clone())];
        played(&support::scenario("keys.yaml", &[base, more].concat()), &store)
    };
    assert_eq!(keys(vec![buffered(2)]), keys(vec![]));
}

/// Settings of `technique` under which a device trains with the edge step by step.
const WITH_THE_EDGE: [&str; 10] = [
    r#"{"kind": "split_federated", "cut": {"labels": "device"}}"#,
    r#"{"kind": "split_federated", "cut": {"device_side": "frozen"}}"#,
    r#"{"kind": "split_federated", "cut": {"device_side": "frozen", "cache_activations": true}}"#,
    r#"{"kind": "split_federated", "cut": {"micro_batches": 2}}"#,
    r#"{"kind": "split_federated", "cut": {"compression": {"method": "quantise", "bits": 4}}}"#,
    r#"{"kind": "split_federated", "cut": {"compression": {"method": "merge_tokens"}}}"#,
    r#"{"kind": "split_federated", "cut": {"channel": "analog"}}"#,
    r#"{"kind": "split_federated", "split_point": "auto"}"#,
    r#"{"kind": "gradient_download"}"#,
    r#"{"kind": "gradient_download", "gradients": {"projection_dimension": 64}}"#,
];

fn below_technique(settings: &str) -> Set {
    let map: serde_json::Map<String, Value> = serde_json::from_str(settings).expect("a map in JSON");
    map.into_iter().map(|(key, value)| (&*String::leak(format!("technique.{key}")), value)).collect()
}

/// `scenario` under `federated` or a `settings` of [`WITH_THE_EDGE`].
fn beside(settings: &str, more: Set) -> Scenario {
    tiny("split_federated", [below_technique(settings), more].concat())
}

#[test]
fn every_kind_of_cut_goes_with_buffers_and_servers() {
    let store = in_memory();
    let buffered = |n: usize| ("technique.synchrony", json!({"kind": "semi_asynchronous", "buffer": n}));
    for settings in WITH_THE_EDGE {
        let more = || vec![("technique.server", json!({"optimizer": "adam"})), ("technique.rounds", json!(3))];
        let synchronous = played(&beside(settings, more()), &store);
        let full = played(&beside(settings, [more(), vec![buffered(3)]].concat()), &store);
        assert_eq!(full, synchronous, "{settings}: a buffer for all is synchronous event by event");
        let scenario = beside(settings, [more(), vec![buffered(1)]].concat());
        let eager = play(&scenario, &store);
        balanced(&eager, settings);
        energy_is_time_times_power(&scenario, &eager, settings);
        assert_ne!(learnt(&eager), learnt(&synchronous.replications[0]), "{settings}");
        let all: f64 = synchronous.replications[0].rounds.iter().map(|r| r.end_s - r.start_s).sum();
        assert!(eager.simulated_seconds < all, "{settings}: three updates of the fastest come before nine of all");
    }
}

/// A device draws active power while it computes and idle power for the rest of the rounds in which it takes part,
/// wherever these cut its work in two.
fn energy_is_time_times_power(scenario: &Scenario, record: &ReplicationRecord, what: &str) {
    for d in &record.devices {
        let hardware = deft::compute::profile(&d.hardware).expect("a known device");
        let share = scenario.devices.iter().find(|g| g.name == d.group).expect("its group").compute_share;
        let idle = d.uplink_s + d.edge_compute_s + d.downlink_s + d.waiting_s;
        let joules = hardware.active_w * d.device_compute_s * share + hardware.idle_w * idle;
        assert!((joules / d.compute_joules - 1.0).abs() < 1e-6, "{what}: {joules} J, {d:?}");
    }
}

#[test]
fn a_deadline_drops_late_updates_or_moves_the_model_without_them() {
    let store = in_memory();
    let record = |synchrony: Value, deadline: Option<f64>| {
        let more = vec![
            ("technique.synchrony", synchrony),
            ("technique.rounds", json!(8)),
            ("technique.round_deadline_s", json!(deadline)),
        ];
        play(&tiny("federated", more), &store)
    };
    let (synchronous, full) = (json!({"kind": "synchronous"}), json!({"kind": "semi_asynchronous", "buffer": 3}));
    let whole = record(synchronous.clone(), None);
    // The board takes the longest: two thirds of the shortest round come before its end.
    let shortest = whole.rounds.iter().map(|r| r.end_s - r.start_s).fold(f64::INFINITY, f64::min);
    let deadline = shortest * 2.0 / 3.0;
    let [dropped, late] = [synchronous, full].map(|s| record(s, Some(deadline)));
    for (strict, what) in [(&dropped, "dropped"), (&late, "late")] {
        balanced(strict, what);
        // A deadline falls on the next whole nanosecond.
        assert!(strict.rounds.iter().all(|r| r.end_s - r.start_s <= deadline + 1.01e-9), "{what}");
    }
    let board = |r: &ReplicationRecord| r.devices.iter().find(|d| d.group == "board").expect("a board").clone();
    assert_eq!(board(&dropped).rounds_delivered, 0);
    assert!(board(&late).rounds_delivered > 0, "its update comes in a later round");
    assert!(board(&late).lost_bytes < board(&dropped).lost_bytes || board(&dropped).lost_bytes == 0);
    assert!(measure(&late, "staleness").expect("noted") > 0.0);
    // A deadline that never passes changes no number.
    let (loose, none) =
        (record(json!({"kind": "semi_asynchronous"}), Some(1e6)), record(json!({"kind": "semi_asynchronous"}), None));
    assert_eq!((loose.rounds, loose.flows), (none.rounds, none.flows));
}

#[test]
fn a_model_kept_in_two_places_learns_the_same_under_every_setting() {
    let store = in_memory();
    let settings: [Set; 4] = [
        vec![("technique.local", json!({"proximal_mu": 0.3}))],
        vec![("technique.local", json!({"correction": "scaffold"}))],
        vec![("technique.server", json!({"optimizer": "yogi"}))],
        vec![("technique.averaging", json!("refactored")), ("devices[1].lora_rank", json!(2))],
    ];
    for setting in settings {
        let of = |technique: &str| {
            learnt(&play(
                &beside(technique, [sgd(), setting.clone(), vec![("technique.rounds", json!(3))]].concat()),
                &store,
            ))
        };
        let whole = of(r#"{"kind": "federated"}"#);
        for elsewhere in [
            r#"{"kind": "split_federated"}"#,
            r#"{"kind": "split_federated", "cut": {"labels": "device"}}"#,
            r#"{"kind": "split_federated", "split_point": "auto"}"#,
            r#"{"kind": "gradient_download"}"#,
        ] {
            assert_eq!(of(elsewhere), whole, "{elsewhere}, {setting:?}");
        }
    }
}

#[test]
fn a_proximal_term_holds_a_shared_edge_side_too() {
    let store = in_memory();
    let of = |mu: f64| {
        let local = ("technique.local", json!({"proximal_mu": mu}));
        learnt(&play(&beside(r#"{"cut": {"server_side": "shared"}}"#, [sgd(), vec![local]].concat()), &store))
    };
    let [free, held] = [0.0, 0.5].map(of);
    assert_ne!(free, held);
}

#[test]
fn one_device_that_mixes_fully_is_plain_averaging() {
    let store = in_memory();
    let alone = ("devices", json!([{"name": "phone", "hardware": "snapdragon_8_gen_3"}]));
    let kind = json!({"kind": "asynchronous", "mixing": 1, "staleness": {"kind": "constant"}});
    let plain = played(&tiny("federated", vec![alone.clone()]), &store);
    let mixed = played(&tiny("federated", vec![alone, ("technique.synchrony", kind)]), &store);
    assert_eq!(mixed, plain);
}

#[test]
fn nobody_waits_for_the_slowest_and_updates_grow_stale() {
    let store = in_memory();
    let record = |synchrony: Value, rounds: usize| {
        play(&tiny("federated", vec![("technique.synchrony", synchrony), ("technique.rounds", json!(rounds))]), &store)
    };
    let synchronous = record(json!({"kind": "synchronous"}), 4);
    let semi = record(json!({"kind": "semi_asynchronous", "buffer": 2}), 6);
    let asynchronous = record(json!({"kind": "asynchronous"}), 12);
    let updates = |r: &ReplicationRecord| r.rounds.iter().map(|r| r.delivered).sum::<usize>();
    assert_eq!([updates(&synchronous), updates(&semi), updates(&asynchronous)], [12; 3]);
    assert!(semi.simulated_seconds < synchronous.simulated_seconds);
    assert!(asynchronous.simulated_seconds < synchronous.simulated_seconds);
    let waiting = |r: &ReplicationRecord| r.devices.iter().map(|d| d.waiting_s).sum::<f64>() / r.simulated_seconds;
    assert!(waiting(&semi) < waiting(&synchronous) && waiting(&asynchronous) < waiting(&semi));
    assert_eq!(measure(&synchronous, "staleness"), None);
    assert!(measure(&semi, "staleness").expect("noted") > 0.0);
    assert!(measure(&asynchronous, "staleness").expect("noted") > 0.0);
    // The slow board keeps its slot while phones come and go.
    let board = asynchronous.devices.iter().find(|d| d.group == "board").expect("a board");
    let phone = asynchronous.devices.iter().find(|d| d.group == "phone").expect("a phone");
    assert!(board.rounds_delivered < phone.rounds_delivered && board.rounds_taken_part == 12);
}

#[test]
fn what_weighs_stale_updates_changes_what_is_learnt_and_not_when() {
    let store = in_memory();
    let record = |synchrony: Value| {
        let more = vec![("technique.synchrony", synchrony), ("technique.rounds", json!(6))];
        play(&tiny("federated", more), &store)
    };
    let all = [
        json!({"kind": "semi_asynchronous", "buffer": 2, "staleness": {"kind": "constant"}}),
        json!({"kind": "semi_asynchronous", "buffer": 2, "staleness": {"kind": "polynomial", "exponent": 0.5}}),
        json!({"kind": "semi_asynchronous", "buffer": 2, "staleness": {"kind": "polynomial", "exponent": 2}}),
    ]
    .map(record);
    for (a, b) in [(0, 1), (1, 2)] {
        assert_ne!(learnt(&all[a]), learnt(&all[b]));
        assert_eq!((all[a].digest, &all[a].flows), (all[b].digest, &all[b].flows));
    }
    let [some, more] = [0.3, 0.9].map(|mixing| record(json!({"kind": "asynchronous", "mixing": mixing})));
    assert_ne!(learnt(&some), learnt(&more));
    assert_eq!(some.digest, more.digest);
}

/// As a user watches a run, numbers are computed round by round: nothing may have to be computed twice.
#[test]
fn watching_computes_nothing_twice() {
    use deft::experiment::{self, Options, WhenToCompute};
    let local = ("technique.local", json!({"correction": "scaffold"}));
    let draws = ("technique.devices_per_round", json!(2));
    let semi = ("technique.synchrony", json!({"kind": "semi_asynchronous", "buffer": 1}));
    for more in [[sgd(), vec![local, draws]].concat(), vec![semi]] {
        let scenario = tiny("federated", [more, vec![("technique.rounds", json!(5))]].concat());
        let counts = [WhenToCompute::AtTheEnd, WhenToCompute::AsRoundsEnd].map(|when| {
            let store = in_memory();
            let options = Options { when, trace: false, watch: &|_, _| {}, journal: None };
            let trial = experiment::run(&scenario, &store, &options).unwrap_or_else(|error| panic!("{error}"));
            (store.counts(), learnt(&trial.record.replications[0]))
        });
        assert_eq!(counts[0], counts[1]);
    }
}

#[test]
fn products_are_averaged_where_pairs_are_and_nowhere_else() {
    let store = in_memory();
    let record = |kind: &str, averaging: &str, more: Set| {
        learnt(&play(&tiny(kind, [vec![("technique.averaging", json!(averaging))], more].concat()), &store))
    };
    let [plain, refactored] = ["plain", "refactored"].map(|a| record("federated", a, vec![]));
    assert_eq!(plain[0][0], refactored[0][0], "the first round trains from the same start");
    assert_ne!(plain, refactored);
    assert_eq!(record("split_federated", "refactored", vec![]), refactored, "a lossless split changes nothing");
    // The product of one device's pair is that pair's, whatever its factors: tests see no difference.
    let alone = || vec![("devices", json!([{"name": "phone", "hardware": "snapdragon_8_gen_3"}]))];
    let [plain, refactored] = ["plain", "refactored"].map(|a| record("federated", a, alone()));
    assert!((plain[0][1] - refactored[0][1]).abs() < 1e-5, "{plain:?} {refactored:?}");
}

#[test]
fn fewer_ranks_cost_less_and_all_ranks_change_nothing() {
    let store = in_memory();
    let groups = |rank: Value| {
        json!([
            {"name": "phone", "count": 2, "hardware": "snapdragon_8_gen_3"},
            {"name": "board", "hardware": "raspberry_pi_5", "lora_rank": rank},
        ])
    };
    for averaging in ["plain", "refactored"] {
        let record = |rank: Value| {
            play(&tiny("federated", vec![("devices", groups(rank)), ("technique.averaging", json!(averaging))]), &store)
        };
        let [whole, all, few] = [Value::Null, json!(4), json!(1)].map(record);
        assert_eq!((learnt(&all), all.digest, &all.flows), (learnt(&whole), whole.digest, &whole.flows));
        assert_ne!(learnt(&few), learnt(&whole));
        let [whole, few] = [&whole, &few].map(|r| r.devices.iter().find(|d| d.group == "board").expect("a board"));
        // Rank 1 of 4 in six blocks with two pairs of 2 x 384 a rank; the head stays. fp32, two rounds.
        assert_eq!(whole.uplink_bytes - few.uplink_bytes, 2 * 4 * 6 * 2 * 2 * 384 * 3);
        assert_eq!(whole.downlink_bytes - few.downlink_bytes, 2 * 4 * 6 * 2 * 2 * 384 * 3);
        assert!(few.peak_memory_bytes < whole.peak_memory_bytes && few.device_compute_s < whole.device_compute_s);
    }
}

/// Which devices took part in each round, by the transfers they made.
fn drawn(record: &ReplicationRecord) -> Vec<Vec<&str>> {
    let of = |r: &RoundRecord| {
        let mut names: Vec<&str> =
            record.flows.iter().filter(|f| f.round == r.round).map(|f| f.device.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    record.rounds.iter().map(of).collect()
}

#[test]
fn draws_go_by_what_they_say() {
    let store = in_memory();
    let devices = json!([
        {"name": "far", "count": 2, "hardware": "snapdragon_8_gen_3", "data_weight": 1},
        {"name": "near", "count": 2, "hardware": "snapdragon_8_gen_3", "data_weight": 1000},
        {"name": "slow", "count": 1, "hardware": "raspberry_pi_5", "data_weight": 1000},
    ]);
    let positions = json!([[900, 0], [0, 950], [50, 0], [0, 60], [0, 70]]);
    let record = |sampling: Value| {
        let set: Set = vec![
            ("training", json!("none")),
            ("technique.kind", json!("federated")),
            ("technique.rounds", json!(12)),
            ("technique.devices_per_round", json!(2)),
            ("technique.sampling", sampling),
            ("radio.propagation", json!("free_space")),
            ("devices", devices.clone()),
            ("placement", json!({"kind": "fixed", "positions_m": positions})),
        ];
        play(&support::scenario("tiny.yaml", &set), &store)
    };
    let uniform = record(json!({"kind": "uniform"}));
    let everybody: std::collections::BTreeSet<&str> = drawn(&uniform).concat().into_iter().collect();
    assert_eq!(everybody.len(), 5);
    let strongest = record(json!({"kind": "by_channel"}));
    assert!(drawn(&strongest).iter().all(|names| *names == ["near-0", "near-1"]), "{:?}", drawn(&strongest));
    let by_data = record(json!({"kind": "by_data"}));
    assert!(drawn(&by_data).concat().iter().all(|name| !name.starts_with("far")), "{:?}", drawn(&by_data));
    // All are tried once; then those with much data that are fast.
    let utility = record(json!({"kind": "by_utility", "exploration": 0.5}));
    let last = drawn(&utility).pop().expect("rounds");
    assert_eq!(last, ["near-0", "near-1"]);
    let indifferent = record(json!({"kind": "by_utility", "exploration": 0.5, "straggler_penalty": 0}));
    assert!(drawn(&indifferent).concat().iter().any(|name| name.starts_with("slow")));
}

#[test]
fn utilities_follow_losses_where_there_is_training() {
    let store = in_memory();
    let record = |sampling: &str| {
        let more = vec![
            ("technique.devices_per_round", json!(1)),
            ("technique.rounds", json!(5)),
            ("technique.sampling", json!({"kind": sampling})),
        ];
        play(&tiny("federated", more), &store)
    };
    let rounds = drawn(&record("by_utility")).concat().len();
    assert_eq!(rounds, 5);
}
