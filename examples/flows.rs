//! Bulk transfers over a wired network, the load by which flow-level simulators are compared: so many are under way at a
//! time, from a random host to another, of Exp(mean 10 MB); one that ends starts the next.
//!
//! `cargo run --release --example flows -- --live 1000` plays them on a star of 100 hosts behind links of 125 MB/s;
//! `--tree` on a fat tree, in which most transfers share links with few others; `--plain` with rates that are all shared
//! out anew whenever a transfer comes or goes, the oracle of the solver. `end` must not depend on the solver.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use clap::Parser;
use deft::network::{Link, NodeId, Request, RouteBy, Topology, WiredNetwork};
use deft::sim::{Fluid, Sim, SimDuration, join_all};

const LINK_BITS_PER_SECOND: f64 = 125e6 * 8.0;
const MEAN_BYTES: f64 = 10e6;
/// Hosts of a rack of the tree. A rack's own link is as fast as half of them.
const RACK: usize = 8;

#[derive(Parser)]
struct Args {
    /// Transfers in all.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    total: u64,
    /// Transfers under way at a time.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    live: u64,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    hosts: u32,
    /// Latency of each link.
    #[arg(long, default_value_t = 1000)]
    latency_ns: u64,
    /// Racks of 8 hosts under one root instead of a star.
    #[arg(long)]
    tree: bool,
    #[arg(long)]
    plain: bool,
}

fn main() {
    let args = Args::parse();
    if cfg!(debug_assertions) {
        eprintln!("note: this build is not optimised; add --release for figures that mean something");
    }
    let topology = if args.tree { tree(&args) } else { star(&args) };
    let hosts: Vec<NodeId> =
        (0..args.hosts).map(|i| topology.host(&format!("h{i}")).expect("it was declared")).collect();
    let network = match args.plain {
        false => WiredNetwork::new(topology, RouteBy::Hops),
        true => WiredNetwork::with_plain_refill(topology, RouteBy::Hops),
    };
    let sim = Sim::new();
    let wires = Fluid::new(&sim, network);
    let load = Rc::new(RefCell::new(Load { random: Xoshiro::new(7), begun: 0, total: args.total }));
    let started = Instant::now();
    let all = (0..args.live).map(|_| slot(wires.clone(), Rc::clone(&load), &hosts));
    sim.run(join_all(all)).expect("transfers end");
    let seconds = started.elapsed().as_secs_f64();
    println!("flows_per_second={:.0}", args.total as f64 / seconds);
    println!("end={:.9} digest={:016x}", sim.now().as_seconds(), sim.digest());
}

/// One transfer after another, until as many have begun as there shall be.
async fn slot(wires: Fluid<WiredNetwork>, load: Rc<RefCell<Load>>, hosts: &[NodeId]) {
    loop {
        let Some((from, to, bytes)) = load.borrow_mut().draw(hosts.len() as u32) else { return };
        wires.transfer(Request { from: hosts[from], to: hosts[to], bytes }).await;
    }
}

fn star(args: &Args) -> Topology {
    let latency = SimDuration::from_nanos(args.latency_ns);
    let mut builder = Topology::builder().host("switch");
    for i in 0..args.hosts {
        let host = format!("h{i}");
        builder = builder.host(&host).link(Link::new(&host, "switch", LINK_BITS_PER_SECOND, latency));
    }
    builder.build().expect("names differ and rates are positive")
}

/// A fat tree in the sense of Leiserson 1985: links get faster towards the root.
fn tree(args: &Args) -> Topology {
    let latency = SimDuration::from_nanos(args.latency_ns);
    let mut builder = Topology::builder().host("root");
    for i in 0..args.hosts as usize {
        let (host, rack) = (format!("h{i}"), format!("rack{}", i / RACK));
        if i % RACK == 0 {
            let rate = LINK_BITS_PER_SECOND * RACK as f64 / 2.0;
            builder = builder.host(&rack).link(Link::new(&rack, "root", rate, latency));
        }
        builder = builder.host(&host).link(Link::new(&host, &rack, LINK_BITS_PER_SECOND, latency));
    }
    builder.build().expect("names differ and rates are positive")
}

struct Load {
    random: Xoshiro,
    begun: u64,
    total: u64,
}

impl Load {
    /// Two different hosts and a volume; `None` once all have begun.
    fn draw(&mut self, hosts: u32) -> Option<(usize, usize, u64)> {
        if self.begun == self.total {
            return None;
        }
        self.begun += 1;
        let from = self.random.below(hosts);
        let other = self.random.below(hosts - 1);
        let to = if other >= from { other + 1 } else { other };
        let bytes = (-MEAN_BYTES * self.random.unit().ln()) as u64 + 1;
        Some((from as usize, to as usize, bytes))
    }
}

/// xoshiro256++ (Blackman, Vigna 2019) seeded with SplitMix64, as in the programs that this one is compared with.
struct Xoshiro {
    state: [u64; 4],
}

impl Xoshiro {
    fn new(seed: u64) -> Self {
        let mut weyl = seed;
        let state = std::array::from_fn(|_| {
            weyl = weyl.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (weyl ^ (weyl >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        });
        Self { state }
    }

    fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let t = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= t;
        *s3 = s3.rotate_left(45);
        result
    }

    /// Uniform in (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..n by multiplication (Lemire 2019).
    fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }
}
