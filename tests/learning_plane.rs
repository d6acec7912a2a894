//! The learning plane under whole runs: shared, cached, lazy, batched, and what the air does to it.

#[path = "learning_plane/draws.rs"]
mod draws;
#[path = "learning_plane/half_precision.rs"]
mod half_precision;
#[path = "learning_plane/kept.rs"]
mod kept;
mod support;

use deft::experiment::{self, LearningCounts, Options, Record, RoundRecord, WhenToCompute, architecture};
use deft::learning::{
    Client, Combination, Learning, Normalisation, State, StateHandle, Store, StoreCounts, Superposition, Task,
};
use deft::random::Streams;
use deft::scenario::Scenario;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn in_memory() -> Arc<Store> {
    Arc::new(Store::open(None).expect("a store in memory"))
}

fn cached(folder: &Path) -> Arc<Store> {
    Arc::new(Store::open(Some(folder)).expect("a store on disk"))
}

fn tiny(set: &[(&str, Value)]) -> Scenario {
    support::scenario("tiny.yaml", set)
}

/// What was learnt in each round.
fn learnt(record: &Record) -> Vec<(Option<f64>, Option<f64>, Option<f64>)> {
    let of = |r: &RoundRecord| (r.train_loss, r.test_loss, r.accuracy);
    record.replications.iter().flat_map(|r| &r.rounds).map(of).collect()
}

/// The record without the counts of arithmetic done.
fn played(mut record: Record) -> Record {
    for replication in &mut record.replications {
        replication.learning = LearningCounts::default();
    }
    record
}

#[test]
fn what_only_changes_time_is_computed_once() {
    let store = in_memory();
    let first = support::play(&tiny(&[]), &store);
    let once = store.counts();
    assert!(once.computed > 0 && once.asked >= once.computed);
    let mut ends = vec![first.replications[0].simulated_seconds];
    for (split_point, bandwidth_mhz) in [(2, 20), (5, 100), (5, 20)] {
        let set = [("technique.split_point", json!(split_point)), ("radio.bandwidth_mhz", json!(bandwidth_mhz))];
        let record = support::play(&tiny(&set), &store);
        assert_eq!(learnt(&record), learnt(&first));
        ends.push(record.replications[0].simulated_seconds);
    }
    assert_eq!(store.counts(), StoreCounts { asked: 4 * once.asked, computed: once.computed });
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    assert_eq!(ends.len(), 4, "the four differ in time");
    // A lossless split changes when things happen, not what: federated fine-tuning is the same chain.
    let federated = support::play(&tiny(&[("technique.kind", json!("federated"))]), &store);
    assert_eq!(learnt(&federated), learnt(&first));
    assert_eq!(store.counts().computed, once.computed);
}

