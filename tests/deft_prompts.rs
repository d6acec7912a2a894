//! Prompt ensembles and prompt transfer against simpler runs and closed forms.

mod support;

use deft::experiment::{Outcome, ReplicationRecord, architecture};
use deft::learning::{Client, Ensemble, EvaluationOptions, KeySource, Learning, StateHandle, Store, Task, Weighing};
use deft::random::Streams;
use deft::scenario::{KeyLayer, Scenario};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

type Set<'a> = Vec<(&'a str, Value)>;

/// Shared, so that equal chains of operations are computed once.
fn store() -> &'static Arc<Store> {
    static STORE: OnceLock<Arc<Store>> = OnceLock::new();
    STORE.get_or_init(|| Arc::new(Store::open(None).expect("a store in memory")))
}

fn tiny(more: Set) -> Scenario {
    let prompts = vec![
        ("peft", json!({"method": "prompt", "tokens": 2})),
        ("technique", json!({"kind": "on_device", "rounds": 2, "local_steps": 2})),
        ("training.learning_rate", json!(0.03)),
        ("placement", json!({"kind": "uniform", "min_distance_m": 5, "max_distance_m": 20})),
    ];
    support::scenario("tiny.yaml", &[prompts, more].concat())
}

fn play(scenario: &Scenario) -> ReplicationRecord {
    support::play(scenario, store()).replications.remove(0)
}

/// Accuracy and loss of the rounds that were tested.
fn learnt(record: &ReplicationRecord) -> Vec<(f64, f64)> {
    record.rounds.iter().filter_map(|r| r.accuracy.zip(r.test_loss)).collect()
}

fn measure(record: &ReplicationRecord, name: &str) -> Option<f64> {
    record.measures.iter().find(|m| m.measure == name).map(|m| m.value)
}

fn ensemble(more: Value) -> Set<'static> {
    vec![("technique", json!({"kind": "prompt_ensemble", "rounds": 2, "local_steps": 2, "ensemble": more}))]
}

fn transfer(more: Value) -> Set<'static> {
    vec![("technique", json!({"kind": "prompt_transfer", "rounds": 5, "local_steps": 2, "transfer": more}))]
}

/// Time alone, with four bytes a number.
fn emulated() -> Set<'static> {
    vec![("training", json!("none")), ("model.precision", json!("fp32"))]
}

const ONE: &str = r#"[{"name": "phone", "count": 1, "hardware": "snapdragon_8_gen_3"}]"#;

#[test]
fn an_ensemble_of_one_device_is_that_device_alone() {
    let one: Value = serde_json::from_str(ONE).unwrap();
    let alone = play(&tiny(vec![("devices", one.clone())]));
    for combine in [json!({"combine": "uniform"}), json!({"combine": "key_similarity", "top": 1})] {
        let together = play(&tiny([ensemble(combine.clone()), vec![("devices", one.clone())]].concat()));
        assert_eq!(learnt(&together), learnt(&alone), "{combine}");
        assert_eq!(measure(&together, "best_single_accuracy"), alone.final_accuracy);
    }
}

/// The learning plane of `scenario`.
fn learning(scenario: &Scenario) -> Learning {
    let architecture = architecture(scenario).expect("a known model");
    let task = Task::new(scenario, &architecture, Streams::new(scenario.seed, 0), store()).expect("a task");
    Learning::new(Arc::new(task), store().clone())
}

/// The same, and a state a device after two steps.
fn tuned(scenario: &Scenario) -> (Learning, Vec<StateHandle>) {
    let learn = learning(scenario);
    let steps = |k| {
        let first = learn.local_step(learn.initial(), Client::Device(k), 0, true);
        learn.local_step(first, Client::Device(k), 1, false)
    };
    let states = (0..3).map(steps).collect();
    (learn, states)
}

/// Loss and accuracy of the states together on so many test samples.
fn together(learn: &Learning, states: &[StateHandle], weighing: Weighing, samples: usize) -> (f64, f64) {
    let members = (0..states.len() as u32).map(Client::Device).collect();
    let options = EvaluationOptions { ensemble: Some(Ensemble { members, weighing }), ..EvaluationOptions::default() };
    let test = learn.evaluate_with(states[0], samples, false, options, &states[1..]);
    let e = learn.evaluation(test).expect("computed").expect("training");
    (e.loss, e.accuracy)
}

