//! What goes in comes out, on random scenarios: joules that devices draw leave their batteries, servers draw between idle and
//! active power, bytes arrive or are lost, and a timeline that is kept changes nothing. `traffic.rs` has the books of each
//! technique.

mod support;

#[path = "support/balance.rs"]
mod balance;

use balance::balanced;
use deft::compute::profile;
use deft::experiment::{self, Options, Record, WhenToCompute};
use deft::learning::Store;
use deft::random::CounterStream;
use deft::scenario::Scenario;
use serde_json::{Value, json};
use std::sync::Arc;

const CASES: u64 = 60;
const JOULES_PER_WATT_HOUR: f64 = 3600.0;

/// `keys.yaml` with settings drawn from each list.
fn random_scenario(case: u64) -> Scenario {
    let draws = CounterStream::new(71, 73).child(case);
    let mut n = 0;
    let mut one_of = |values: Vec<Value>| {
        n += 1;
        values[(draws.bits(n) % values.len() as u64) as usize].clone()
    };
    let walk = json!({"kind": "random_waypoint", "min_speed_m_per_s": 10, "max_speed_m_per_s": 60});
    let phones = one_of(vec![json!(1), json!(2), json!(6)]);
    let set = [
        ("seed", json!(case)),
        ("technique.kind", one_of(["federated", "split_federated", "split"].map(|k| json!(k)).into())),
        ("technique.rounds", one_of(vec![json!(1), json!(3)])),
        ("technique.devices_per_round", one_of(vec![json!("all"), json!(2)])),
        ("technique.round_deadline_s", one_of(vec![Value::Null, json!(0.4), json!(5)])),
        ("devices[0].count", phones),
        ("devices[0].battery_percent", one_of(vec![json!(80), json!(0.05)])),
        ("mobility", one_of(vec![json!({"kind": "static"}), walk])),
        ("radio.fading.kind", one_of(["none", "rayleigh"].map(|k| json!(k)).into())),
        ("radio.bandwidth_mhz", one_of(vec![json!(5), json!(20)])),
        ("edge_servers[0].accelerators", one_of(vec![json!(1), json!(3)])),
    ];
    // In turn there is no deadline that all share.
    let alone = set[1].1 == json!("split");
    let set: Vec<_> = set.into_iter().filter(|(key, _)| !(alone && *key == "technique.round_deadline_s")).collect();
    let set = if alone { [set, vec![("technique.round_deadline_s", Value::Null)]].concat() } else { set };
    support::scenario("keys.yaml", &set)
}

fn store() -> Arc<Store> {
    Arc::new(Store::open(None).expect("a store in memory"))
}

fn with_a_timeline(scenario: &Scenario) -> Record {
    let options = Options { when: WhenToCompute::AtTheEnd, trace: true, watch: &|_, _| {}, journal: None };
    experiment::run(scenario, &store(), &options).unwrap_or_else(|error| panic!("{error}")).record
}

#[test]
fn joules_and_bytes_are_conserved() {
    for case in 0..CASES {
        let scenario = random_scenario(case);
        let record = support::play(&scenario, &store());
        let played = &record.replications[0];
        let what = format!("case {case}");
        if !played.rounds.is_empty() {
            balanced(played, &what);
        }
        let mut drained = 0;
        for device in &played.devices {
            let group = scenario.devices.iter().find(|g| g.name == device.group).expect("its group");
            let hardware = profile(&device.hardware).expect("known hardware");
            assert_eq!(device.battery_left_percent.is_some(), hardware.battery_wh.is_some(), "{what}: {device:?}");
            let Some((watt_hours, left)) = hardware.battery_wh.zip(device.battery_left_percent) else { continue };
            let capacity = watt_hours * JOULES_PER_WATT_HOUR;
            let drawn = 100.0 * (device.compute_joules + device.radio_joules) / capacity;
            let expected = (group.battery_percent - drawn).max(0.0);
            assert!((left - expected).abs() < 1e-9, "{what}: {left}% left, {expected}% expected: {device:?}");
            drained += usize::from(left == 0.0);
        }
        assert!(drained == 0 || scenario.devices[0].battery_percent < 1.0, "{what}");
        let watts = |of: fn(&deft::compute::HardwareProfile) -> f64| {
            let each = scenario.edge_servers.iter();
            each.map(|s| of(profile(&s.hardware).expect("known")) * s.accelerators as f64).sum::<f64>()
        };
        for round in &played.rounds {
            let seconds = round.end_s - round.start_s;
            let (idle, active) = (watts(|h| h.idle_w) * seconds, watts(|h| h.active_w) * seconds);
            let slack = 1e-9 * active;
            assert!((idle - slack..=active + slack).contains(&round.edge_joules), "{what}: {idle} {active} {round:?}");
        }
    }
}

#[test]
fn a_timeline_changes_nothing() {
    for case in 0..CASES / 4 {
        let scenario = random_scenario(1000 + case);
        assert_eq!(with_a_timeline(&scenario), support::play(&scenario, &store()), "case {case}");
    }
}