#[test]
fn without_training_nothing_is_computed() {
    let store = in_memory();
    let record = support::play(&tiny(&[("training", json!("none"))]), &store);
    assert_eq!(store.counts(), StoreCounts { asked: 0, computed: 0 });
    assert_eq!(record.replications[0].learning, LearningCounts::default());
    assert_eq!(learnt(&record), [(None, None, None); 2]);
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> =
        paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

type Damage = fn(&[u8]) -> Vec<u8>;

#[test]
fn a_warm_cache_computes_nothing_and_a_damaged_one_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cold = cached(folder.path());
    let record = played(support::play(&tiny(&[]), &cold));
    assert!(cold.counts().computed > 0);
    let again = || {
        let store = cached(folder.path());
        assert_eq!(played(support::play(&tiny(&[]), &store)), record);
        store.counts()
    };
    assert_eq!(again(), StoreCounts { asked: cold.counts().asked, computed: 0 });

    let whole: Vec<(PathBuf, Vec<u8>)> =
        files(folder.path()).into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    assert!(whole.len() > 4);
    let damages: [(&str, Damage); 4] = [
        ("emptied", |_| vec![]),
        ("cut", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("garbled", |bytes| bytes.iter().map(|b| b ^ 0x55).collect()),
        ("one digit changed", |bytes| {
            let digit = |b: &u8| (b'1'..=b'8').contains(b);
            let at = bytes.iter().rposition(digit).expect("some digit");
            [&bytes[..at], &[bytes[at] + 1], &bytes[at + 1..]].concat()
        }),
    ];
    for (what, damage) in damages {
        for (path, bytes) in &whole {
            fs::write(path, damage(bytes)).expect("a file");
        }
        assert_eq!(again(), cold.counts(), "{what}");
        // It has mended them.
        assert_eq!(again().computed, 0, "{what}");
    }
}

const AIR: &str = "technique.aggregation";

/// So near, so strong and so quiet that the air does nothing.
fn clean_air() -> Vec<(&'static str, Value)> {
    vec![
        (AIR, json!({"method": "air_comp", "average_power_dbm": 50})),
        ("placement", json!({"kind": "uniform", "min_distance_m": 5, "max_distance_m": 6})),
        ("radio.propagation", json!("free_space")),
        ("radio.fading", json!({"kind": "none"})),
        ("radio.cell_noise_figure_db", json!(0)),
        ("devices[0].tx_power_dbm", json!(50)),
        ("devices[1].tx_power_dbm", json!(50)),
    ]
}

#[test]
fn over_clean_air_aggregation_is_the_weighted_mean() {
    let store = in_memory();
    for kind in ["federated", "split_federated"] {
        let kind = ("technique.kind", json!(kind));
        let technique = [kind];
        let digital = learnt(&support::play(&tiny(&technique), &store));
        let air = learnt(&support::play(&tiny(&[&clean_air(), technique.as_slice()].concat()), &store));
        for (a, b) in digital.iter().zip(&air) {
            assert_ne!(a.1, b.1, "some noise is left");
            for (x, y) in [(a.0, b.0), (a.1, b.1), (a.2, b.2)] {
                assert!((x.expect("training") - y.expect("training")).abs() < 1e-3, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn what_the_air_does_differs_from_trial_to_trial() {
    let store = in_memory();
    let mut outcomes = vec![];
    for bandwidth_mhz in [20, 100] {
        let set = [(AIR, json!({"method": "air_comp"})), ("radio.bandwidth_mhz", json!(bandwidth_mhz))];
        let before = store.counts().computed;
        outcomes.push(learnt(&support::play(&tiny(&set), &store)));
        assert!(store.counts().computed > before, "{bandwidth_mhz} MHz");
    }
    assert_eq!(outcomes[0][0].0, outcomes[1][0].0, "the first round starts from the same state");
    assert_ne!(outcomes[0], outcomes[1]);
}

#[test]
fn if_all_are_silent_the_model_stays_as_it_was() {
    let set = [
        ("technique.kind", json!("federated")),
        (AIR, json!({"method": "air_comp", "truncation_threshold": 10})),
        ("radio.fading", json!({"kind": "none"})),
        ("training.evaluation_samples", json!("all")),
    ];
    let record = support::play(&tiny(&set), &in_memory());
    let replication = &record.replications[0];
    let [first, last] = replication.rounds.as_slice() else { panic!("two rounds") };
    assert_eq!((first.delivered, last.delivered), (0, 0));
    assert_eq!(first.test_loss, last.test_loss);
    assert_eq!((first.accuracy, last.accuracy), (replication.initial_accuracy, replication.initial_accuracy));
    assert_eq!(first.uplink_bytes + last.uplink_bytes, 0);
}

/// The learning plane of the tiny scenario, with a store of its own.
fn plane(scenario: &Scenario) -> Learning {
    plane_in(scenario, &in_memory())
}

fn plane_in(scenario: &Scenario, store: &Arc<Store>) -> Learning {
    let architecture = architecture(scenario).expect("a known model");
    let task = Task::new(scenario, &architecture, Streams::new(scenario.seed, 0), store).expect("a task");
    Learning::new(Arc::new(task), store.clone())
}

fn state(learn: &Learning, handle: StateHandle) -> Arc<State> {
    learn.state(handle).expect("arithmetic").expect("training")
}

/// Mean loss of `handle` over `samples` of the test set.
fn test_loss(learn: &Learning, handle: StateHandle, samples: usize) -> f64 {
    let evaluation = learn.evaluate(handle, samples, false);
    learn.resolve(&[evaluation], &[]).expect("arithmetic");
    learn.evaluation(evaluation).expect("arithmetic").expect("training").loss
}

/// A data set of one sentence: whatever is drawn from it, batches differ in their labels alone, which alternate.
fn one_sentence(folder: &Path, labels: [&str; 2]) -> PathBuf {
    let path = folder.join("same.tsv");
    let rows = |split: &str, count: usize| -> String {
        let row = |i: usize| format!("The soup was warm and full of flavour.\t{}\t{split}\n", labels[i % 2]);
        (0..count).map(row).collect()
    };
    fs::write(&path, format!("text\tlabel\tsplit\n{}{}", rows("train", 60), rows("test", 10))).expect("a file");
    path
}

#[test]
fn a_stack_of_steps_is_each_step_alone() {
    let scenario = tiny(&[("devices[0].count", json!(7))]);
    let two_steps = |learn: &Learning, device: u32| {
        let first = learn.local_step(learn.initial(), Client::Device(device), 0, true);
        learn.local_step(first, Client::Device(device), 1, false)
    };
    let stacked = plane(&scenario);
    let together: Vec<StateHandle> = (0..8).map(|device| two_steps(&stacked, device)).collect();
    stacked.resolve(&[], &[stacked.mean_loss(&together)]).expect("arithmetic");
    let counts = stacked.counts();
    for (device, handle) in (0..).zip(together) {
        // In a plane of its own no other device's step is there to be stacked with.
        let alone = plane(&scenario);
        let [one, many] = [state(&alone, two_steps(&alone, device)), state(&stacked, handle)];
        assert!(one.parameters == many.parameters, "device {device}: parameters");
        assert!(one.moments == many.moments, "device {device}: moments");
        assert_eq!(one.loss, many.loss, "device {device}");
    }
    assert_eq!(stacked.counts(), counts, "what was compared is what the stack left");
}

#[test]
fn a_fresh_optimizer_forgets_but_steps_go_on() {
    let learn = plane(&tiny(&[]));
    let first = learn.local_step(learn.initial(), Client::Device(0), 0, true);
    let steps = |fresh| {
        let second = state(&learn, learn.local_step(first, Client::Device(0), 1, fresh));
        let moments = second.moments.as_ref().expect("those of AdamW");
        (moments.step, moments.run_step)
    };
    assert_eq!((steps(true), steps(false)), ((1, 2), (2, 2)));
}

#[test]
fn a_language_models_test_loss_is_a_mean_over_tokens() {
    let learn = plane(&tiny(&[
        ("model", json!({"architecture": "gpt2-tiny", "checkpoint": "random"})),
        ("peft", json!({"method": "full"})),
        ("training.task", json!("language_model")),
        ("training.dataset", json!("movie")),
        ("technique.split_point", json!(1)),
    ]));
    let loss = test_loss(&learn, learn.initial(), 20);
    // Nobody taught it anything: every token is about as likely as any other.
    let expected = (learn.architecture().expect("a model").vocabulary as f64).ln();
    assert!((loss / expected - 1.0).abs() < 0.3, "{loss}, not about {expected}");
}

#[test]
fn the_limit_of_no_noise_is_the_mean_entry_by_entry() {
    let scenario = tiny(&[]);
    let learn = plane(&scenario);
    let updates: Vec<StateHandle> =
        (0..3).map(|device| learn.local_step(learn.initial(), Client::Device(device), 0, true)).collect();
    let weights = vec![0.5, 0.3, 0.2];
    let noise = Streams::new(1, 0).counter("air", "test");
    let mean = Combination::Mean { weights: weights.clone() };
    let air = |noise_std| Combination::OverTheAir {
        air: Superposition { weights: weights.clone(), misalignment: None, noise_std, noise },
        normalisation: Normalisation::PerTensor,
    };
    let combined = |how: Combination| {
        state(&learn, learn.combine(learn.initial(), &updates, None, how.clone(), how)).parameters.clone()
    };
    let [exact, silent, noisy] = [combined(mean), combined(air(0.0)), combined(air(0.1))];
    let farthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(farthest(&exact, &silent) < 1e-6, "{}", farthest(&exact, &silent));
    assert!(farthest(&exact, &noisy) > 1e-4, "{}", farthest(&exact, &noisy));
    assert_ne!(exact, state(&learn, learn.initial()).parameters);
}

#[test]
fn a_run_starts_where_an_adapter_ended() {
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let everything = ("training.evaluation_samples", json!("all"));
    let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
    let first = support::scenario("tiny.yaml", std::slice::from_ref(&everything));
    let trial = experiment::run(&first, &store, &options).expect("a run");
    let ended = trial.record.replications[0].final_accuracy;
    let adapters = trial.models.expect("something was trained").adapters().expect("the last state");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("global.safetensors");
    std::fs::write(&path, adapters[0].1.to_bytes()).expect("a file");

    let start = ("training.start_from", json!(path));
    let goes_on = support::scenario("tiny.yaml", &[everything.clone(), start.clone()]);
    let record = support::play(&goes_on, &store);
    assert_eq!(record.replications[0].initial_accuracy, ended);

    // Another factor on the same tensors is another model.
    let other = support::scenario("tiny.yaml", &[everything.clone(), start.clone(), ("peft.alpha", json!(3))]);
    let refused = experiment::run(&other, &store, &options).err().expect("alpha differs").to_string();
    assert!(refused.contains("global.safetensors: its `alpha` is") && refused.contains("`peft` is 3"), "{refused}");

    // Other sizes have no place for its tensors.
    let other = support::scenario("tiny.yaml", &[everything, start, ("peft.rank", json!(2))]);
    let refused = experiment::run(&other, &store, &options).err().expect("rank 4 does not fit rank 2").to_string();
    assert!(refused.contains("global.safetensors") && refused.contains("peft"), "{refused}");
}

/// The model's answers start near 0, so that labels this far away overflow half precision at the usual loss scale.
#[test]
fn rounds_of_one_step_learn_in_half_precision_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("far.tsv");
    let row = |i: usize| {
        let split = if i < 60 { "train" } else { "test" };
        format!("The soup was warm and full of flavour.\t{}\t{split}\n", [50, 70][i % 2])
    };
    fs::write(&file, format!("text\tlabel\tsplit\n{}", (0..70).map(row).collect::<String>())).expect("written");
    let record = support::play(
        &tiny(&[
            ("training.dataset", json!({"file": file})),
            ("training.task", json!("regression")),
            ("training.evaluation_samples", json!("all")),
            ("model.precision", json!("fp16")),
            ("workload.batch_size", json!(1)),
            ("technique.kind", json!("federated")),
            ("technique.local_steps", json!(1)),
            ("technique.rounds", json!(12)),
        ]),
        &in_memory(),
    );
    let losses: Vec<f64> = record.replications[0].rounds.iter().filter_map(|r| r.test_loss).collect();
    assert!(losses[11] < losses[0], "twelve rounds moved nothing: {losses:?}");
}
