//! Shortest paths (Dijkstra 1959), with ties broken the same way in every run.

use super::topology::{Hop, NodeId, Topology};
use crate::sim::SimDuration;
use petgraph::Direction::Incoming;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
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
#[derive(Clone, Debug, Default, PartialEq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    primary: f64,
    hops: u32,
}

impl Eq for Cost {}

impl Ord for Cost {
    fn cmp(&self, other: &Self) -> Ordering {
        self.primary.total_cmp(&other.primary).then(self.hops.cmp(&other.hops))
    }
}

impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost { primary: self.primary + other.primary, hops: self.hops + other.hops }
    }
}

/// Shortest paths from one host at a time; what was known of the last one is overwritten, not cleared, so that a short
/// search in a large network is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    from: NodeIndex,
    by: Option<RouteBy>,
    /// Cost of each host that has been seen in the present search.
    costs: Vec<(u32, Cost)>,
    number: u32,
    frontier: BinaryHeap<Reverse<(Cost, NodeIndex)>>,
    /// Channels that lead nowhere at the moment; those beyond the end are up.
    down: Vec<bool>,
}

impl Search {
    /// Looks for ways from `from`, nearest hosts first, for as long as `go_on` says so of the host that was reached last.
    fn run(
        &mut self,
        topology: &Topology,
        from: NodeIndex,
        by: RouteBy,
        mut go_on: impl FnMut(NodeIndex, Cost) -> bool,
    ) {
        self.costs.resize(topology.graph.node_count(), (0, Cost::default()));
        self.number += 1;
        (self.from, self.by) = (from, Some(by));
        self.frontier.clear();
        self.costs[from.index()] = (self.number, Cost::default());
        self.frontier.push(Reverse((Cost::default(), from)));
        while let Some(Reverse((cost, here))) = self.frontier.pop() {
            if self.cost(here) != Some(cost) {
                // A better way was found after this one.
                continue;
            }
            if !go_on(here, cost) {
                return;
            }
            for edge in topology.graph.edges(here) {
                if self.is_down(edge.weight()) {
                    continue;
                }
                let (there, candidate) = (edge.target(), cost + topology.cost(edge.weight(), by));
                if self.cost(there).is_none_or(|known| candidate < known) {
                    self.costs[there.index()] = (self.number, candidate);
                    self.frontier.push(Reverse((candidate, there)));
                }
            }
        }
    }

    /// Looks for ways from `from` to every host.
    pub fn everywhere(&mut self, topology: &Topology, from: NodeId, by: RouteBy) {
        self.run(topology, from.0, by, |_, _| true);
    }

    fn is_down(&self, hop: &Hop) -> bool {
        self.down.get(hop.channel).is_some_and(|down| *down)
    }

    fn cost(&self, host: NodeIndex) -> Option<Cost> {
        self.costs.get(host.index()).filter(|(number, _)| *number == self.number).map(|(_, cost)| *cost)
    }

    /// Whether anything leads to `host`, as far as was looked.
    pub fn reaches(&self, host: NodeId) -> bool {
        self.cost(host.0).is_some()
    }

    /// The best route to `to`, which must have been reached by looking no further than it or everywhere; `None` if nothing
    /// leads there.
    pub fn route(&self, topology: &Topology, to: NodeId) -> Option<Route> {
        let by = self.by?;
        let mut hops = Vec::new();
        let mut here = to.0;
        let mut cost = self.cost(here)?;
        while here != self.from {
            let before = |edge: &petgraph::graph::EdgeReference<'_, Hop>| {
                self.cost(edge.source()).filter(|c| *c + topology.cost(edge.weight(), by) == cost)
            };
            let edges = topology.graph.edges_directed(here, Incoming).filter(|edge| !self.is_down(edge.weight()));
            let (edge, nearer) =
                edges.filter_map(|e| before(&e).map(|c| (e, c))).min_by_key(|(edge, _)| EdgeRef::id(edge))?;
            hops.push(edge.weight());
            (here, cost) = (edge.source(), nearer);
        }
        let channels = hops.iter().rev().map(|hop| hop.channel).collect();
        Some(Route { channels, latency: hops.iter().map(|hop| hop.latency).sum() })
    }
}

impl Topology {
    fn cost(&self, hop: &Hop, by: RouteBy) -> Cost {
        let primary = match by {
            RouteBy::Latency => hop.latency.as_nanos() as f64,
            RouteBy::Rate => self.channels[hop.channel].rate_bits_per_second.recip(),
            RouteBy::Hops => 0.0,
        };
        Cost { primary, hops: 1 }
    }

