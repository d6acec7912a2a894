//! Offsite tuning: what crosses the air, what is learnt against an emulator, and that an emulator from which nothing was
//! removed is the model itself.

mod support;

use deft::experiment::{FlowRecord, ReplicationRecord};
use deft::fomo::emulator::{Quantisation, QuantisationScope};
use deft::fomo::{Architecture, Emulator, EmulatorSpec, TensorSource, preset, vendored};
use deft::learning::{Client, Emulated, EvaluationOptions, Learning, State, StateHandle, StepOptions, Store, Task};
use deft::random::Streams;
use deft::scenario::{EmulatorPlan, Scenario};
use serde_json::{Value, json};
use std::sync::Arc;

/// Parameters of MiniLM: tables and their norm; one block.
const EMBEDDING: u64 = (30_522 + 512 + 2) * 384 + 2 * 384;
const BLOCK: u64 = 4 * (384 * 384 + 384) + (384 * 1536 + 1536) + (1536 * 384 + 384) + 4 * 384;

fn store() -> Arc<Store> {
    Arc::new(Store::open(None).expect("a store in memory"))
}

/// `tests/data/tiny.yaml` under a technique, with adapters in the first and the last block.
fn tiny(kind: &str, set: &[(&str, Value)]) -> Scenario {
    let own = [("technique.kind", json!(kind)), ("peft.blocks", json!([0, 5]))];
    support::scenario("tiny.yaml", &[&own, set].concat())
}

fn offsite(emulator: Value) -> Scenario {
    tiny("offsite_tuning", &[("technique.emulator", emulator)])
}

fn emulated(emulator: Value) -> Scenario {
    let single = ("model.precision", json!("fp32"));
    tiny("offsite_tuning", &[("technique.emulator", emulator), ("training", json!("none")), single])
}

fn play(scenario: &Scenario, store: &Arc<Store>) -> ReplicationRecord {
    support::play(scenario, store).replications.remove(0)
}

fn measure(record: &ReplicationRecord, name: &str) -> f64 {
    let found = record.measures.iter().find(|m| m.measure == name);
    found.unwrap_or_else(|| panic!("no {name} among {:?}", record.measures)).value
}

fn downloads(record: &ReplicationRecord) -> Vec<(&str, u64)> {
    let flows = record.flows.iter().filter(|f| f.content == "emulator");
    flows.map(|f| (f.device.as_str(), f.bytes)).collect()
}

/// The learning plane of a scenario, and its model.
fn plane(scenario: &Scenario) -> (Learning, Architecture) {
    let (store, minilm) = (store(), preset("minilm-l6").expect("a known model"));
    let task = Task::new(scenario, &minilm, Streams::new(scenario.seed, 0), &store).expect("a task");
    (Learning::new(Arc::new(task), store), minilm)
}

/// The state after `steps` local steps of the first device.
fn tuned(learn: &Learning, emulator: Option<&Arc<Emulated>>, steps: u64) -> StateHandle {
    let options = StepOptions { emulator: emulator.cloned(), ..StepOptions::default() };
    (0..steps).fold(learn.initial(), |state, step| {
        learn.local_step_with(state, Client::Device(0), step, step == 0, options.clone())
    })
}

fn state(learn: &Learning, handle: StateHandle) -> Arc<State> {
    learn.state(handle).expect("it trains").expect("there is training")
}

fn accuracy(learn: &Learning, handle: StateHandle, emulator: Option<&Arc<Emulated>>) -> (f64, f64) {
    let options = EvaluationOptions::default().with_emulator(emulator.cloned());
    let evaluation = learn.evaluate_with(handle, 12, false, options, &[]);
    let numbers = learn.evaluation(evaluation).expect("a test").expect("there is training");
    (numbers.loss, numbers.accuracy)
}

#[test]
fn with_nothing_removed_a_run_is_a_federated_one() {
    let store = store();
    let plain = play(&tiny("federated", &[]), &store);
    for emulator in [json!({"keep_blocks": 6}), json!({"distillation": {"dataset": "amazon", "steps": 2}})] {
        is_federated(&plain, &play(&offsite(emulator), &store));
    }
}

