//! The wired side of a world.

use crate::network::{Link, NodeId, Outages, RouteBy, Topology, WiredNetwork};
use crate::random::Streams;
use crate::scenario::{LinkFailures, Routing, Scenario};
use crate::sim::{SimDuration, SimTime};
use crate::world::WorldError;
use std::collections::HashMap;

const BITS_PER_GBIT: f64 = 1e9;

/// The wired network: cells, edge servers and routers as hosts, links as the scenario lists them.
pub(super) fn wires(
    scenario: &Scenario,
    streams: &Streams,
) -> Result<(WiredNetwork, HashMap<String, NodeId>), WorldError> {
    let cells = scenario.cells.iter().map(|c| &c.name);
    let servers = scenario.edge_servers.iter().map(|s| &s.name);
    let mut topology = Topology::builder();
    for name in cells.chain(servers).chain(&scenario.network.routers) {
        topology = topology.host(name);
    }
    for l in &scenario.network.links {
        let latency = SimDuration::from_seconds(l.latency_ms / 1e3);
        topology = topology.link(Link::new(&l.from, &l.to, l.rate_gbit_per_s * BITS_PER_GBIT, latency));
    }
    let topology = topology.build()?;
    let hosts = topology.hosts().map(|h| (topology.host_name(h).to_owned(), h)).collect();
    let by = match scenario.network.route_by {
        Routing::Latency => RouteBy::Latency,
        Routing::Rate => RouteBy::Rate,
        Routing::Hops => RouteBy::Hops,
    };
    let mut network = WiredNetwork::new(topology, by);
    for (number, link) in scenario.network.links.iter().enumerate() {
        if let Some(failures) = &link.failures {
            network = network.failing(number, outages(failures, &format!("{}-{}", link.from, link.to), streams));
        }
    }
    Ok((network, hosts))
}

fn outages(failures: &LinkFailures, link: &str, streams: &Streams) -> Outages {
    let at = |seconds: f64| SimTime::ZERO + SimDuration::from_seconds(seconds);
    match failures {
        LinkFailures::Stated { outages_s } => {
            Outages::Stated(outages_s.iter().map(|[from, to]| (at(*from), at(*to))).collect())
        }
        LinkFailures::Random { mean_time_to_failure_s, mean_time_to_repair_s } => Outages::Random {
            mean_up: SimDuration::from_seconds(*mean_time_to_failure_s),
            mean_down: SimDuration::from_seconds(*mean_time_to_repair_s),
            draws: streams.counter(link, "link failures"),
        },
    }
}
