//! PHOLD (Fujimoto 1990), the customary load of discrete-event engines: an event picks a random entity and schedules
//! one event there after 0.1 + Exp(mean 1) time units.
//!
//! `cargo run --release --example phold -- --compare` runs it through a hand-written heap loop, the event interface and
//! processes, and prints what share of the loop's rate each has. All three must agree on `end` and `mix`.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use clap::{Parser, ValueEnum};
use deft::sim::{Context, Model, Signal, Sim, SimDuration, Simulation};
use des_load::{Spent, Watch, Xoshiro};

mod des_load;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    entities: u32,
    /// Events pending for each entity at any time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pending: u32,
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Every delay is one time unit, so that all pending events are due at once.
    #[arg(long)]
    together: bool,
    #[arg(long, value_enum, default_value_t = Through::Events)]
    through: Through,
    /// Runs all three, interleaved, and prints medians and ratios.
    #[arg(long)]
    compare: bool,
    /// Rounds of the comparison.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Prints the line that scripts/bench_des.sh reads.
    #[arg(long)]
    line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Through {
    /// A hand-written loop over a 4-ary heap: no cancellation, no digest, one type of event.
    Bare,
    /// `Simulation` and `Model`.
    Events,
    /// `Sim`: one process for each pending event.
    Processes,
}

/// What a run is checked by, and how fast it was.
struct Outcome {
    events: u64,
    spent: Spent,
    end_nanos: u64,
    mix: u64,
}

impl Outcome {
    fn events_per_second(&self) -> f64 {
        self.events as f64 / self.spent.cpu_seconds
    }

    fn check(&self) -> String {
        format!("end={:.6},mix={}", self.end_nanos as f64 / 1e9, self.mix)
    }
}

fn main() {
    let args = Args::parse();
    if cfg!(debug_assertions) {
        eprintln!("note: this build is not optimised; add --release for figures that mean something");
    }
    if args.compare {
        return compare(&args);
    }
    let outcome = run(args.through, &args);
    if args.line {
        let load = if args.together { "phold-together" } else { "phold" };
        let load = format!("{load}-{}-{}", args.entities, args.pending);
        let program = format!("deft-{:?}", args.through).to_lowercase();
        return println!("{}", outcome.spent.line(&load, &program, outcome.events, &outcome.check()));
    }
    println!("events_per_second={:.0}", outcome.events_per_second());
    println!("{}", outcome.check());
}

fn run(through: Through, args: &Args) -> Outcome {
    match through {
        Through::Bare => bare(args),
        Through::Events => events(args),
        Through::Processes => processes(args),
    }
}