fn alone(learn: &Learning, state: StateHandle, samples: usize) -> (f64, f64) {
    let e = learn.evaluation(learn.evaluate(state, samples, false)).expect("computed").expect("training");
    (e.loss, e.accuracy)
}

fn by_keys(top: usize, temperature: f64, layer: KeyLayer) -> Weighing {
    Weighing::Similarity { top, temperature, source: KeySource { layer, samples: 5 } }
}

#[test]
fn probabilities_are_averaged() {
    let (learn, states) = tuned(&tiny(vec![]));
    // Of one sample, loss is the logarithm of one probability.
    let single: Vec<f64> = states.iter().map(|s| alone(&learn, *s, 1).0).collect();
    assert!(single[0] != single[1] && single[1] != single[2], "the prompts differ: {single:?}");
    let mean = -(single.iter().map(|loss| (-loss).exp()).sum::<f64>() / 3.0).ln();
    let (uniform, accuracy) = together(&learn, &states, Weighing::Uniform, 1);
    assert!((uniform - mean).abs() < 1e-12, "{uniform} instead of {mean}");
    // Two classes: right where the right one is likelier than not.
    assert_eq!(accuracy, f64::from(u8::from(mean < 2f64.ln())));

    for layer in [KeyLayer::Embeddings, KeyLayer::Hidden] {
        let hot = together(&learn, &states, by_keys(3, 1e9, layer), 1).0;
        assert!((hot - mean).abs() < 1e-6, "so hot that all weigh alike: {hot} instead of {mean}");
        let nearest = together(&learn, &states, by_keys(1, 0.1, layer), 1).0;
        assert!(single.contains(&nearest), "the only one that answers, to the last bit");
        let cold = together(&learn, &states, by_keys(3, 1e-9, layer), 1).0;
        assert!((cold - nearest).abs() < 1e-9, "so cold that the nearest answers alone");
    }
}

#[test]
fn identical_prompts_are_one() {
    let (learn, states) = tuned(&tiny(vec![]));
    let expected = alone(&learn, states[0], 10);
    for weighing in [Weighing::Uniform, by_keys(2, 0.1, KeyLayer::Embeddings)] {
        let same = together(&learn, &[states[0]; 3], weighing, 10);
        assert!((same.0 - expected.0).abs() < 1e-12 && same.1 == expected.1, "{weighing:?}: {same:?}, {expected:?}");
    }
    assert_eq!(together(&learn, &states[..1], by_keys(1, 0.1, KeyLayer::Hidden), 10), expected, "to the last bit");
}

#[test]
fn validation_keeps_samples_from_training_and_weighs_by_them() {
    let validation = |temperature: f64| {
        let combine = json!({"combine": "validation_weighted", "top": 3, "temperature": temperature,
                             "validation_samples": 4});
        tiny(ensemble(combine))
    };
    let samples = |scenario: &Scenario| play(scenario).devices.iter().map(|d| d.training_samples).collect::<Vec<_>>();
    let (kept, all) = (samples(&validation(0.1)), samples(&tiny(ensemble(json!({"combine": "uniform"})))));
    assert!(kept.iter().zip(&all).all(|(kept, all)| kept + 4 == *all), "{kept:?} of {all:?}");

    let (learn, states) = tuned(&validation(0.1));
    let hot = together(&learn, &states, Weighing::Validation { top: 3, temperature: 1e12 }, 1).0;
    assert!((hot - together(&learn, &states, Weighing::Uniform, 1).0).abs() < 1e-9);
    let best = together(&learn, &states, Weighing::Validation { top: 1, temperature: 0.1 }, 1).0;
    assert!(states.iter().any(|s| alone(&learn, *s, 1).0 == best), "one of them, to the last bit");
}