fn is_federated(plain: &ReplicationRecord, whole: &ReplicationRecord) {
    for (a, b) in plain.rounds.iter().zip(&whole.rounds) {
        assert_eq!((a.train_loss, a.test_loss, a.accuracy), (b.train_loss, b.test_loss, b.accuracy));
    }
    let last = plain.final_accuracy.expect("training");
    for name in ["emulator_accuracy", "plug_in_accuracy", "full_fine_tuning_accuracy"] {
        assert_eq!(measure(whole, name), last, "{name}");
    }
    // After the download devices do the same, at another moment.
    let seconds = |r: &ReplicationRecord| r.rounds.iter().map(|x| x.device_compute_s).collect::<Vec<_>>();
    assert_eq!(seconds(plain), seconds(whole));
    assert_eq!(measure(whole, "emulator_distance"), 0.0);
}

#[test]
fn an_emulator_that_keeps_all_computes_what_the_model_computes_bit_for_bit() {
    let (learn, minilm) = plane(&offsite(json!({})));
    let whole = EmulatorSpec::whole(6);
    // Two factors of full rank are larger than the matrix, which therefore stays.
    for spec in [whole.clone(), EmulatorSpec { rank: Some(384), ..whole }] {
        let emulator: Arc<Emulated> = Arc::new(Emulator::new(&minilm, &spec).into());
        let (full, against) = (tuned(&learn, None, 3), tuned(&learn, Some(&emulator), 3));
        assert_ne!(full, against, "the two are different operations");
        assert_eq!(state(&learn, full).parameters, state(&learn, against).parameters);
        assert_eq!(accuracy(&learn, full, None), accuracy(&learn, full, Some(&emulator)));
    }
}

#[test]
fn adapters_tuned_against_a_smaller_model_plug_into_the_full_one() {
    let (learn, minilm) = plane(&offsite(json!({"keep_blocks": 3})));
    let spec = EmulatorSpec { keep_blocks: 3, ..EmulatorSpec::whole(6) };
    let emulator: Arc<Emulated> = Arc::new(Emulator::new(&minilm, &spec).into());
    let plan = EmulatorPlan { spec, distillation: None };
    assert_eq!(learn.emulator(&plan).expect("nothing is read").as_ref(), Some(&emulator));
    let (start, full, against) = (learn.initial(), tuned(&learn, None, 2), tuned(&learn, Some(&emulator), 2));
    let (full, plugged) = (state(&learn, full).parameters.clone(), state(&learn, against).parameters.clone());
    assert_eq!(plugged.len(), full.len());
    assert_ne!(plugged, full);
    assert_ne!(plugged, state(&learn, start).parameters);
    let (in_emulator, in_full) = (accuracy(&learn, against, Some(&emulator)).0, accuracy(&learn, against, None).0);
    assert!(in_emulator.is_finite() && in_full.is_finite() && in_emulator != in_full);
}

#[test]
fn tensors_of_an_emulator_are_those_of_the_blocks_that_are_left() {
    let source = vendored::minilm().checkpoint().expect("part of the program");
    let minilm = preset("minilm-l6").expect("a known model");
    let emulator = Emulator::new(&minilm, &EmulatorSpec { keep_blocks: 4, ..EmulatorSpec::whole(6) });
    assert_eq!((emulator.kept(), emulator.architecture().blocks()), (&[0, 1, 4, 5][..], 4));
    let emulated = emulator.source(&source).expect("nothing is narrowed");
    for (own, full) in [(0, 0), (1, 1), (2, 4), (3, 5)] {
        for (part, shape) in [("intermediate.dense.weight", &[1536, 384][..]), ("output.LayerNorm.bias", &[384])] {
            let values = |s: &dyn TensorSource, b: usize| s.tensor(&format!("encoder.layer.{b}.{part}"), shape);
            assert_eq!(values(&emulated, own).expect("there"), values(&source, full).expect("there"), "{part}");
        }
    }
    let table = |s: &dyn TensorSource| s.tensor("embeddings.token_type_embeddings.weight", &[2, 384]);
    assert_eq!(table(&emulated).expect("there"), table(&source).expect("there"));
    assert!(emulated.has("encoder.layer.3.output.dense.bias"));
}