    /// The best route, or `None` if nothing leads from `from` to `to`.
    pub fn route(&self, from: NodeId, to: NodeId, by: RouteBy) -> Option<Route> {
        self.route_without(from, to, by, |_| false)
    }

    /// The best route of those without a channel that `is_down`.
    pub(super) fn route_without(
        &self,
        from: NodeId,
        to: NodeId,
        by: RouteBy,
        is_down: impl Fn(usize) -> bool,
    ) -> Option<Route> {
        let down = (0..self.channels.len()).map(is_down).collect();
        let mut search = Search { down, ..Search::default() };
        search.run(self, from.0, by, |host, _| host != to.0);
        search.route(self, to)
    }

    /// For each of `starts` that one of `ends` whose route has the least latency, by its number: the first of equals, `None`
    /// if nothing leads to any.
    pub fn nearest(&self, starts: &[NodeId], ends: &[NodeId], by: RouteBy) -> Vec<Option<usize>> {
        let mut number = vec![None; self.graph.node_count()];
        for (i, end) in ends.iter().enumerate() {
            number[end.0.index()].get_or_insert(i);
        }
        let mut search = Search::default();
        let mut nearest_to = |start: &NodeId| {
            let mut best: Option<(SimDuration, usize)> = None;
            if by != RouteBy::Latency {
                search.everywhere(self, *start, by);
                let routes =
                    ends.iter().enumerate().filter_map(|(i, end)| Some((search.route(self, *end)?.latency, i)));
                return routes.min().map(|(_, i)| i);
            }
            // Hosts are reached in the order of their latency: the first end, and those no farther, are all that counts.
            search.run(self, start.0, by, |host, cost| {
                let here = SimDuration::from_nanos(cost.primary as u64);
                if best.is_some_and(|(latency, _)| here > latency) {
                    return false;
                }
                if let Some(i) = number[host.index()] {
                    best = Some(best.map_or((here, i), |b| b.min((here, i))));
                }
                true
            });
            best.map(|(_, i)| i)
        };
        starts.iter().map(&mut nearest_to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Direction, Link};
    use crate::random::CounterStream;
    use std::collections::BTreeSet;

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

    /// A random network, in which many routes cost the same.
    fn random(case: u64) -> Topology {
        let draws = CounterStream::new(53, 59).child(case);
        let mut n = 0;
        let mut below = |limit: u64| {
            n += 1;
            draws.bits(n) % limit
        };
        let hosts = 3 + below(12);
        let name = |i: u64| format!("h{i}");
        let mut builder = (0..hosts).fold(Topology::builder(), |t, i| t.host(&name(i)));
        let mut joined = BTreeSet::new();
        for _ in 0..2 * hosts {
            let (a, b) = (below(hosts), below(hosts));
            let (rate, latency) = (1e6 * (1 + below(3)) as f64, SimDuration::from_nanos(below(3)));
            if a != b && joined.insert((a.min(b), a.max(b))) {
                builder = builder.link(Link::new(&name(a), &name(b), rate, latency));
            }
        }
        builder.build().unwrap()
    }

    #[test]
    fn the_nearest_end_is_that_of_the_quickest_route_and_a_search_knows_all_routes() {
        for case in 0..300 {
            let t = random(case);
            let hosts: Vec<NodeId> = t.hosts().collect();
            let (starts, ends) = (hosts.as_slice(), &hosts[hosts.len() / 2..]);
            for by in [RouteBy::Latency, RouteBy::Rate, RouteBy::Hops] {
                let found = t.nearest(starts, ends, by);
                let mut search = Search::default();
                for (start, found) in starts.iter().zip(found) {
                    let latency = |end: &NodeId| t.route(*start, *end, by).map(|route| route.latency);
                    let plain = ends.iter().enumerate().filter_map(|(i, end)| Some((latency(end)?, i))).min();
                    assert_eq!(found, plain.map(|(_, i)| i), "case {case}, {by:?}, {start:?}");
                    search.everywhere(&t, *start, by);
                    for end in &hosts {
                        assert_eq!(search.route(&t, *end), t.route(*start, *end, by));
                        assert_eq!(search.reaches(*end), t.route(*start, *end, by).is_some());
                    }
                }
            }
        }
    }
}