fn compare(args: &Args) {
    let ways = [Through::Bare, Through::Events, Through::Processes];
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..args.rounds {
        let outcomes = ways.map(|way| run(way, args));
        for (outcome, rates) in outcomes.iter().zip(&mut rates) {
            let agrees = (outcome.end_nanos, outcome.mix) == (outcomes[0].end_nanos, outcomes[0].mix);
            assert!(agrees, "the runs differ: these are not the same simulation");
            rates.push(outcome.events_per_second());
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    for (way, median) in ways.iter().zip(&medians) {
        let name = format!("{way:?}").to_lowercase();
        println!("{name:<9} events_per_second={median:.0} ratio_to_bare={:.3}", median / medians[0]);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The random part of the load and its check sum, the same for all ways of running it.
struct Load {
    random: Xoshiro,
    visits: Vec<u32>,
    together: bool,
}

impl Load {
    fn new(args: &Args) -> Self {
        Self { random: Xoshiro::new(1), visits: vec![0; args.entities as usize], together: args.together }
    }

    fn delay_nanos(&mut self) -> u64 {
        let random = ((0.1 + self.random.exponential()) * 1e9) as u64;
        if self.together { 1_000_000_000 } else { random }
    }

    /// An event at `entity`: whom to visit next, and after how long.
    fn visit(&mut self, entity: u32) -> (u32, u64) {
        self.visits[entity as usize] += 1;
        let next = self.random.below(self.visits.len() as u32);
        (next, self.delay_nanos())
    }

    fn outcome(&self, started: Watch, end_nanos: u64) -> Outcome {
        let spent = started.stop();
        let events = self.visits.iter().map(|visits| u64::from(*visits)).sum();
        let mix = (1..).zip(&self.visits).map(|(weight, visits)| weight * u64::from(*visits)).sum();
        Outcome { events, spent, end_nanos, mix }
    }
}

fn bare(args: &Args) -> Outcome {
    const ENTITY_BITS: u32 = 24;
    let key = |time: u64, sequence: u64, entity: u32| {
        u128::from(time) << 64 | u128::from(sequence << ENTITY_BITS | u64::from(entity))
    };
    let mut load = Load::new(args);
    let mut heap = BareHeap { keys: Vec::new() };
    let mut sequence = 0;
    for entity in 0..args.entities {
        for _ in 0..args.pending {
            heap.push(key(load.delay_nanos(), sequence, entity));
            sequence += 1;
        }
    }
    let started = Watch::start();
    let mut now = 0;
    for _ in 0..args.events {
        let event = heap.pop();
        now = (event >> 64) as u64;
        let (next, delay) = load.visit(event as u32 & ((1 << ENTITY_BITS) - 1));
        heap.push(key(now + delay, sequence, next));
        sequence += 1;
    }
    load.outcome(started, now)
}

struct Phold {
    load: Load,
    left: u64,
}

/// The arrival of a job at an entity.
struct Arrival {
    entity: u32,
}

impl Model for Phold {
    type Event = Arrival;

    fn handle(&mut self, event: Arrival, cx: &mut Context<Arrival>) {
        let (entity, delay) = self.load.visit(event.entity);
        cx.schedule_in(SimDuration::from_nanos(delay), Arrival { entity });
        self.left -= 1;
        if self.left == 0 {
            cx.stop();
        }
    }
}

fn events(args: &Args) -> Outcome {
    let mut sim = Simulation::new(Phold { load: Load::new(args), left: args.events });
    for entity in 0..args.entities {
        for _ in 0..args.pending {
            let delay = sim.model.load.delay_nanos();
            sim.schedule_in(SimDuration::from_nanos(delay), Arrival { entity });
        }
    }
    let started = Watch::start();
    sim.run();
    black_box(sim.digest());
    sim.model.load.outcome(started, sim.now().as_nanos())
}

/// A job that travels from entity to entity, sleeping in between.
async fn job(sim: Sim, shared: Rc<RefCell<Phold>>, done: Signal, mut entity: u32, mut delay: u64) {
    loop {
        sim.sleep(SimDuration::from_nanos(delay)).await;
        let mut phold = shared.borrow_mut();
        (entity, delay) = phold.load.visit(entity);
        phold.left -= 1;
        if phold.left == 0 {
            // The last event of the run: nobody is to move after it.
            done.set();
        }
    }
}

fn processes(args: &Args) -> Outcome {
    let sim = Sim::new();
    let shared = Rc::new(RefCell::new(Phold { load: Load::new(args), left: args.events }));
    let done = Signal::new();
    for entity in 0..args.entities {
        for _ in 0..args.pending {
            let delay = shared.borrow_mut().load.delay_nanos();
            drop(sim.spawn(job(sim.clone(), Rc::clone(&shared), done.clone(), entity, delay)));
        }
    }
    let started = Watch::start();
    sim.run(done.wait()).expect("jobs never rest");
    black_box(sim.digest());
    let phold = shared.borrow();
    phold.load.outcome(started, sim.now().as_nanos())
}

/// An implicit 4-ary min-heap, as one would write it for one program.
struct BareHeap {
    keys: Vec<u128>,
}

impl BareHeap {
    fn push(&mut self, key: u128) {
        let mut hole = self.keys.len();
        self.keys.push(key);
        while hole > 0 {
            let parent = (hole - 1) / 4;
            if self.keys[parent] <= key {
                break;
            }
            self.keys[hole] = self.keys[parent];
            hole = parent;
        }
        self.keys[hole] = key;
    }

    fn pop(&mut self) -> u128 {
        let least = self.keys[0];
        let key = self.keys.pop().expect("PHOLD keeps its number of events");
        let keys = self.keys.as_mut_slice();
        if keys.is_empty() {
            return least;
        }
        let mut hole = 0;
        loop {
            let first = 4 * hole + 1;
            let (mut least, mut at) = (key, hole);
            if first + 4 <= keys.len() {
                let (a, b, c, d) = (keys[first], keys[first + 1], keys[first + 2], keys[first + 3]);
                let (left, left_at) = if b < a { (b, first + 1) } else { (a, first) };
                let (right, right_at) = if d < c { (d, first + 3) } else { (c, first + 2) };
                let (child, child_at) = if right < left { (right, right_at) } else { (left, left_at) };
                if child < key {
                    (least, at) = (child, child_at);
                }
            } else {
                for (i, &child) in keys.iter().enumerate().skip(first) {
                    if child < least {
                        (least, at) = (child, i);
                    }
                }
            }
            if at == hole {
                break;
            }
            keys[hole] = least;
            hole = at;
        }
        keys[hole] = key;
        least
    }
}
