//! Several requests at an edge server at once: one after another, all at once, or stacked; and slower clocks.

mod support;

use deft::compute;
use deft::experiment;
use deft::fomo::BatchShape;
use deft::random::Streams;
use deft::sim::{Sim, SimDuration, join_all};
use deft::world::{Demand, DeviceId, EdgePasses, Lost, World};
use serde_json::{Value, json};

const DEVICES: usize = 4;
const HARDWARE: &str = "nvidia_t4";

/// Four phones that ask one server for a pass each.
struct Setting {
    sim: Sim,
    world: World,
    ids: Vec<DeviceId>,
    batch: BatchShape,
}

fn setting(server: &Value) -> Setting {
    let mut edge = json!({"name": "edge", "hardware": HARDWARE});
    edge.as_object_mut().expect("a map").extend(server.as_object().expect("a map").clone());
    let set = [
        ("training", json!("none")),
        ("devices", json!([{"name": "phone", "count": DEVICES, "hardware": "snapdragon_8_gen_3"}])),
        ("edge_servers", json!([edge])),
    ];
    let scenario = support::scenario("tiny.yaml", &set);
    let architecture = experiment::architecture(&scenario).expect("a known model");
    let sim = Sim::new();
    let demand = Demand::new(&scenario, &architecture).expect("a cost model");
    let world = World::new(&scenario, demand, Streams::new(1, 0), sim.clone()).expect("a world");
    let ids = world.devices().map(|d| d.id).collect();
    let batch = BatchShape::uniform(16, 64);
    Setting { sim, world, ids, batch }
}

impl Setting {
    /// Seconds of a pass over `requests` stacked batches at full clock.
    fn seconds(&self, requests: usize) -> f64 {
        let demand = self.world.demand();
        let side = demand.at_edge().expect("a side of the cut");
        let batch = BatchShape::uniform(16 * requests, 64);
        let hardware = compute::profile(HARDWARE).expect("a profile");
        let work = [demand.forward(&side, &batch), demand.backward(&side, &batch)];
        work.iter().map(|w| hardware.seconds(w, demand.precision())).sum()
    }

    /// Lets all devices ask at once. Returns when each was served, in seconds, and the joules of the server.
    fn play(&self) -> (Vec<f64>, f64) {
        self.world.begin_round_of(0, &self.ids);
        let ask = async |id: DeviceId| {
            self.world.compute_edge_side(id, EdgePasses::Both, &self.batch).await;
            self.world.now().as_seconds()
        };
        let ends = self.sim.run(join_all(self.ids.iter().map(|id| ask(*id)))).expect("it ends");
        (ends, self.world.end_round(0, &self.ids).edge_joules)
    }
}

fn near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-8 + 1e-6 * expected.abs(), "{what}: {found} for {expected}");
}

/// Joules of `busy` accelerator-seconds out of `held`.
fn joules(busy: f64, held: f64) -> f64 {
    let hardware = compute::profile(HARDWARE).expect("a profile");
    hardware.active_w * busy + hardware.idle_w * (held - busy)
}

#[test]
fn requests_wait_for_an_accelerator_or_share_them() {
    for accelerators in [1, 2, 4, 8] {
        let c = accelerators as f64;
        let fifo = setting(&json!({"accelerators": accelerators}));
        let one = fifo.seconds(1);
        let (ends, spent) = fifo.play();
        for (n, end) in ends.iter().enumerate() {
            near(*end, one * (n / accelerators + 1) as f64, "first come, first served");
        }
        near(spent, joules(4.0 * one, ends[3] * c), "fifo joules");

        let shared = setting(&json!({"accelerators": accelerators, "sharing": "processor_sharing"}));
        let (ends, spent) = shared.play();
        ends.iter().for_each(|end| near(*end, one * (4.0 / c).max(1.0), "equal shares"));
        near(spent, joules(4.0 * one, ends[3] * c), "a shared accelerator draws its power once");
    }
}

#[test]
fn what_waits_and_is_alike_is_stacked() {
    let none_waits = setting(&json!({"sharing": "batched"}));
    let (one, three, four) = (none_waits.seconds(1), none_waits.seconds(3), none_waits.seconds(4));
    assert!(four < 3.5 * one, "stacking saves something: {four} for {one}");
    // The first finds the accelerator free; the others wait and follow together.
    let (ends, spent) = none_waits.play();
    near(ends[0], one, "the first");
    ends[1..].iter().for_each(|end| near(*end, one + three, "those behind it"));
    near(spent, joules(one + three, one + three), "stacks draw once");

    let patient = setting(&json!({"sharing": "batched", "batch_wait_ms": 5}));
    patient.play().0.iter().for_each(|end| near(*end, 0.005 + four, "all together"));
    // Nobody waits longer than for a full batch.
    let pairs = setting(&json!({"sharing": "batched", "batch_wait_ms": 5, "batch_requests": 2}));
    let two = pairs.seconds(2);
    let (ends, _) = pairs.play();
    for (end, expected) in ends.iter().zip([two, two, 2.0 * two, 2.0 * two]) {
        near(*end, expected, "pairs");
    }
}