#[test]
fn each_device_downloads_the_frozen_weights_once() {
    for (keep, precision, width) in [(6, "fp32", 4), (4, "fp32", 4), (3, "fp16", 2), (2, "int8", 1)] {
        let set = [
            ("technique.emulator", json!({"keep_blocks": keep})),
            ("model.precision", json!(precision)),
            ("training", json!("none")),
            ("technique.rounds", json!(4)),
            ("technique.devices_per_round", json!(2)),
        ];
        let record = play(&tiny("offsite_tuning", &set), &store());
        let expected = (EMBEDDING + keep * BLOCK) * width;
        let mut got = downloads(&record);
        assert!(got.iter().all(|(_, bytes)| *bytes == expected), "{expected} {got:?}");
        assert_eq!(measure(&record, "emulator_bytes"), expected as f64);
        let seconds = record.flows.iter().filter(|f| f.content == "emulator").map(|f| f.end_s - f.start_s);
        let mean = seconds.sum::<f64>() / got.len() as f64;
        assert!((measure(&record, "download_seconds") - mean).abs() < 1e-9);
        got.sort_unstable();
        assert_eq!(got.iter().map(|(device, _)| *device).collect::<Vec<_>>(), ["board-0", "phone-0", "phone-1"]);
        let adapters = record.flows.iter().filter(|f| f.content == "adapters" && f.direction == "downlink");
        assert_eq!(adapters.count(), 4 * 2, "adapters come down in every round");
    }
}

#[test]
fn what_a_download_weighs_is_what_is_left() {
    let whole = (EMBEDDING + 6 * BLOCK) * 4;
    // Of one block in the middle, of which there are four.
    let (attention, ffn) = (4 * 384 * 384, 2 * 384 * 1536);
    let dense = (attention + ffn) * 4;
    let int8 = (4 * 384 + 1536) * (384 + 4) + 384 * (1536 + 4);
    let int4 = (4 * 384 + 1536) * (192 + 6 * 4) + 384 * (768 + 24 * 4);
    let rank = 64 * (4 * 768 + 2 * 1920);
    // Rows of the left factors, then of the right ones.
    let rank_int8 = (5 * 384 + 1536) * (64 + 4) + 64 * (5 * (384 + 4) + (1536 + 4));
    let bits = |bits: u32, scope: &str| json!({"quantisation": {"bits": bits, "scope": scope}});
    for (emulator, expected) in [
        (json!({}), whole),
        (json!({"ffn_share": 0.5}), whole - 4 * (768 * 768 + 768) * 4),
        (json!({"head_share": 0.5}), whole - 4 * (4 * 192 * 384 + 3 * 192) * 4),
        (json!({"rank": 64}), whole - 4 * (dense - rank * 4)),
        // The factors of the square matrices would be larger, those of the others are not.
        (json!({"rank": 200}), whole - 4 * 2 * (384 * 1536 - 200 * 1920) * 4),
        (bits(8, "middle"), whole - 4 * (dense - int8)),
        (bits(4, "middle"), whole - 4 * (dense - int4)),
        (bits(8, "everything"), whole - 6 * (dense - int8) - 30_522 * (384 * 4 - 388)),
        (json!({"rank": 64, "quantisation": {"bits": 8, "scope": "middle"}}), whole - 4 * (dense - rank_int8)),
        (json!({"keep_blocks": 3, "ffn_share": 0.5}), whole - 3 * BLOCK * 4 - (768 * 768 + 768) * 4),
    ] {
        let record = play(&emulated(emulator.clone()), &store());
        assert_eq!(measure(&record, "emulator_bytes"), expected as f64, "{emulator}");
        assert!(downloads(&record).iter().all(|(_, bytes)| *bytes == expected), "{emulator}");
        let memory = record.rounds[0].peak_device_memory_bytes;
        assert!(memory > expected && memory < expected + 40_000_000, "{emulator}: {memory}");
    }
}

