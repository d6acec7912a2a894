//! Wires: which nodes exist, what links them, and whether everybody can be reached.

use super::check::{Check, above_to, from_to};
use super::devices::unique;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{CellSpec, EdgeServerSpec, LinkSpec, NetworkSpec, Routing};
use std::collections::{BTreeMap, BTreeSet};

const RATE_GBIT_PER_S: f64 = 10.0;
const LATENCY_MS: f64 = 1.0;
const EXAMPLE: &str = "network: {links: [{from: gnb, to: edge, rate_gbit_per_s: 10, latency_ms: 1}]}";

pub(super) fn network(c: &mut Check, raw: raw::Network, cells: &[CellSpec], servers: &[EdgeServerSpec]) -> NetworkSpec {
    let top = KeyPath::default();
    let at = top.key("network");
    let routers = raw.routers.unwrap_or_default();
    let named_before = c.issues.len();
    let mut nodes = BTreeMap::new();
    for (i, cell) in cells.iter().enumerate() {
        unique(c, &mut nodes, &cell.name, top.key("cells").index(i).key("name"));
    }
    for (i, server) in servers.iter().enumerate() {
        unique(c, &mut nodes, &server.name, top.key("edge_servers").index(i).key("name"));
    }
    for (i, router) in routers.iter().enumerate() {
        let place = at.key("routers").index(i);
        c.name(place.clone(), router);
        unique(c, &mut nodes, router, place);
    }
    let links = match raw.links {
        None if routers.is_empty() => star(cells, servers),
        written => {
            let at = at.key("links");
            let links = written.unwrap_or_default().into_iter().enumerate();
            links.map(|(i, raw)| link(c, &at.index(i), raw, &nodes)).collect()
        }
    };
    // Where names are wrong or nothing is there, what cannot be reached follows from that.
    if c.issues.len() == named_before && !cells.is_empty() && !servers.is_empty() {
        reachability(c, cells, servers, &links);
    }
    NetworkSpec { routers, links, route_by: raw.route_by.unwrap_or(Routing::Latency) }
}

/// The network of a scenario that describes none: every cell wired to the first server.
fn star(cells: &[CellSpec], servers: &[EdgeServerSpec]) -> Vec<LinkSpec> {
    let Some(server) = servers.first() else { return Vec::new() };
    let link = |cell: &CellSpec| LinkSpec {
        from: cell.name.clone(),
        to: server.name.clone(),
        rate_gbit_per_s: RATE_GBIT_PER_S,
        latency_ms: LATENCY_MS,
    };
    cells.iter().map(link).collect()
}

fn link(c: &mut Check, at: &KeyPath, raw: raw::Link, nodes: &BTreeMap<String, KeyPath>) -> LinkSpec {
    let names: Vec<&String> = nodes.keys().collect();
    let mut end = |key: &str, written: Option<String>, example: &str| {
        let name = c.required(at, key, written, example).unwrap_or_default();
        if !name.is_empty() {
            c.known(at.key(key), &name, &names, "a link joins cells, edge servers and routers");
        }
        name
    };
    let from = end("from", raw.from, "from: gnb");
    let to = end("to", raw.to, "to: edge");
    if from == to && !from.is_empty() {
        c.conflict(at.key("to"), format!("a link from \"{from}\" to itself"), "name another node");
    }
    LinkSpec {
        from,
        to,
        rate_gbit_per_s: c.number(at, "rate_gbit_per_s", raw.rate_gbit_per_s, RATE_GBIT_PER_S, above_to(0.0, 1e6)),
        latency_ms: c.number(at, "latency_ms", raw.latency_ms, LATENCY_MS, from_to(0.0, 1e6)),
    }
}

/// Notes each cell from which no server can be reached, and each server that no cell reaches.
fn reachability(c: &mut Check, cells: &[CellSpec], servers: &[EdgeServerSpec], links: &[LinkSpec]) {
    let mut neighbours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for link in links {
        neighbours.entry(&link.from).or_default().push(&link.to);
        neighbours.entry(&link.to).or_default().push(&link.from);
    }
    let reached_from = |starts: Vec<&str>| {
        let mut seen = BTreeSet::new();
        let mut waiting = starts;
        while let Some(node) = waiting.pop() {
            if let (true, Some(next)) = (seen.insert(node.to_owned()), neighbours.get(node)) {
                waiting.extend(next);
            }
        }
        seen
    };
    let top = KeyPath::default();
    let from_servers = reached_from(servers.iter().map(|s| s.name.as_str()).collect());
    for (i, cell) in cells.iter().enumerate().filter(|(_, cell)| !from_servers.contains(&cell.name)) {
        let message = format!("no path of links leads from \"{}\" to an edge server", cell.name);
        c.issues.push(Issue::conflict(top.key("cells").index(i).key("name"), message).help(example()));
    }
    let from_cells = reached_from(cells.iter().map(|cell| cell.name.as_str()).collect());
    for (i, server) in servers.iter().enumerate().filter(|(_, server)| !from_cells.contains(&server.name)) {
        let message = format!("no path of links leads from a cell to \"{}\"", server.name);
        c.issues.push(Issue::conflict(top.key("edge_servers").index(i).key("name"), message).help(example()));
    }
}

fn example() -> String {
    format!("add a link, for example: {EXAMPLE}")
}
