//! What holds of every simulation, on random programs: time never runs back, nobody waits for ever, a process that does
//! nothing changes nothing, and the digest tells neither of traces nor of how the program was compiled.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use deft::network::{Link, Request, RouteBy, Topology, WiredNetwork};
use deft::random::CounterStream;
use deft::sim::{Discipline, EqualShare, Fluid, ProcessorSharing, Resource, Sim, SimDuration, SimTime, join_all};

/// Of the random program with seed 0. A change of the order of events shows here, in whatever profile it is compiled.
const GOLDEN_DIGEST: u64 = 15_746_799_359_714_079_365;

fn nanos(n: u64) -> SimDuration {
    SimDuration::from_nanos(n)
}

/// What the processes of a random program share.
struct Shared {
    sim: Sim,
    servers: Resource,
    link: Fluid<EqualShare>,
    latest: Cell<SimTime>,
}

impl Shared {
    /// Notes that a process runs now.
    fn look(&self) {
        assert!(self.sim.now() >= self.latest.get(), "time runs back");
        self.latest.set(self.sim.now());
    }
}

/// Sleeps, is served, sends, gives up, and spawns others, as its draws will have it.
async fn wander(shared: Rc<Shared>, draws: CounterStream, steps: u64, generation: u64) {
    for step in 0..steps {
        let draw = draws.bits(step);
        let (length, sim) = (draw >> 8 & 0xfff, &shared.sim);
        match draw % 6 {
            0 => sim.sleep(nanos(length)).await,
            1 => drop(shared.servers.serve(nanos(length)).await),
            2 => drop(shared.link.transfer(length as f64).await),
            3 => {
                let end = sim.now() + nanos(draw >> 20 & 0xfff);
                let left = sim.deadline(end, shared.link.transfer(length as f64)).await;
                assert!(sim.now() <= end || left.is_ok());
            }
            4 if generation < 2 => {
                let child = wander(Rc::clone(&shared), draws.child(step), steps / 2, generation + 1);
                let handle = sim.spawn(Box::pin(child));
                match draw >> 40 & 3 {
                    0 => handle.cancel(),
                    1 => drop(handle),
                    _ => Box::pin(handle).await,
                }
            }
            _ => sim.sleep(nanos(0)).await,
        }
        shared.look();
    }
}

/// Events and digest of a random program, beside `idle` processes that wait for ever.
fn play(sim: Sim, seed: u64, idle: usize) -> (u64, u64) {
    let shared = Rc::new(Shared {
        servers: Resource::new(&sim, 2, Discipline::Fifo),
        link: Fluid::new(&sim, EqualShare::new(1e9)),
        latest: Cell::new(SimTime::ZERO),
        sim: sim.clone(),
    });
    for _ in 0..idle {
        drop(sim.spawn(sim.sleep_until(SimTime::MAX)));
    }
    let draws = CounterStream::new(41, seed);
    let all = (0..20).map(|i| wander(Rc::clone(&shared), draws.child(1000 + i), 60, 0));
    sim.run(join_all(all)).expect("everybody arrives");
    (sim.events(), sim.digest())
}

#[test]
fn time_never_runs_back_and_traces_and_idlers_change_nothing() {
    for seed in 0..20 {
        let plain = play(Sim::new(), seed, 0);
        assert_eq!(play(Sim::new(), seed, 0), plain, "seed {seed}: again");
        assert_eq!(play(Sim::with_trace(), seed, 0), plain, "seed {seed}: traced");
        assert_eq!(play(Sim::new(), seed, 3), plain, "seed {seed}: beside idlers");
        assert_ne!(play(Sim::new(), seed + 100, 0).1, plain.1, "seed {seed}: another program");
    }
}

#[test]
fn the_digest_is_the_same_in_every_profile() {
    assert_eq!(play(Sim::new(), 0, 0).1, GOLDEN_DIGEST);
}

#[test]
fn nobody_is_passed_over() {
    for seed in 0..20 {
        let sim = Sim::new();
        let (line, shared) = (Resource::new(&sim, 1, Discipline::Fifo), ProcessorSharing::new(&sim, 1));
        let draws = CounterStream::new(43, seed);
        let served = RefCell::new(vec![]);
        let most = 40;
        let customer = |i: u64| {
            let (sim, line, shared, served) = (&sim, &line, &shared, &served);
            async move {
                sim.sleep(nanos(draws.bits(3 * i) % 5000)).await;
                let arrived = sim.now();
                let work = nanos(1 + draws.bits(3 * i + 1) % 900);
                let outcome = shared.serve(work).await;
                // Nobody ever gets less than an equal part among all.
                assert!(outcome.waited.as_nanos() <= (most - 1) * (work.as_nanos() + 1), "{outcome:?}");
                assert!(sim.now() - arrived >= work);
                let joined = sim.now();
                let outcome = line.serve(work).await;
                served.borrow_mut().push((joined, sim.now(), outcome.service));
            }
        };
        sim.run(join_all((0..most).map(customer))).expect("everybody is served");
        let served = served.into_inner();
        assert_eq!(served.len() as u64, most);
        assert!(served.windows(2).all(|w| w[0].0 <= w[1].0), "seed {seed}: first come, first served");
        assert!(served.windows(2).all(|w| w[0].1 + w[1].2 <= w[1].1), "seed {seed}: one at a time");
    }
}

#[test]
fn every_transfer_gets_its_part_of_each_link() {
    let names = ["a", "b", "c", "d"];
    let mut builder = Topology::builder().host("hub");
    for (i, name) in (1u32..).zip(names) {
        builder = builder.host(name).link(Link::new(name, "hub", 1e6 * f64::from(i), SimDuration::ZERO));
    }
    let topology = builder.build().expect("a star");
    let hosts = names.map(|name| topology.host(name).expect("declared"));
    for seed in 0..20 {
        let draws = CounterStream::new(47, seed);
        let sim = Sim::new();
        let wires = Fluid::new(&sim, WiredNetwork::new(topology.clone(), RouteBy::Hops));
        let most = 30;
        let send = |i: u64| {
            let (sim, wires) = (&sim, &wires);
            async move {
                sim.sleep(nanos(draws.bits(3 * i) % 300_000_000)).await;
                let from = (draws.bits(3 * i + 1) % 4) as usize;
                let to = (from + 1 + (draws.bits(3 * i + 2) % 3) as usize) % 4;
                let request = Request { from: hosts[from], to: hosts[to], bytes: 1000 + draws.bits(i) % 9000 };
                let report = wires.transfer(request).await;
                let slowest = 1e6 * (1 + from.min(to)) as f64;
                assert!(report.mean_rate_bits_per_second >= slowest / most as f64 * 0.999, "{report:?}");
            }
        };
        sim.run(join_all((0..most).map(send))).expect("everything arrives");
    }
}