#[test]
fn queries_take_time_and_bytes() {
    let serve = |more: Value| play(&tiny([ensemble(more), emulated()].concat()));
    let three = serve(json!({"combine": "uniform", "queries": 3}));
    // 16 tokens of 2 bytes up, a class of 4 bytes down.
    assert_eq!(measure(&three, "query_traffic_bytes"), Some(36.0));
    assert_eq!(three.rounds.len(), 3, "two to tune and one to answer");
    let last = three.rounds.last().unwrap();
    assert_eq!((last.uplink_bytes, last.downlink_bytes), (3 * 3 * 32, 3 * 3 * 4));
    assert!(last.edge_compute_s > 0.0 && last.accuracy.is_none());
    let latency = |r: &ReplicationRecord| measure(r, "query_latency_seconds").unwrap();
    assert!(latency(&three) > 0.0 && latency(&three) <= last.end_s - last.start_s);
    let embedded = serve(json!({"combine": "uniform", "queries": 3, "query": "embeddings"}));
    assert_eq!(measure(&embedded, "query_traffic_bytes"), Some(f64::from(16 * 384 * 4 + 4)));
    // One prompt instead of three; and one more pass for a key behind the last block.
    let edge = |r: &ReplicationRecord| r.rounds.last().unwrap().edge_compute_s;
    let one = serve(json!({"combine": "key_similarity", "top": 1, "queries": 3}));
    let hidden = serve(json!({"combine": "key_similarity", "top": 1, "queries": 3, "key": "hidden"}));
    assert!(edge(&one) < edge(&hidden) && edge(&hidden) < edge(&three));
    assert!(hidden.rounds[0].device_compute_s > one.rounds[0].device_compute_s, "keys take passes on devices too");
}

