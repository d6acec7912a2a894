//! Federated optimisation: what each variant must equal, and what sets it apart.

mod support;

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
            let options = Options { when, trace: false, watch: &|_, _| {} };
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
