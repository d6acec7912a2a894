//! Hosts and links, as a directed graph.

use super::NetworkError;
use crate::sim::SimDuration;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A host of one topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) NodeIndex);

/// Which ways a link carries data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From `from` to `to` only.
    OneWay,
    /// Both ways, each at the full rate (fibre, switched Ethernet).
    FullDuplex,
    /// Both ways, which share the rate (a bus, a point-to-point radio relay in time division).
    HalfDuplex,
}

/// A link to be added to a topology.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// What reports call the link.
    pub name: String,
    pub from: String,
    pub to: String,
    pub rate_bits_per_second: f64,
    /// Propagation delay of one traversal.
    pub latency: SimDuration,
    pub direction: Direction,
}

impl Link {
    /// A full-duplex link called `<from>-<to>`.
    pub fn new(from: &str, to: &str, rate_bits_per_second: f64, latency: SimDuration) -> Self {
        Self {
            name: format!("{from}-{to}"),
            from: from.into(),
            to: to.into(),
            rate_bits_per_second,
            latency,
            direction: Direction::FullDuplex,
        }
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    #[must_use]
    pub fn carrying(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }
}

/// Something whose rate flows share: a link, or one direction of it.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub link_name: Arc<str>,
    pub rate_bits_per_second: f64,
}

/// An edge of the graph: one traversal of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub channel: usize,
    pub latency: SimDuration,
}

/// A validated network. Immutable: numbers of hosts and links follow the order in which they were declared.
#[derive(Clone, Debug)]
pub struct Topology {
    pub(super) graph: DiGraph<String, Hop>,
    pub(super) channels: Vec<Channel>,
    /// Of each link, in the order of their declaration.
    link_channels: Vec<Range<usize>>,
    by_name: BTreeMap<String, NodeId>,
}

impl Topology {
    pub fn builder() -> TopologyBuilder {
        TopologyBuilder::default()
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    pub fn host_name(&self, host: NodeId) -> &str {
        &self.graph[host.0]
    }

    /// The channels of link number `link`, in the order of declaration: one, or one each way.
    pub(super) fn channels_of(&self, link: usize) -> Range<usize> {
        self.link_channels[link].clone()
    }

    /// All hosts in the order of their declaration.
    pub fn hosts(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.node_indices().map(NodeId)
    }
}

/// Collects hosts and links; [`build`](Self::build) checks them together, so their order is free.
#[derive(Clone, Debug, Default)]
pub struct TopologyBuilder {
    hosts: Vec<String>,
    links: Vec<Link>,
}

impl TopologyBuilder {
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.hosts.push(name.into());
        self
    }

    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// The topology.
    ///
    /// # Errors
    /// The first duplicate host, link to an unknown host or to itself, second link the same way between two hosts, or
    /// rate that is not a finite number above zero.
    pub fn build(self) -> Result<Topology, NetworkError> {
        let mut graph = DiGraph::new();
        let mut by_name = BTreeMap::new();
        for name in &self.hosts {
            if by_name.insert(name.clone(), NodeId(graph.add_node(name.clone()))).is_some() {
                return Err(NetworkError::DuplicateHost { name: name.clone() });
            }
        }
        let mut topology = Topology { graph, channels: Vec::new(), link_channels: Vec::new(), by_name };
        for link in &self.links {
            let first = topology.channels.len();
            topology.add(link, &self.hosts)?;
            topology.link_channels.push(first..topology.channels.len());
        }
        Ok(topology)
    }
}

impl Topology {
    fn add(&mut self, link: &Link, hosts: &[String]) -> Result<(), NetworkError> {
        let end = |name: &str| {
            self.host(name).ok_or_else(|| NetworkError::UnknownHost {
                link: link.name.clone(),
                host: name.into(),
                known: hosts.join(", "),
            })
        };
        let (from, to) = (end(&link.from)?.0, end(&link.to)?.0);
        if from == to {
            return Err(NetworkError::Loop { link: link.name.clone(), host: link.from.clone() });
        }
        if !(link.rate_bits_per_second.is_finite() && link.rate_bits_per_second > 0.0) {
            let rate_bits_per_second = link.rate_bits_per_second;
            return Err(NetworkError::Rate { link: link.name.clone(), rate_bits_per_second });
        }
        let forward = self.add_channel(link);
        self.add_hop(from, to, forward, link.latency)?;
        match link.direction {
            Direction::OneWay => Ok(()),
            Direction::HalfDuplex => self.add_hop(to, from, forward, link.latency),
            Direction::FullDuplex => {
                let backward = self.add_channel(link);
                self.add_hop(to, from, backward, link.latency)
            }
        }
    }

    fn add_channel(&mut self, link: &Link) -> usize {
        let rate_bits_per_second = link.rate_bits_per_second;
        self.channels.push(Channel { link_name: link.name.as_str().into(), rate_bits_per_second });
        self.channels.len() - 1
    }

    fn add_hop(
        &mut self,
        a: NodeIndex,
        b: NodeIndex,
        channel: usize,
        latency: SimDuration,
    ) -> Result<(), NetworkError> {
        if self.graph.contains_edge(a, b) {
            return Err(NetworkError::DuplicateLink { from: self.graph[a].clone(), to: self.graph[b].clone() });
        }
        self.graph.add_edge(a, b, Hop { channel, latency });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: &str, to: &str) -> Link {
        Link::new(from, to, 1e9, SimDuration::ZERO)
    }

    fn two_hosts() -> TopologyBuilder {
        Topology::builder().host("a").host("b")
    }

    #[test]
    fn mistakes_are_named() {
        let message = |b: TopologyBuilder| b.build().unwrap_err().to_string();
        assert!(message(two_hosts().host("a")).contains("`a` is declared twice"));
        let dangling = message(two_hosts().link(link("a", "c")));
        assert!(dangling.contains("`a-c`") && dangling.contains("`c`") && dangling.contains("a, b"), "{dangling}");
        assert!(message(two_hosts().link(link("b", "b"))).contains("itself"));
        assert!(message(two_hosts().link(link("a", "b")).link(link("b", "a"))).contains("already has a link"));
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let bad = Link { rate_bits_per_second: rate, ..link("a", "b") };
            assert!(matches!(two_hosts().link(bad).build(), Err(NetworkError::Rate { .. })), "{rate}");
        }
    }

    #[test]
    fn two_one_way_links_make_a_pair() {
        let one_way = |from, to| link(from, to).carrying(Direction::OneWay);
        let topology = two_hosts().link(one_way("a", "b")).link(one_way("b", "a")).build().unwrap();
        assert_eq!(topology.channels.len(), 2);
        assert_eq!(topology.host("b").map(|b| topology.host_name(b)), Some("b"));
        assert!(topology.host("c").is_none());
    }
}