#[test]
fn a_cold_start_is_on_device_tuning() {
    let cold = play(&tiny(transfer(json!({"choose": "none", "donor_rounds": 2, "newcomers": [1]}))));
    let on_device = play(&tiny(vec![]));
    // After two donor rounds and the one in which nothing is sent, two rounds of their own.
    assert_eq!(cold.rounds.iter().map(|r| r.round).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(cold.final_accuracy, on_device.devices[1].final_accuracy);
    assert_eq!(cold.rounds[0].accuracy, cold.initial_accuracy, "newcomers have not started");
    assert!(cold.flows.is_empty() && cold.outcome == Outcome::Completed);
}

#[test]
fn a_newcomer_starts_where_its_donor_ended() {
    for choose in ["most_similar", "least_similar", "nearest", "random"] {
        let plan = json!({"choose": choose, "donor_rounds": 2, "newcomers": [1, 2], "carries": "prompt_and_head"});
        let warm = play(&tiny(transfer(plan)));
        assert_eq!(measure(&warm, "received_share"), Some(1.0), "{choose}");
        assert_eq!(measure(&warm, "neighbours_in_range"), Some(1.0), "{choose}");
        // One donor, and no domains: both are tested on the same samples.
        assert_eq!(measure(&warm, "start_accuracy"), measure(&warm, "donor_accuracy"), "{choose}");
        let keys = warm.flows.iter().filter(|f| f.content == "task_key").count();
        assert_eq!(keys, if choose.ends_with("similar") { 2 } else { 0 }, "{choose}");
        let similar = measure(&warm, "chosen_similarity");
        assert_eq!(similar.is_some(), choose.ends_with("similar"), "{choose}");
        assert!(similar.is_none_or(|s| s > 0.5 && s <= 1.0), "{choose}: texts of one kind");
    }
}

#[test]
fn a_fresh_head_makes_a_prompt_smaller() {
    let bytes = |carries: &str| {
        let plan = json!({"carries": carries, "donor_rounds": 2, "newcomers": [1]});
        let record = play(&tiny([transfer(plan), emulated()].concat()));
        record.flows.iter().find(|f| f.content == "prompt").expect("a prompt is sent").bytes
    };
    assert_eq!(bytes("prompt"), 2 * 384 * 4);
    assert_eq!(bytes("prompt_and_head"), (2 * 384 + 2 * 385) * 4);
}

#[test]
fn both_ends_of_a_sidelink_pay_and_take_turns() {
    let record = play(&tiny([transfer(json!({"newcomers": [1, 2]})), vec![("training", json!("none"))]].concat()));
    assert_eq!(record.flows.len(), 4, "a key and a prompt for each newcomer");
    assert!(record.flows.iter().all(|f| f.direction == "sidelink" && f.device == "phone-0" && f.wired_s == 0.0));
    let mut ends: Vec<&str> = record.flows.iter().map(|f| f.edge_server.as_str()).collect();
    ends.sort_unstable();
    assert_eq!(ends, ["board-0", "board-0", "phone-1", "phone-1"]);
    assert!(record.flows.windows(2).all(|pair| pair[0].end_s <= pair[1].start_s), "half-duplex: one after another");
    assert!(record.devices.iter().all(|d| d.radio_joules > 0.0 && d.uplink_bytes == 0 && d.downlink_bytes == 0));
    let (sender, receiver) = (&record.devices[0], &record.devices[1]);
    assert!(sender.uplink_s > 0.0 && sender.downlink_s == 0.0, "{sender:?}");
    assert!(receiver.downlink_s > 0.0 && receiver.uplink_s == 0.0, "{receiver:?}");
    assert!(sender.radio_joules > receiver.radio_joules, "the sender radiates too");
}

#[test]
fn nobody_in_range_is_a_cold_start() {
    let ring = json!({"kind": "uniform", "min_distance_m": 2000, "max_distance_m": 60000});
    let far = |choose: &str| {
        let plan = json!({"choose": choose, "donor_rounds": 2, "newcomers": [1]});
        play(&tiny(
            [transfer(plan), vec![("placement", ring.clone()), ("devices[0].tx_power_dbm", json!(-40))]].concat(),
        ))
    };
    let lonely = far("nearest");
    assert_eq!((measure(&lonely, "received_share"), measure(&lonely, "neighbours_in_range")), (Some(0.0), Some(0.0)));
    assert_eq!(lonely.outcome, Outcome::Completed);
    assert_eq!(lonely.final_accuracy, far("none").final_accuracy);
}

#[test]
fn what_is_saved_is_counted_from_both_starts() {
    let plan = json!({"choose": "nearest", "donor_rounds": 2, "newcomers": [1], "target_accuracy": 0.01});
    let record = play(&tiny(transfer(plan)));
    // Any accuracy will do: both reach it before their first round, and the exchange was for nothing.
    assert_eq!(measure(&record, "rounds_to_target"), Some(0.0));
    assert_eq!(measure(&record, "saved_rounds"), Some(0.0));
    let exchange = &record.rounds[2];
    assert_eq!(exchange.round, 2);
    let lost = |name| -measure(&record, name).unwrap();
    assert!((lost("saved_seconds") - (exchange.end_s - exchange.start_s)).abs() < 1e-9);
    assert!((lost("saved_joules") - exchange.device_joules).abs() < 1e-9);
    let cold = play(&tiny(transfer(json!({"choose": "none", "donor_rounds": 2, "newcomers": [1]}))));
    assert!((0.0..=1.0).contains(&measure(&record, "cold_accuracy").unwrap()) && cold.final_accuracy.is_some());
}

#[test]
fn newcomers_are_tested_on_their_own_domain() {
    let by_domain = {
        let set = vec![
            ("training.dataset", json!({"domains": ["tweets", "nyt"]})),
            ("training.partition", json!({"kind": "domain"})),
            ("workload.sequence_tokens", json!(8)),
            ("devices", json!([{"name": "phone", "count": 2, "hardware": "snapdragon_8_gen_3"}])),
        ];
        tiny([transfer(json!({"choose": "none", "donor_rounds": 1, "newcomers": [0]})), set].concat())
    };
    let learn = learning(&by_domain);
    let samples = |domain| {
        let options = EvaluationOptions { domain, ..EvaluationOptions::default() };
        learn.evaluation(learn.evaluate_with(learn.initial(), usize::MAX, false, options, &[])).unwrap().unwrap()
    };
    let (all, tweets, nyt) = (samples(None), samples(Some(0)), samples(Some(1)));
    assert_eq!(all.samples, tweets.samples + nyt.samples);
    let right = |e: &deft::learning::Evaluation| (e.accuracy * e.samples as f64).round();
    assert_eq!(right(&all), right(&tweets) + right(&nyt));
    assert_eq!((learn.domain_of(Client::Device(0)), learn.domain_of(Client::Device(1))), (Some(0), Some(1)));
}
