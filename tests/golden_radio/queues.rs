//! Queues and synchronous rounds built from processes and resources, against queueing theory: Pollaczek and Khinchine's mean
//! wait, Erlang's C, non-preemptive priorities (Cobham 1954), processor sharing, order statistics of exponentials.

use crate::queueing::{Works, exponential, fifo_wait, mean, open_queue, over_seeds, sharing_sojourn};
use crate::tally::{Tally, field, json_items};
use deft::sim::{Discipline, Resource, Sim, SimDuration, channel};
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;

/// Our simulation of `what`, mean and standard error, within four of them.
fn agrees(tally: &mut Tally, what: &str, (mean, standard_error): (f64, f64), theory: f64) {
    assert!(standard_error < 0.05 * theory, "{what}: ± {standard_error} is too coarse to tell");
    tally.check(what, mean, theory, 4.0 * standard_error);
}

pub fn queues(text: &str, tally: &mut Tally) {
    for item in &json_items(text) {
        let kind = item["kind"].as_str().unwrap();
        let number = |name| field(item, name);
        let mean_service = || 1.0 / number("mu");
        match kind {
            "mm1" => {
                let wait = fifo_wait(1, number("lam"), Works::Exponential { mean: mean_service() });
                agrees(tally, kind, wait, number("wq_s"));
            }
            "md1" => {
                let wait = fifo_wait(1, number("lam"), Works::Constant(mean_service()));
                agrees(tally, kind, wait, number("wq_s"));
            }
            "mg1_uniform_service" => {
                let works = Works::Uniform { low: number("a"), high: number("b") };
                agrees(tally, kind, fifo_wait(1, number("lam"), works), number("wq_s"));
            }
            "mg1_hyperexponential_service" => {
                let works =
                    Works::HyperExponential { p: number("p"), mean_p: number("mean1"), mean_else: number("mean2") };
                agrees(tally, kind, fifo_wait(1, number("lam"), works), number("wq_s"));
            }
            "mg1_processor_sharing" => {
                let works = Works::Uniform { low: number("a"), high: number("b") };
                agrees(tally, kind, sharing_sojourn(number("lam"), works), number("mean_sojourn_s"));
            }
            "mmc" => {
                let (servers, rate) = (number("servers") as usize, number("offered_erlang") * number("mu"));
                let wait = fifo_wait(servers, rate, Works::Exponential { mean: mean_service() });
                agrees(tally, kind, wait, number("wq_s"));
            }
            "mm1_two_class_nonpreemptive_priority" => priorities(item, tally),
            "synchronous_round_max_of_k_exponential" | "partial_round_j_of_k_exponential" => round(item, tally),
            // Nothing here turns customers away.
            "mm1k_blocking" => tally.skipped += 1,
            unknown => panic!("queues.json has an unknown kind {unknown}"),
        }
    }
}

fn priorities(item: &Value, tally: &mut Tally) {
    let (high, low) = (field(item, "lam_high"), field(item, "lam_low"));
    let wait_of = |class: i32| {
        over_seeds(|streams| {
            let sim = Sim::new();
            let resource = Resource::new(&sim, 1, Discipline::Priority);
            let classes = streams.counter("customers", "classes");
            let class_of = |number: usize| i32::from(classes.uniform(number as u64) < high / (high + low));
            let works = Works::Exponential { mean: 1.0 / field(item, "mu") };
            let served = open_queue(&sim, streams, high + low, works, |number, work| {
                let (resource, class) = (resource.clone(), class_of(number));
                async move { resource.serve_with_priority(class, work).await }
            });
            let of_class = served.iter().filter(|(number, _)| class_of(*number) == class);
            mean(of_class.map(|(_, served)| served.waited))
        })
    };
    agrees(tally, "high priority", wait_of(1), field(item, "wq_high_s"));
    agrees(tally, "low priority", wait_of(0), field(item, "wq_low_s"));
}

fn round(item: &Value, tally: &mut Tally) {
    const ROUNDS: usize = 1_000;
    let (members, mean) = (field(item, "k") as usize, 1.0 / field(item, "mu"));
    let quorum = item["j"].as_u64().map_or(members, |j| j as usize);
    let length = over_seeds(|streams| {
        let sim = Sim::new();
        let draws = Rc::new(RefCell::new(streams.stream("members", "durations")));
        let rounds = async {
            for _ in 0..ROUNDS {
                let (sender, mut receiver) = channel::unbounded();
                let stragglers: Vec<_> = (0..members)
                    .map(|_| {
                        let duration = SimDuration::from_seconds(exponential(&mut draws.borrow_mut(), mean));
                        let (sim2, sender) = (sim.clone(), sender.clone());
                        sim.spawn(async move {
                            sim2.sleep(duration).await;
                            sender.send(()).expect("a round waits for its quorum");
                        })
                    })
                    .collect();
                for _ in 0..quorum {
                    receiver.recv().await;
                }
                stragglers.into_iter().for_each(|straggler| straggler.cancel());
            }
            sim.now().as_seconds() / ROUNDS as f64
        };
        sim.run(rounds).expect("every round ends")
    });
    agrees(tally, &format!("{quorum} of {members}"), length, item["check"]["value"].as_f64().unwrap());
}
