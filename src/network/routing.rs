//! Shortest paths (Dijkstra 1959, by petgraph), with ties broken the same way in every run.

use super::topology::{Hop, NodeId, Topology};
use crate::sim::SimDuration;
use petgraph::Direction::Incoming;
use petgraph::algo::dijkstra;
use petgraph::visit::EdgeRef;
use std::ops::Add;

/// What a route keeps small. Among equals the fewest hops win, then the link declared first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteBy {
    /// Sum of propagation delays.
    Latency,
    /// Sum of 1/rate, the time in which a bit passes each link; the usual cost of OSPF.
    Rate,
    /// Number of links.
    Hops,
}

/// A path through the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Channels in the order of traversal; empty from a host to itself.
    pub(super) channels: Vec<usize>,
    /// Sum of propagation delays.
    pub latency: SimDuration,
}

impl Route {
    pub fn hops(&self) -> usize {
        self.channels.len()
    }
}

/// Cost of a path, compared first by what [`RouteBy`] asks for, then by hops. The hops make every link's cost positive,
/// so that following predecessors never runs in a circle of zero latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Cost {
    primary: f64,
    hops: u32,
}

impl Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost { primary: self.primary + other.primary, hops: self.hops + other.hops }
    }
}

impl Topology {
    /// The best route, or `None` if nothing leads from `from` to `to`.
    pub fn route(&self, from: NodeId, to: NodeId, by: RouteBy) -> Option<Route> {
        let cost = |hop: &Hop| Cost {
            primary: match by {
                RouteBy::Latency => hop.latency.as_nanos() as f64,
                RouteBy::Rate => self.channels[hop.channel].rate_bits_per_second.recip(),
                RouteBy::Hops => 0.0,
            },
            hops: 1,
        };
        let distance = dijkstra(&self.graph, from.0, Some(to.0), |edge| cost(edge.weight()));
        distance.get(&to.0)?;
        let mut hops = Vec::new();
        let mut here = to.0;
        while here != from.0 {
            let edge = self
                .graph
                .edges_directed(here, Incoming)
                .filter(|e| distance.get(&e.source()).is_some_and(|d| *d + cost(e.weight()) == distance[&here]))
                .min_by_key(EdgeRef::id)?;
            hops.push(edge.weight());
            here = edge.source();
        }
        let channels = hops.iter().rev().map(|hop| hop.channel).collect();
        Some(Route { channels, latency: hops.iter().map(|hop| hop.latency).sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Direction, Link};

    fn millis(ms: u64) -> SimDuration {
        SimDuration::from_nanos(ms * 1_000_000)
    }

    /// a to d: directly (slow, 9 ms), over b (fast, 8 ms in all), over c (5 ms in all, slowest).
    fn diamond() -> Topology {
        let link = |from, to, mbit: f64, ms| Link::new(from, to, mbit * 1e6, millis(ms));
        ["a", "b", "c", "d"]
            .into_iter()
            .fold(Topology::builder(), |t, host| t.host(host))
            .link(link("a", "d", 10.0, 9))
            .link(link("a", "b", 1000.0, 4))
            .link(link("b", "d", 1000.0, 4))
            .link(link("a", "c", 1.0, 3))
            .link(link("c", "d", 1.0, 2))
            .build()
            .unwrap()
    }

    fn names(t: &Topology, from: &str, to: &str, by: RouteBy) -> Vec<String> {
        let route = t.route(t.host(from).unwrap(), t.host(to).unwrap(), by).unwrap();
        route.channels.iter().map(|c| t.channels[*c].link_name.to_string()).collect()
    }

    #[test]
    fn each_criterion_takes_its_own_way() {
        let t = diamond();
        assert_eq!(names(&t, "a", "d", RouteBy::Latency), ["a-c", "c-d"]);
        assert_eq!(names(&t, "a", "d", RouteBy::Rate), ["a-b", "b-d"]);
        assert_eq!(names(&t, "a", "d", RouteBy::Hops), ["a-d"]);
        assert_eq!(names(&t, "d", "a", RouteBy::Latency), ["c-d", "a-c"]);
        let (a, d) = (t.host("a").unwrap(), t.host("d").unwrap());
        assert_eq!(t.route(a, d, RouteBy::Latency).unwrap().latency, millis(5));
        assert_eq!(t.route(a, a, RouteBy::Rate).unwrap().hops(), 0);
    }

    #[test]
    fn equal_routes_go_to_the_link_declared_first_even_without_latency() {
        let square = |order: [&str; 2]| {
            let zero = |from: &str, to: &str| Link::new(from, to, 1e6, SimDuration::ZERO);
            let t = ["s", "x", "y", "t"].into_iter().fold(Topology::builder(), |t, host| t.host(host));
            order.into_iter().fold(t, |t, via| t.link(zero(via, "t")).link(zero("s", via))).build().unwrap()
        };
        for by in [RouteBy::Latency, RouteBy::Rate, RouteBy::Hops] {
            assert_eq!(names(&square(["x", "y"]), "s", "t", by), ["s-x", "x-t"]);
            assert_eq!(names(&square(["y", "x"]), "s", "t", by), ["s-y", "y-t"]);
        }
    }

    #[test]
    fn one_way_links_are_not_taken_backwards() {
        let link = Link::new("a", "b", 1e6, SimDuration::ZERO).carrying(Direction::OneWay);
        let t = Topology::builder().host("a").host("b").link(link).build().unwrap();
        let (a, b) = (t.host("a").unwrap(), t.host("b").unwrap());
        assert!(t.route(a, b, RouteBy::Hops).is_some());
        assert!(t.route(b, a, RouteBy::Hops).is_none());
    }
}