#[test]
fn less_of_a_model_computes_faster_and_fewer_bits_do_not() {
    let seconds = |emulator: Value| {
        let set = [
            ("technique.emulator", emulator),
            ("training", json!("none")),
            ("workload", json!({"batch_size": 32, "sequence_tokens": 128})),
        ];
        play(&tiny("offsite_tuning", &set), &store()).rounds[0].device_compute_s
    };
    let whole = seconds(json!({}));
    for emulator in [json!({"ffn_share": 0.25}), json!({"head_share": 0.25}), json!({"rank": 32})] {
        assert!(seconds(emulator.clone()) < 0.9 * whole, "{emulator}");
    }
    let rounded = seconds(json!({"quantisation": {"bits": 4}}));
    assert!(rounded <= whole && rounded > 0.9 * whole, "weights are rounded, products are not: {rounded} {whole}");
}

#[test]
fn the_more_is_removed_the_further_the_emulator_is_from_the_model() {
    let (learn, minilm) = plane(&offsite(json!({})));
    let state = tuned(&learn, None, 3);
    let full = accuracy(&learn, state, None).0;
    let distance = |spec: EmulatorSpec| {
        (accuracy(&learn, state, Some(&Arc::new(Emulator::new(&minilm, &spec).into()))).0 - full).abs()
    };
    let spec = || EmulatorSpec::whole(6);
    let bits = |bits| Some(Quantisation { bits, scope: QuantisationScope::Everything });
    // The vendored weights are 8-bit numbers themselves.
    let int8 = distance(EmulatorSpec { quantisation: bits(8), ..spec() });
    assert!(int8 < 1e-3, "{int8}");
    let int4 = distance(EmulatorSpec { quantisation: bits(4), ..spec() });
    let narrow = distance(EmulatorSpec { ffn_share: 0.5, head_share: 0.75, ..spec() });
    let thin = distance(EmulatorSpec { rank: Some(16), ..spec() });
    assert!(int8 < int4 && int8 < narrow && int8 < thin, "{int8} {int4} {narrow} {thin}");
}

#[test]
fn weights_that_train_are_adapters_and_not_part_of_the_emulator() {
    let whole_ends = [
        ("technique.emulator", json!({"keep_blocks": 4})),
        ("training", json!("none")),
        ("model.precision", json!("fp32")),
        ("peft.method", json!("selective")),
        ("peft.rank", Value::Null),
    ];
    let record = play(&tiny("offsite_tuning", &whole_ends), &store());
    assert_eq!(measure(&record, "emulator_bytes"), ((EMBEDDING + 2 * BLOCK) * 4) as f64);
    let adapters = record.flows.iter().find(|f| f.content == "adapters").expect("they cross");
    assert_eq!(adapters.bytes, (2 * BLOCK + 2 * 385) * 4);
}

#[test]
fn a_smaller_emulator_takes_less_time_and_memory() {
    let record = |keep: u64| play(&emulated(json!({"keep_blocks": keep})), &store());
    let (small, large) = (record(2), record(6));
    for (s, l) in small.rounds.iter().zip(&large.rounds) {
        assert!(s.device_compute_s < 0.6 * l.device_compute_s, "{} {}", s.device_compute_s, l.device_compute_s);
        assert!(s.peak_device_memory_bytes + 4 * BLOCK * 4 <= l.peak_device_memory_bytes);
    }
    assert!(measure(&small, "download_seconds") < measure(&large, "download_seconds"));
    assert!(small.measures.iter().all(|m| !m.measure.ends_with("accuracy")), "nothing is learnt without training");
}

#[test]
fn a_download_that_was_cut_off_starts_again() {
    let set = [
        ("technique.emulator", json!({"keep_blocks": 2})),
        ("training", json!("none")),
        ("technique.round_deadline_s", json!(0.1)),
    ];
    let record = play(&tiny("offsite_tuning", &set), &store());
    assert!(record.rounds.iter().all(|r| r.delivered == 0), "0.1 s is too short");
    for round in 0..2 {
        let cut = |f: &&FlowRecord| f.round == round && f.content == "emulator" && f.outcome == "cut_off";
        assert_eq!(record.flows.iter().filter(cut).count(), 3, "every device begins anew in round {round}");
    }
    assert!(record.rounds.iter().all(|r| r.downlink_s > 0.0));
}

