//! Bulk transfers over a wired network, the load by which flow-level simulators are compared: so many are under way at a
//! time, from a random host to another, of Exp(mean 10 MB); one that ends starts the next.
//!
//! `cargo run --release --example flows -- --live 1000` plays them on a star of 100 hosts behind links of 125 MB/s;
//! `--tree` on a fat tree, in which most transfers share links with few others; `--plain` with rates that are all shared
//! out anew whenever a transfer comes or goes, the oracle of the solver. `end` must not depend on the solver.

use std::cell::RefCell;
use std::rc::Rc;

use clap::Parser;
use deft::network::{Link, NodeId, Request, RouteBy, Topology, WiredNetwork};
use deft::sim::{Fluid, Sim, SimDuration, join_all};
use des_load::{Watch, Xoshiro};

mod des_load;

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
    /// Prints the line that scripts/bench_des.sh reads.
    #[arg(long)]
    line: bool,
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
    let started = Watch::start();
    let all = (0..args.live).map(|_| slot(wires.clone(), Rc::clone(&load), &hosts));
    sim.run(join_all(all)).expect("transfers end");
    let (spent, end) = (started.stop(), sim.now().as_seconds());
    if args.line {
        let shape = if args.tree { "tree" } else { "star" };
        let name = format!("flows-{shape}-{}-{}", args.hosts, args.live);
        let program = if args.plain { "deft-plain" } else { "deft" };
        return println!("{}", spent.line(&name, program, args.total, &format!("end={end:.6}")));
    }
    println!("flows_per_second={:.0}", args.total as f64 / spent.cpu_seconds);
    println!("end={end:.9} digest={:016x}", sim.digest());
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
        let bytes = (MEAN_BYTES * self.random.exponential()) as u64 + 1;
        Some((from as usize, to as usize, bytes))
    }
}
