//! The M/M/1 queue: arrivals at rate 0.8, service at rate 1.0, one server, first come, first served.
//! Theory: a customer stays 1 / (1.0 - 0.8) = 5 time units on average.
//!
//! `cargo run --release --example mm1` uses the event interface; `-- --processes` one process a customer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use clap::Parser;
use deft::sim::{Context, Discipline, Model, Resource, Signal, Sim, SimDuration, SimTime, Simulation};
use des_load::{Ahead, Watch};

mod des_load;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    customers: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A process for each customer instead of two events.
    #[arg(long)]
    processes: bool,
    /// Prints the line that scripts/bench_des.sh reads.
    #[arg(long)]
    line: bool,
}

fn main() {
    let args = Args::parse();
    if cfg!(debug_assertions) {
        eprintln!("note: this build is not optimised; add --release for figures that mean something");
    }
    let started = Watch::start();
    let mean_sojourn = if args.processes { processes(&args) } else { events(&args) };
    let spent = started.stop();
    if args.line {
        let program = if args.processes { "deft-processes" } else { "deft-events" };
        return println!("{}", spent.line("mm1", program, args.customers, &format!("sojourn={mean_sojourn:.4}")));
    }
    println!("customers_per_second={:.0}", args.customers as f64 / spent.cpu_seconds);
    println!("mean_sojourn={mean_sojourn:.4} theory=5.0");
}

/// The random part: a generator for each purpose, so that both ways see the same customers, those of scripts/peers_des.
struct Draws {
    arrivals: Ahead,
    services: Ahead,
}

impl Draws {
    fn new(seed: u64) -> Self {
        Self { arrivals: Ahead::new(10 + seed, 1.25), services: Ahead::new(11 + seed, 1.0) }
    }

    fn until_next_arrival(&mut self) -> SimDuration {
        duration(self.arrivals.take())
    }

    fn service(&mut self) -> SimDuration {
        duration(self.services.take())
    }
}

fn duration(seconds: f64) -> SimDuration {
    SimDuration::from_nanos((seconds * 1e9) as u64)
}

enum Event {
    Arrival,
    Departure,
}

struct Queue {
    draws: Draws,
    /// Arrival times of those in the system, the one in service first.
    customers: VecDeque<SimTime>,
    to_arrive: u64,
    total_sojourn: SimDuration,
}

impl Model for Queue {
    type Event = Event;

    fn handle(&mut self, event: Event, cx: &mut Context<Event>) {
        match event {
            Event::Arrival => {
                self.customers.push_back(cx.now());
                if self.customers.len() == 1 {
                    cx.schedule_in(self.draws.service(), Event::Departure);
                }
                self.to_arrive -= 1;
                if self.to_arrive > 0 {
                    cx.schedule_in(self.draws.until_next_arrival(), Event::Arrival);
                }
            }
            Event::Departure => {
                if let Some(arrived) = self.customers.pop_front() {
                    self.total_sojourn += cx.now() - arrived;
                }
                if !self.customers.is_empty() {
                    cx.schedule_in(self.draws.service(), Event::Departure);
                }
            }
        }
    }
}

fn events(args: &Args) -> f64 {
    let mut draws = Draws::new(args.seed);
    let first = draws.until_next_arrival();
    let queue =
        Queue { draws, customers: VecDeque::new(), to_arrive: args.customers, total_sojourn: SimDuration::ZERO };
    let mut sim = Simulation::new(queue);
    sim.schedule_in(first, Event::Arrival);
    sim.run();
    sim.model.total_sojourn.as_seconds() / args.customers as f64
}

struct Tally {
    to_leave: u64,
    total_sojourn: SimDuration,
}

fn processes(args: &Args) -> f64 {
    let sim = Sim::new();
    let server = Resource::new(&sim, 1, Discipline::Fifo);
    let tally = Rc::new(RefCell::new(Tally { to_leave: args.customers, total_sojourn: SimDuration::ZERO }));
    let all_left = Signal::new();
    let root = async {
        let mut draws = Draws::new(args.seed);
        for _ in 0..args.customers {
            sim.sleep(draws.until_next_arrival()).await;
            let (service, server) = (draws.service(), server.clone());
            let (tally, all_left) = (Rc::clone(&tally), all_left.clone());
            let customer = async move {
                let served = server.serve(service).await;
                let mut tally = tally.borrow_mut();
                tally.total_sojourn += served.sojourn();
                tally.to_leave -= 1;
                if tally.to_leave == 0 {
                    all_left.set();
                }
            };
            drop(sim.spawn(customer));
        }
        all_left.wait().await;
    };
    sim.run(root).expect("every customer is served");
    let total = tally.borrow().total_sojourn;
    total.as_seconds() / args.customers as f64
}
