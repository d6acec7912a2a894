//! Queues and synchronous rounds built from processes and resources, against queueing theory.
//!
//! `golden/radio/queues.json` holds the closed forms: Pollaczek and Khinchine's mean wait, Erlang's C, non-preemptive
//! priorities (Cobham 1954), processor sharing, and order statistics of exponentials.

use std::cell::RefCell;
use std::rc::Rc;

use deft::random::{Stream, Streams};
use deft::sim::{Discipline, ProcessorSharing, Resource, Served, Sim, SimDuration, SimTime, channel, join_all};
use rand_distr::{Distribution, Exp, StandardUniform};
use serde_json::Value;

const SEEDS: u64 = 24;
const CUSTOMERS: usize = 12_000;

/// Distributions of service times, in seconds.
#[derive(Clone, Copy)]
enum Works {
    Constant(f64),
    Exponential { mean: f64 },
    Uniform { low: f64, high: f64 },
    HyperExponential { p: f64, mean_p: f64, mean_else: f64 },
}

fn uniform(stream: &mut Stream) -> f64 {
    StandardUniform.sample(stream)
}

fn exponential(stream: &mut Stream, mean: f64) -> f64 {
    Exp::new(1.0 / mean).unwrap().sample(stream)
}

impl Works {
    fn draw(self, stream: &mut Stream) -> SimDuration {
        SimDuration::from_seconds(match self {
            Self::Constant(work) => work,
            Self::Exponential { mean } => exponential(stream, mean),
            Self::Uniform { low, high } => low + (high - low) * uniform(stream),
            Self::HyperExponential { p, mean_p, mean_else } => {
                let mean = if uniform(stream) < p { mean_p } else { mean_else };
                exponential(stream, mean)
            }
        })
    }
}