#[test]
fn adapters_are_at_the_ends_where_nothing_is_said() {
    let scenario = |tuned: u64| {
        let set = [("technique.kind", json!("offsite_tuning")), ("technique.emulator", json!({"tuned_blocks": tuned}))];
        support::scenario("tiny.yaml", &set).to_yaml()
    };
    let list = |yaml: String| yaml.split("blocks:").nth(1).map(|rest| rest.split("alpha").next().map(str::to_owned));
    assert_ne!(list(scenario(1)), list(scenario(2)));
}

#[test]
fn offsite_tuning_over_the_air_downloads_and_superposes() {
    let set =
        [("technique.emulator", json!({"keep_blocks": 4})), ("technique.aggregation", json!({"method": "air_comp"}))];
    let record = play(&tiny("offsite_tuning", &set), &store());
    assert_eq!(downloads(&record).len(), 3);
    assert!(record.flows.iter().any(|f| f.content == "analog_update"));
    assert!(measure(&record, "plug_in_accuracy") > 0.0);
}

/// The scenario's emulator, and how far it and its undistilled form are from the model.
fn distances(emulator: &Value) -> [f64; 2] {
    let scenario = offsite(emulator.clone());
    let (learn, _) = plane(&scenario);
    let plan = scenario.technique.emulator.as_ref().expect("there is one");
    let fitted = learn.emulator(plan).expect("its data are part of the program").expect("something is removed");
    let distance = |emulated: &Arc<Emulated>| {
        let handle = learn.emulator_distance(emulated, 12);
        learn.resolve(&[], &[handle]).expect("both models are there");
        learn.loss(handle).expect("both models are there").expect("there is training")
    };
    [distance(&Arc::new(fitted.undistilled())), distance(&fitted)]
}

#[test]
fn distilling_brings_every_kind_nearer_to_the_model_and_changes_no_byte() {
    for kind in [
        json!({"keep_blocks": 3}),
        json!({"ffn_share": 0.5, "head_share": 0.5}),
        json!({"rank": 32}),
        json!({"quantisation": {"bits": 4, "scope": "middle"}}),
        json!({"ffn_share": 0.5, "rank": 48, "quantisation": {"bits": 8, "scope": "everything"}}),
    ] {
        let mut distilled = kind.clone();
        distilled["distillation"] = json!({"dataset": "amazon", "steps": 4, "batch_size": 8});
        let [before, after] = distances(&distilled);
        assert!(after > 0.0 && after < 0.97 * before, "{kind}: {before} became {after}");
        assert_eq!(spec(&kind), spec(&distilled), "bytes follow from what is left");
    }
}

fn spec(emulator: &Value) -> EmulatorSpec {
    offsite(emulator.clone()).technique.emulator.expect("there is one").spec
}

#[test]
fn distilling_is_part_of_what_was_learnt_and_the_same_every_time() {
    let losses = |distillation: Value| {
        let record = play(&offsite(json!({"keep_blocks": 3, "distillation": distillation})), &store());
        record.rounds.iter().map(|r| r.train_loss.map(f64::to_bits)).collect::<Vec<_>>()
    };
    let usual = losses(json!({"dataset": "amazon", "steps": 2}));
    assert_eq!(usual, losses(json!({"dataset": "amazon", "steps": 2})));
    for other in [
        json!({"dataset": "nyt", "steps": 2}),
        json!({"dataset": "amazon", "steps": 1}),
        json!({"dataset": "amazon", "steps": 2, "learning_rate": 1e-3}),
        json!({"dataset": "amazon", "steps": 2, "batch_size": 3}),
    ] {
        assert_ne!(usual, losses(other.clone()), "{other}");
    }
}

#[test]
fn the_full_model_learns_the_same_beside_any_emulator() {
    let store = store();
    let full = |emulator: Value| measure(&play(&offsite(emulator), &store), "full_fine_tuning_accuracy");
    let distilled = json!({"keep_blocks": 3, "distillation": {"dataset": "amazon", "steps": 1}});
    assert_eq!(full(json!({"keep_blocks": 3})), full(distilled));
}