#[test]
fn a_stack_outlives_the_one_who_led_it() {
    for sharing in ["batched", "fifo", "processor_sharing"] {
        let s = setting(&json!({"sharing": sharing}));
        let one = s.seconds(1);
        s.world.begin_round_of(0, &s.ids);
        // The first is cut off in the midst of its pass, the second in the line, or in the midst of another's.
        let ask = async |n: usize| {
            let pass = async {
                s.world.compute_edge_side(s.ids[n], EdgePasses::Both, &s.batch).await;
                Ok::<_, Lost>(())
            };
            let limit = [0.5, 1.2, 1e3, 1e3][n] * one;
            let outcome = s.world.within(s.world.now(), limit, pass).await;
            (outcome.is_ok(), s.world.now().as_seconds())
        };
        let ends = s.sim.run(join_all((0..DEVICES).map(ask))).expect("nobody waits for ever");
        assert_eq!(ends.iter().map(|(served, _)| *served).collect::<Vec<_>>(), [false, false, true, true], "{sharing}");
        let last = ends[3].1;
        let expected = match sharing {
            // Half of one pass, then the other three together, of whom one leaves.
            "batched" => 0.5 * one + s.seconds(3),
            "fifo" => 0.5 * one + 0.7 * one + 2.0 * one,
            // A quarter each for 0.5, a third each until 1.2, then halves.
            _ => 1.2 * one + 2.0 * (one - 0.125 * one - 0.7 / 3.0 * one),
        };
        near(last, expected, sharing);
        // The books close: everybody's time at the edge is within the round, and the server was busy all the time.
        let totals = s.world.end_round(0, &s.ids);
        near(totals.edge_joules, joules(last, last), sharing);
        assert!(totals.edge_compute_s <= last && totals.waiting_s >= 0.0, "{totals:?}");
    }
}

#[test]
fn a_slower_clock_takes_longer_and_draws_less() {
    let full = setting(&json!({}));
    let one = full.seconds(1);
    for sharing in ["fifo", "processor_sharing", "batched"] {
        let slow = setting(&json!({"clock_share": 0.5, "accelerators": 4, "sharing": sharing}));
        let (ends, spent) = slow.play();
        near(ends[3], 2.0 * one, sharing);
        let hardware = compute::profile(HARDWARE).expect("a profile");
        near(spent, 4.0 * 2.0 * one * hardware.active_w / 8.0, sharing);
    }
}

#[test]
fn a_device_with_a_slower_clock_saves_its_battery() {
    let spend = |clock: f64| {
        let devices = json!([{"name": "phone", "hardware": "apple_a15", "clock_share": clock, "compute_share": 1}]);
        let set = [("training", json!("none")), ("devices", devices), ("technique.kind", json!("on_device"))];
        let store = std::sync::Arc::new(deft::learning::Store::open(None).expect("a store in memory"));
        let record = support::play(&support::scenario("tiny.yaml", &set), &store);
        let device = record.replications[0].devices[0].clone();
        (device.device_compute_s, device.compute_joules)
    };
    let ((fast_s, fast_j), (slow_s, slow_j)) = (spend(1.0), spend(0.5));
    near(slow_s, 2.0 * fast_s, "seconds");
    near(slow_j, 0.25 * fast_j, "joules");
}

/// Requests come and go at random times, and some are cut off: nobody is forgotten, whatever the discipline.
#[test]
fn everybody_is_served_in_the_end() {
    for sharing in ["fifo", "processor_sharing", "batched"] {
        for seed in 0..30 {
            let s = setting(&json!({"sharing": sharing, "accelerators": 2}));
            let one = s.seconds(1);
            let draws = deft::random::CounterStream::new(seed, 7);
            let device = async |n: usize| {
                let own = draws.child(n as u64);
                let mut served = 0;
                for k in 0..20 {
                    s.sim.sleep(SimDuration::from_seconds(one * own.exponential(3 * k))).await;
                    let pass = async {
                        s.world.compute_edge_side(s.ids[n], EdgePasses::Both, &s.batch).await;
                        Ok::<_, Lost>(())
                    };
                    let patience = if own.uniform(3 * k + 1) < 0.5 { 1e6 } else { 3.0 * own.uniform(3 * k + 2) };
                    served += u32::from(s.world.within(s.world.now(), patience * one, pass).await.is_ok());
                }
                served
            };
            let served = s.sim.run(join_all((0..DEVICES).map(device))).expect("nobody waits for ever");
            assert!(served.iter().all(|n| *n > 5), "{sharing}, seed {seed}: {served:?}");
        }
    }
}
