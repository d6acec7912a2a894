//! Devices that move between cells: event A3, transfers that go on in the next cell, and state that follows to another server.

#[path = "support/balance.rs"]
mod balance;
mod support;

use deft::experiment::{FlowRecord, ReplicationRecord};
use deft::learning::Store;
use serde_json::{Value, json};
use std::sync::Arc;

/// Two cells 600 m apart, each wired to a server of its own, and three devices that walk fast over both; nothing fades.
fn play(handover: &Value, set: &[(&str, Value)]) -> ReplicationRecord {
    let mut mobility = json!({
        "kind": "random_waypoint", "min_speed_m_per_s": 30, "max_speed_m_per_s": 60, "pause_s": 0,
    });
    if !handover.is_null() {
        mobility["handover"] = handover.clone();
    }
    let general = [
        ("mobility", mobility),
        ("placement", json!({"kind": "uniform", "min_distance_m": 10, "max_distance_m": 700})),
        ("radio.fading", json!({"kind": "none"})),
        ("radio.shadowing", json!(false)),
        ("radio.line_of_sight", json!("never")),
        ("radio.implementation_loss_db", json!(0)),
        ("technique.devices_per_round", json!(3)),
        ("technique.rounds", json!(12)),
        ("technique.round_deadline_s", Value::Null),
    ];
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let record = support::play(&support::scenario("keys.yaml", &[&general, set].concat()), &store);
    balance::balanced(&record.replications[0], "handover");
    record.replications.into_iter().next().expect("a replication")
}

fn handovers(record: &ReplicationRecord) -> usize {
    record.devices.iter().map(|d| d.handovers).sum()
}

fn bytes(record: &ReplicationRecord) -> u64 {
    record.flows.iter().map(|f| f.bytes).sum()
}

#[test]
fn devices_change_cells_when_another_is_better_for_long_enough() {
    let nearest = play(&Value::Null, &[]);
    assert_eq!(handovers(&nearest), 0, "without handover there is none to count");
    let eager = json!({"offset_db": 0, "hysteresis_db": 0, "time_to_trigger_ms": 0, "measurement_period_ms": 10});
    let customary = json!({});
    let slow = json!({"offset_db": 15, "hysteresis_db": 15, "time_to_trigger_ms": 5120});
    let [eager, customary, slow] = [eager, customary, slow].map(|h| play(&h, &[]));
    assert!(handovers(&customary) > 0);
    assert!(
        handovers(&eager) >= handovers(&customary) && handovers(&customary) > handovers(&slow),
        "margins keep devices"
    );
    // Over a kilometre without margins, the better cell is the nearer one whatever else there is.
    let farther = |f: &&FlowRecord| f.ground_distance_m > 320.0;
    assert!(slow.flows.iter().filter(farther).count() > 0, "who holds on to a cell goes far from it");
    for record in [&eager, &customary, &slow] {
        assert_eq!(bytes(record), bytes(&nearest), "whoever carries them, the same bytes arrive");
        assert!(record.flows.iter().all(|f| f.outcome == "delivered" && f.lost_bytes == 0));
    }
}

#[test]
fn a_transfer_goes_on_in_the_next_cell_after_the_interruption() {
    // Transfers of many seconds: all weights of a model over a narrow band.
    let long = [
        ("technique.kind", json!("federated")),
        ("peft", json!({"method": "full"})),
        ("technique.rounds", json!(2)),
        ("radio.bandwidth_mhz", json!(10)),
    ];
    let with = |interruption_ms: f64| play(&json!({"interruption_ms": interruption_ms}), &long);
    let [short, interrupted] = [0.0, 4000.0].map(with);
    let last_end = |r: &ReplicationRecord| r.flows.iter().map(|f| f.end_s).fold(0.0, f64::max);
    assert!(handovers(&short) > 0);
    assert!(last_end(&interrupted) > last_end(&short), "{} {}", last_end(&interrupted), last_end(&short));
    let on_air = |f: &&FlowRecord| f.on_air_s.is_some_and(|s| s > 0.0);
    for record in [&short, &interrupted] {
        assert!(record.flows.iter().filter(on_air).count() == record.flows.len());
        for f in &record.flows {
            // What the parts of a transfer add up to is a transfer.
            assert!((f.mean_rate_bit_per_s * f.radio_s / (8.0 * f.bytes as f64) - 1.0).abs() < 1e-6, "{f:?}");
            assert!(f.on_air_s.unwrap_or(0.0) <= f.radio_s + 1e-9 && f.mean_share <= 1.0, "{f:?}");
        }
    }
    let slots = [&long[..], &[("radio.fidelity", json!("slot")), ("technique.rounds", json!(1))]].concat();
    let slotted = play(&json!({}), &slots);
    assert!(slotted.flows.iter().all(|f| f.lost_bytes == 0) && handovers(&slotted) > 0);
}

#[test]
fn state_follows_a_device_to_the_next_edge_server() {
    let servers = |record: &ReplicationRecord, device: &str| {
        let mut names: Vec<String> =
            record.flows.iter().filter(|f| f.device == device).map(|f| f.edge_server.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let stays = play(&json!({"migrate_state": false}), &[]);
    let moves = play(&json!({}), &[]);
    assert!(handovers(&moves) > 0);
    let devices: Vec<&str> = moves.devices.iter().map(|d| d.device.as_str()).collect();
    assert!(devices.iter().all(|d| servers(&stays, d).len() == 1), "nobody changes servers");
    assert!(devices.iter().any(|d| servers(&moves, d).len() == 2), "somebody does");
    // The state takes its time: over slow wires its device waits for it.
    let slow_wires = |migrate: bool| {
        let links = json!([
            {"from": "west", "to": "near", "latency_ms": 0.1}, {"from": "east", "to": "far", "latency_ms": 0.1},
            {"from": "near", "to": "far", "rate_gbit_per_s": 0.001},
        ]);
        let wires = [("network", json!({"links": links})), ("peft", json!({"method": "full"}))];
        let record = play(&json!({"migrate_state": migrate}), &wires);
        record.devices.iter().map(|d| d.waiting_s).sum::<f64>()
    };
    assert!(slow_wires(true) > slow_wires(false) + 10.0, "{} {}", slow_wires(true), slow_wires(false));
}

#[test]
fn who_stands_still_stays() {
    let static_devices = [("mobility", json!({"kind": "static"}))];
    let record = play(&Value::Null, &static_devices);
    assert_eq!(handovers(&record), 0);
}