/// Mean over seeds, and its standard error.
fn over_seeds(run: impl Fn(Streams) -> f64) -> (f64, f64) {
    let means: Vec<f64> = (0..SEEDS).map(|seed| run(Streams::new(seed, 0))).collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn assert_agrees(what: &str, (mean, standard_error): (f64, f64), theory: f64) {
    assert!(standard_error < 0.05 * theory, "{what}: ± {standard_error} is too coarse to tell");
    assert!((mean - theory).abs() < 4.0 * standard_error, "{what}: {mean} ± {standard_error}, theory {theory}");
}

/// A Poisson stream of customers, each served by `serve(number, work)`. The first tenth finds the queue too empty and
/// is left out of the answer.
fn open_queue<F: Future<Output = Served>>(
    sim: &Sim,
    streams: Streams,
    rate: f64,
    works: Works,
    serve: impl Fn(usize, SimDuration) -> F,
) -> Vec<(usize, Served)> {
    let mut gaps = streams.stream("customers", "arrivals");
    let mut sizes = streams.stream("customers", "works");
    let mut arrival = SimTime::ZERO;
    let customers = (0..CUSTOMERS).map(|number| {
        arrival += SimDuration::from_seconds(exponential(&mut gaps, 1.0 / rate));
        let (arrival, work, serve) = (arrival, works.draw(&mut sizes), &serve);
        async move {
            sim.sleep_until(arrival).await;
            (number, serve(number, work).await)
        }
    });
    let served = sim.run(join_all(customers)).expect("every customer is served");
    served.into_iter().skip(CUSTOMERS / 10).collect()
}

fn mean(spans: impl Iterator<Item = SimDuration>) -> f64 {
    let seconds: Vec<f64> = spans.map(SimDuration::as_seconds).collect();
    seconds.iter().sum::<f64>() / seconds.len() as f64
}

fn fifo_wait(servers: usize, rate: f64, works: Works) -> (f64, f64) {
    over_seeds(|streams| {
        let sim = Sim::new();
        let resource = Resource::new(&sim, servers, Discipline::Fifo);
        let served = open_queue(&sim, streams, rate, works, |_, work| resource.serve(work));
        mean(served.iter().map(|(_, served)| served.waited))
    })
}

struct Case(Value);

impl Case {
    fn number(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {}", self.0))
    }

    fn count(&self, key: &str) -> usize {
        self.number(key) as usize
    }
}

fn golden(kinds: &[&str]) -> Vec<(String, Case)> {
    let all: Vec<Value> = serde_json::from_str(include_str!("golden/radio/queues.json")).unwrap();
    let cases: Vec<_> = all
        .into_iter()
        .map(|case| (case["kind"].as_str().unwrap().to_owned(), Case(case)))
        .filter(|(kind, _)| kinds.contains(&kind.as_str()))
        .collect();
    assert!(kinds.iter().all(|kind| cases.iter().any(|(found, _)| found == kind)), "a kind of {kinds:?} is missing");
    cases
}

#[test]
fn single_servers_wait_as_pollaczek_and_khinchine_say() {
    for (kind, case) in golden(&["mm1", "md1", "mg1_uniform_service", "mg1_hyperexponential_service"]) {
        let works = match kind.as_str() {
            "mm1" => Works::Exponential { mean: 1.0 / case.number("mu") },
            "md1" => Works::Constant(1.0 / case.number("mu")),
            "mg1_uniform_service" => Works::Uniform { low: case.number("a"), high: case.number("b") },
            _ => Works::HyperExponential {
                p: case.number("p"),
                mean_p: case.number("mean1"),
                mean_else: case.number("mean2"),
            },
        };
        assert_agrees(&kind, fifo_wait(1, case.number("lam"), works), case.number("wq_s"));
    }
}

#[test]
fn several_servers_wait_as_erlang_says() {
    for (kind, case) in golden(&["mmc"]) {
        let mean = 1.0 / case.number("mu");
        let rate = case.number("offered_erlang") / mean;
        let wait = fifo_wait(case.count("servers"), rate, Works::Exponential { mean });
        assert_agrees(&kind, wait, case.number("wq_s"));
    }
}

#[test]
fn priorities_wait_as_cobham_says() {
    for (kind, case) in golden(&["mm1_two_class_nonpreemptive_priority"]) {
        let (high, low) = (case.number("lam_high"), case.number("lam_low"));
        let wait_of = |class: i32| {
            over_seeds(|streams| {
                let sim = Sim::new();
                let resource = Resource::new(&sim, 1, Discipline::Priority);
                let classes = streams.counter("customers", "classes");
                let class_of = |number: usize| i32::from(classes.uniform(number as u64) < high / (high + low));
                let works = Works::Exponential { mean: 1.0 / case.number("mu") };
                let served = open_queue(&sim, streams, high + low, works, |number, work| {
                    let (resource, class) = (resource.clone(), class_of(number));
                    async move { resource.serve_with_priority(class, work).await }
                });
                let of_class = served.iter().filter(|(number, _)| class_of(*number) == class);
                mean(of_class.map(|(_, served)| served.waited))
            })
        };
        assert_agrees(&format!("{kind}, high"), wait_of(1), case.number("wq_high_s"));
        assert_agrees(&format!("{kind}, low"), wait_of(0), case.number("wq_low_s"));
    }
}

#[test]
fn processor_sharing_depends_on_mean_work_only() {
    let sojourn = |rate, works| {
        over_seeds(|streams| {
            let sim = Sim::new();
            let server = ProcessorSharing::new(&sim, 1);
            let served = open_queue(&sim, streams, rate, works, |_, work| server.serve(work));
            assert_eq!(server.in_service(), 0);
            mean(served.iter().map(|(_, served)| served.sojourn()))
        })
    };
    for (kind, case) in golden(&["mg1_processor_sharing"]) {
        let works = Works::Uniform { low: case.number("a"), high: case.number("b") };
        assert_agrees(&kind, sojourn(case.number("lam"), works), case.number("mean_sojourn_s"));
    }
    // M/M/1 and a work of the same mean and thrice the variance: E[T] = E[S] / (1 - rho), whatever the distribution.
    assert_agrees("M/M/1-PS", sojourn(0.7, Works::Exponential { mean: 1.0 }), 1.0 / 0.3);
    let spread = Works::HyperExponential { p: 0.9, mean_p: 0.5, mean_else: 5.5 };
    assert_agrees("M/G/1-PS", sojourn(0.7, spread), 1.0 / 0.3);
}

#[test]
fn the_time_average_of_the_line_obeys_littles_law() {
    let rate = 0.8;
    let line = over_seeds(|streams| {
        let sim = Sim::new();
        let resource = Resource::new(&sim, 1, Discipline::Fifo);
        open_queue(&sim, streams, rate, Works::Exponential { mean: 1.0 }, |_, work| resource.serve(work));
        let stats = resource.stats();
        assert_eq!(stats.served, CUSTOMERS as u64);
        assert!((stats.utilisation - rate).abs() < 0.05, "utilisation {}", stats.utilisation);
        stats.mean_queue_length
    });
    assert_agrees("mean queue length", line, 3.2);
}

#[test]
fn rounds_last_as_order_statistics_say() {
    const ROUNDS: usize = 1_000;
    for (kind, case) in golden(&["synchronous_round_max_of_k_exponential", "partial_round_j_of_k_exponential"]) {
        let (members, mean) = (case.count("k"), 1.0 / case.number("mu"));
        let quorum = if kind.starts_with("partial") { case.count("j") } else { members };
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
        let theory = case.0["check"]["value"].as_f64().unwrap();
        assert_agrees(&format!("{kind}, {quorum} of {members}"), length, theory);
    }
}
