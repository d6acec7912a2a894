//! Radios that sleep between transfers: what they draw, and what waits for them.

#[path = "support/balance.rs"]
mod balance;
mod support;

use deft::experiment::ReplicationRecord;
use deft::learning::Store;
use serde_json::{Value, json};
use std::sync::Arc;

fn play(drx: &Value) -> ReplicationRecord {
    let set = [("radio.drx", drx.clone()), ("radio.fading", json!({"kind": "none"}))];
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let record = support::play(&support::scenario("keys.yaml", &set), &store);
    balance::balanced(&record.replications[0], "drx");
    record.replications.into_iter().next().expect("a replication")
}

fn radio_joules(record: &ReplicationRecord) -> f64 {
    record.devices.iter().map(|d| d.radio_joules).sum()
}

#[test]
fn listening_all_the_time_costs_its_power_whenever_no_transfer_is_under_way() {
    let without = play(&Value::Null);
    let awake = play(&json!({"cycle_ms": 100, "on_duration_ms": 100, "listening_w": 0.25}));
    assert_eq!(awake.simulated_seconds, without.simulated_seconds, "who listens all the time hears at once");
    // Of each round that it takes part in, a device spends the rest without a transfer.
    let rounds: f64 = awake.rounds.iter().map(|r| r.participants as f64 * (r.end_s - r.start_s)).sum();
    let on_radio: f64 = awake.flows.iter().map(|f| f.radio_s).sum();
    let expected = 0.25 * (rounds - on_radio);
    let found = radio_joules(&awake) - radio_joules(&without);
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} J for {expected} J");
}

#[test]
fn sleep_saves_energy_and_makes_downlinks_wait() {
    let awake = play(&json!({"cycle_ms": 500, "on_duration_ms": 500}));
    let asleep = play(&json!({"cycle_ms": 500, "on_duration_ms": 10, "inactivity_ms": 1}));
    assert!(radio_joules(&asleep) < radio_joules(&awake));
    let down = |r: &ReplicationRecord| r.devices.iter().map(|d| d.downlink_s).sum::<f64>();
    let up = |r: &ReplicationRecord| r.devices.iter().map(|d| d.uplink_s).sum::<f64>();
    let downlinks = asleep.flows.iter().filter(|f| f.direction == "downlink").count() as f64;
    let waited = down(&asleep) - down(&awake);
    assert!(waited > 0.05 * downlinks && waited < 0.5 * downlinks, "{waited} s over {downlinks} downlinks");
    assert!((up(&asleep) / up(&awake) - 1.0).abs() < 0.05, "uplinks wake the radio");
}
