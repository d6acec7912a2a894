//! Over-the-air aggregation and its digital rivals, as whole runs: what equals what, what takes how long, what is booked.

mod support;

use deft::experiment::{ReplicationRecord, RoundRecord};
use deft::learning::Store;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

type Set = Vec<(&'static str, Value)>;

/// Of `tests/data/tiny.yaml` and MiniLM: LoRA factors of rank 4 on two targets of six blocks, and the head.
const ENTRIES: u64 = 6 * 2 * 2 * 4 * 384 + 2 * 385;
const DEVICES: usize = 3;

fn store() -> Arc<Store> {
    static STORE: OnceLock<Arc<Store>> = OnceLock::new();
    STORE.get_or_init(|| Arc::new(Store::open(None).expect("a store in memory"))).clone()
}

fn play(aggregation: Value, mut more: Set) -> ReplicationRecord {
    let mut set = vec![("technique.kind", json!("federated")), ("technique.aggregation", aggregation)];
    set.append(&mut more);
    support::play(&support::scenario("tiny.yaml", &set), &store()).replications.remove(0)
}

fn emulated(aggregation: Value, mut more: Set) -> ReplicationRecord {
    more.insert(0, ("training", json!("none")));
    play(aggregation, more)
}

/// Losses and accuracies round by round.
fn learnt(record: &ReplicationRecord) -> Vec<[f64; 3]> {
    let numbers = |r: &RoundRecord| [r.train_loss, r.test_loss, r.accuracy].map(|x| x.expect("training"));
    record.rounds.iter().map(numbers).collect()
}

fn near(a: &[[f64; 3]], b: &[[f64; 3]], tolerance: f64) -> bool {
    a.len() == b.len() && a.as_flattened().iter().zip(b.as_flattened()).all(|(x, y)| (x - y).abs() <= tolerance)
}

fn measure(record: &ReplicationRecord, name: &str) -> f64 {
    record.measures.iter().find(|m| m.measure == name).unwrap_or_else(|| panic!("no {name}")).value
}

/// So near, so strong, so narrow and so quiet that there is next to no noise.
fn clean_air() -> Set {
    vec![
        ("placement", json!({"kind": "uniform", "min_distance_m": 2, "max_distance_m": 3})),
        ("cells", json!([{"name": "gnb", "position_m": [0, 0], "antenna_height_m": 2}])),
        ("radio.propagation", json!("free_space")),
        ("radio.carrier_ghz", json!(0.4)),
        ("radio.bandwidth_mhz", json!(5)),
        ("radio.cell_noise_figure_db", json!(0)),
        ("devices[0].tx_power_dbm", json!(50)),
        ("devices[1].tx_power_dbm", json!(50)),
    ]
}

#[test]
fn at_infinite_snr_the_air_computes_the_digital_mean() {
    let digital = learnt(&play(json!({}), clean_air()));
    for power_control in [
        json!({"power_control": "truncated_inversion", "truncation_threshold": 1e-6}),
        json!({"power_control": "optimal"}),
        json!({"power_control": "optimal", "normalisation": "global"}),
        json!({"power_control": "uniform_forcing", "receive_antennas": 4, "beamforming": "matched"}),
        json!({"power_control": "uniform_forcing", "receive_antennas": 4, "beamforming": "zero_forcing"}),
        json!({"power_control": "uniform_forcing", "receive_antennas": 4, "error_feedback": true}),
    ] {
        let mut air = json!({"method": "air_comp", "average_power_dbm": 50});
        air.as_object_mut().expect("a map").extend(power_control.as_object().expect("a map").clone());
        let record = play(air, clean_air());
        assert!(measure(&record, "aggregation_mse") < 1e-8, "{power_control}");
        assert!(near(&learnt(&record), &digital, 1e-6), "{power_control}: {:?} {digital:?}", learnt(&record));
    }
}

#[test]
fn what_keeps_every_entry_is_digital_to_the_last_bit() {
    let digital = learnt(&play(json!({}), vec![]));
    for kind in ["top_k", "rand_k"] {
        for error_feedback in [false, true] {
            let all = json!({"kind": kind, "fraction": 1, "error_feedback": error_feedback});
            assert_eq!(learnt(&play(json!({"compression": all}), vec![])), digital, "{kind}, {error_feedback}");
        }
    }
    let fine = json!({"kind": "qsgd", "levels": 1 << 20, "bucket_entries": 1});
    assert!(near(&learnt(&play(json!({"compression": fine}), vec![])), &digital, 1e-6));
    // Another way to share the band changes when, not what.
    for access in ["tdma", "fdma_equal", "fdma_optimal"] {
        assert_eq!(learnt(&play(json!({"access": access}), vec![])), digital, "{access}");
    }
}

#[test]
fn coarse_compression_changes_the_numbers_and_error_feedback_changes_them_again() {
    let digital = learnt(&play(json!({}), vec![]));
    for compression in [
        json!({"kind": "qsgd", "levels": 1}),
        json!({"kind": "top_k", "fraction": 0.01}),
        json!({"kind": "rand_k", "fraction": 0.01}),
    ] {
        let plain = learnt(&play(json!({"compression": compression}), vec![]));
        let mut fed_back = compression.clone();
        fed_back["error_feedback"] = json!(true);
        let fed_back = learnt(&play(json!({"compression": fed_back}), vec![]));
        assert!(plain != digital && fed_back != digital && fed_back != plain, "{compression}");
    }
}

#[test]
fn compressed_updates_have_the_size_of_their_code() {
    let bytes = |compression: Value| {
        let record = emulated(json!({"compression": compression}), vec![]);
        let flows = record.flows.into_iter().filter(|f| f.content == "compressed_update");
        let sizes: Vec<u64> = flows.map(|f| f.bytes).collect();
        assert_eq!(sizes.len(), 2 * DEVICES);
        assert!(sizes.iter().all(|s| *s == sizes[0]));
        sizes[0]
    };
    // A norm of 32 bits a bucket; a sign and four bits for 0..=15 an entry.
    let quantised = (ENTRIES.div_ceil(512) * 32 + ENTRIES * 5).div_ceil(8);
    assert_eq!(bytes(json!({"kind": "qsgd", "levels": 15, "bucket_entries": 512})), quantised);
    let kept = (0.1 * ENTRIES as f64).ceil() as u64;
    // 37,634 entries need 16 bits of index.
    assert_eq!(bytes(json!({"kind": "top_k", "fraction": 0.1})), (kept * 48).div_ceil(8));
    assert_eq!(bytes(json!({"kind": "rand_k", "fraction": 0.1})), kept * 4);
}

#[test]
fn devices_take_turns_or_share_the_band() {
    let fading = ("radio.fading", json!({"kind": "none"}));
    let round = |access: &str| {
        let record = emulated(json!({"access": access}), vec![fading.clone()]);
        let flows = record.flows.into_iter().filter(|f| f.round == 0 && f.direction == "uplink");
        let flows: Vec<_> = flows.collect();
        assert_eq!(flows.len(), DEVICES, "{access}");
        let start = flows.iter().map(|f| f.start_s).fold(f64::INFINITY, f64::min);
        let end = flows.iter().map(|f| f.start_s + f.radio_s).fold(0.0, f64::max);
        (flows, end - start)
    };
    let (turns, tdma) = round("tdma");
    let mut clock = turns[0].start_s;
    for f in &turns {
        assert!((f.start_s - clock).abs() < 1e-8, "each starts where the one before ends");
        clock = f.start_s + f.radio_s;
        assert_eq!(f.mean_share, 1.0);
        // Shannon's rate at the SNR shown, in the uplink's share of time of the preset, which the energy shows too.
        let watts = 10f64.powf((f.tx_power_dbm - 30.0) / 10.0);
        let time_share = f.tx_joules / (watts * f.radio_s);
        let rate = f.bytes as f64 * 8.0 / (f.radio_s * time_share);
        let band_hz = 273.0 * 12.0 * 30e3;
        let shannon = band_hz * (1.0 + 10f64.powf(f.mean_snr_db / 10.0)).log2();
        assert!((rate / shannon - 1.0).abs() < 1e-5, "{rate} {shannon}");
    }
    assert!((turns.iter().map(|f| f.radio_s).sum::<f64>() - tdma).abs() < 1e-7);
    let (equal, fdma_equal) = round("fdma_equal");
    assert!(equal.iter().all(|f| (f.mean_share - 1.0 / DEVICES as f64).abs() < 1e-12));
    let (optimal, fdma_optimal) = round("fdma_optimal");
    assert!(optimal.iter().all(|f| (f.radio_s / fdma_optimal - 1.0).abs() < 1e-5), "all end together");
    assert!((optimal.iter().map(|f| f.mean_share).sum::<f64>() - 1.0).abs() < 1e-6);
    // Power spread over less band for longer: side by side beats turns.
    assert!(fdma_optimal <= fdma_equal && fdma_optimal < tdma, "{fdma_optimal} {fdma_equal} {tdma}");
}

#[test]
fn only_the_strongest_send() {
    for method in ["air_comp", "one_bit"] {
        for devices in 1..=DEVICES {
            let scheduling = json!({"kind": "strongest", "devices": devices});
            let air = json!({"method": method, "scheduling": scheduling, "truncation_threshold": 1e-3});
            let record = emulated(air, vec![("radio.fading", json!({"kind": "none"}))]);
            assert_eq!(measure(&record, "silent_devices"), (DEVICES - devices) as f64);
            for round in &record.rounds {
                assert_eq!(round.delivered, devices);
                let loss = |f: &&deft::experiment::FlowRecord| f.path_loss_db + f.shadowing_db;
                let flows = || record.flows.iter().filter(|f| f.round == round.round && f.direction == "over_the_air");
                let sent = flows().filter(|f| f.bytes > 0).map(|f| loss(&f)).fold(f64::NEG_INFINITY, f64::max);
                let silent = flows().filter(|f| f.bytes == 0).map(|f| loss(&f)).fold(f64::INFINITY, f64::min);
                assert!(sent <= silent, "{method}, {devices}: equal powers, so the least loss is the strongest");
            }
        }
    }
}

#[test]
fn beams_and_antennas_lower_the_error_and_imperfections_raise_it() {
    let mse = |more: Value| {
        let mut air = json!({"method": "air_comp", "power_control": "uniform_forcing", "average_power_dbm": -20});
        air.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        measure(&emulated(air, vec![]), "aggregation_mse")
    };
    let beam = |antennas: u64, beam: &str| mse(json!({"receive_antennas": antennas, "beamforming": beam}));
    for antennas in [1, 2, 4, 16] {
        let best = beam(antennas, "optimised");
        assert!(best > 0.0 && best <= beam(antennas, "matched") * (1.0 + 1e-9), "{antennas}");
        assert!(best <= beam(antennas, "zero_forcing") * (1.0 + 1e-9), "{antennas}");
    }
    assert!(beam(16, "optimised") < beam(2, "optimised"));
    let clean = mse(json!({}));
    for (key, small, large) in
        [("channel_error", 0.001, 0.1), ("phase_error_rad", 0.02, 0.2), ("timing_error_ns", 0.1, 2.0)]
    {
        let (small, large) = (mse(json!({key: small})), mse(json!({key: large})));
        assert!(clean < small && small < large, "{key}: {clean} {small} {large}");
    }
}

#[test]
fn optimal_power_has_the_least_expected_error() {
    let mse = |power_control: Value| {
        let mut air = json!({"method": "air_comp", "average_power_dbm": -30});
        air.as_object_mut().expect("a map").extend(power_control.as_object().expect("a map").clone());
        measure(&emulated(air, vec![("radio.fading", json!({"kind": "none"}))]), "aggregation_mse")
    };
    let optimal = mse(json!({"power_control": "optimal"}));
    // One antenna, nobody silent: plain inversion.
    let inversion = mse(json!({"power_control": "uniform_forcing", "receive_antennas": 1}));
    assert!(optimal < inversion, "{optimal} {inversion}");
}

#[test]
fn silent_devices_keep_their_updates() {
    let air = |error_feedback| {
        // Deep fades are frequent above the mean.
        let air = json!({"method": "air_comp", "truncation_threshold": 1.0, "error_feedback": error_feedback});
        play(air, vec![("technique.rounds", json!(3)), ("seed", json!(4))])
    };
    let (without, with) = (air(false), air(true));
    assert!(measure(&without, "silent_devices") > 0.0);
    assert_eq!(without.rounds[0].test_loss, with.rounds[0].test_loss, "nothing was kept before the first round");
    assert_ne!(without.rounds[2].test_loss, with.rounds[2].test_loss);
    let memory = |r: &ReplicationRecord| r.devices[0].peak_memory_bytes;
    assert_eq!(memory(&with) - memory(&without), 4 * ENTRIES, "what is kept lies in the device's memory");
}

#[test]
fn votes_weigh_a_bit_a_parameter() {
    let record = play(json!({"method": "one_bit", "vote_step": 0.002}), vec![]);
    for round in &record.rounds {
        let bytes: u64 =
            record.flows.iter().filter(|f| f.round == round.round && f.content == "votes").map(|f| f.bytes).sum();
        let senders = round.delivered as u64;
        assert_eq!(bytes, ENTRIES.div_ceil(8) / senders.max(1) * senders);
    }
    let still = play(json!({"method": "one_bit", "vote_step": 1e-9}), vec![]);
    assert_eq!(still.rounds[1].accuracy, still.initial_accuracy, "steps too small to move anything");
    assert_ne!(learnt(&record), learnt(&still));
}
