//! Wires: which nodes exist, what links them, and whether everybody can be reached.

use super::check::{Check, above_to, from_to};
use super::devices::unique;
use super::network::Listed;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{CellSpec, EdgeServerSpec, LinkFailures, LinkSpec, NetworkSpec, Routing};
use std::collections::{BTreeMap, BTreeSet};

const RATE_GBIT_PER_S: f64 = 10.0;
const LATENCY_MS: f64 = 1.0;
const EXAMPLE: &str = "network: {links: [{from: gnb, to: edge, rate_gbit_per_s: 10, latency_ms: 1}]}";

pub(super) fn network(
    c: &mut Check,
    raw: raw::Network,
    cells: &Listed<CellSpec>,
    servers: &Listed<EdgeServerSpec>,
) -> NetworkSpec {
    let top = KeyPath::default();
    let at = top.key("network");
    let routers = raw.routers.unwrap_or_default();
    let named_before = c.issues.len();
    let mut nodes = BTreeMap::new();
    for (cell, &i) in cells.specs.iter().zip(&cells.entries) {
        unique(c, &mut nodes, &cell.name, top.key("cells").index(i).key("name"));
    }
    for (server, &i) in servers.specs.iter().zip(&servers.entries) {
        unique(c, &mut nodes, &server.name, top.key("edge_servers").index(i).key("name"));
    }
    for (i, router) in routers.iter().enumerate() {
        let place = at.key("routers").index(i);
        c.name(place.clone(), router);
        unique(c, &mut nodes, router, place);
    }
    let names: Vec<&String> = nodes.keys().collect();
    let links = match raw.links {
        None if routers.is_empty() => star(&cells.specs, &servers.specs),
        written => {
            let at = at.key("links");
            let links = written.unwrap_or_default().into_iter().enumerate();
            links.map(|(i, raw)| link(c, &at.index(i), raw, &names)).collect()
        }
    };
    let aggregate_at = raw.aggregate_at;
    if let Some(name) = &aggregate_at {
        c.known(at.key("aggregate_at"), name, &names, "servers' parts come together at a server, a cell or a router");
    }
    // Where names are wrong or nothing is there, what cannot be reached follows from that.
    if c.issues.len() == named_before && !cells.specs.is_empty() && !servers.specs.is_empty() {
        reachability(c, cells, servers, &links);
        if let Some(name) = &aggregate_at
            && !reached_from(servers.specs.iter().map(|s| s.name.as_str()).collect(), &neighbours(&links))
                .contains(name)
        {
            let message = format!("no path of links leads from a server to \"{name}\"");
            c.issues.push(Issue::conflict(at.key("aggregate_at"), message).help(example()));
        }
    }
    NetworkSpec { routers, links, route_by: raw.route_by.unwrap_or(Routing::Latency), aggregate_at }
}

/// The network of a scenario that describes none: every cell wired to a server, neighbours to the same one, and every
/// further server to the first.
fn star(cells: &[CellSpec], servers: &[EdgeServerSpec]) -> Vec<LinkSpec> {
    let link = |from: &str, to: &str| LinkSpec {
        from: from.to_owned(),
        to: to.to_owned(),
        rate_gbit_per_s: RATE_GBIT_PER_S,
        latency_ms: LATENCY_MS,
        failures: None,
    };
    let Some(first) = servers.first() else { return Vec::new() };
    let served =
        cells.iter().enumerate().map(|(i, cell)| link(&cell.name, &servers[i * servers.len() / cells.len()].name));
    served.chain(servers[1..].iter().map(|server| link(&server.name, &first.name))).collect()
}

fn link(c: &mut Check, at: &KeyPath, raw: raw::Link, names: &[&String]) -> LinkSpec {
    let mut end = |key: &str, written: Option<String>, example: &str| {
        let name = c.required(at, key, written, example).unwrap_or_default();
        // The names are in order, and may be many.
        if !name.is_empty() && names.binary_search(&&name).is_err() {
            c.unknown(at.key(key), &name, names, "a link joins cells, edge servers and routers");
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
        failures: failures(c, at, raw.outages_s, raw.mean_time_to_failure_s, raw.mean_time_to_repair_s),
    }
}

const REPAIR_S: f64 = 60.0;
const LATEST_S: f64 = 1e9;

fn failures(
    c: &mut Check,
    at: &KeyPath,
    outages: Option<Vec<Vec<f64>>>,
    to_failure: Option<f64>,
    to_repair: Option<f64>,
) -> Option<LinkFailures> {
    let Some(outages) = outages else {
        if to_repair.is_some() && to_failure.is_none() {
            let message = "a link that never fails needs no repair";
            c.conflict(at.key("mean_time_to_repair_s"), message, "add `mean_time_to_failure_s`, or leave it out");
        }
        let mean_time_to_failure_s = to_failure?;
        let range = from_to(1e-3, LATEST_S);
        return Some(LinkFailures::Random {
            mean_time_to_failure_s: c.number(at, "mean_time_to_failure_s", Some(mean_time_to_failure_s), 1.0, range),
            mean_time_to_repair_s: c.number(at, "mean_time_to_repair_s", to_repair, REPAIR_S, range),
        });
    };
    for (key, written) in [("mean_time_to_failure_s", to_failure), ("mean_time_to_repair_s", to_repair)] {
        if written.is_some() {
            let message = "outages are stated, and so not drawn";
            c.conflict(at.key(key), message, "keep `outages_s` or `mean_time_to_failure_s`");
        }
    }
    let at = at.key("outages_s");
    let (mut stated, mut last) = (vec![], 0.0);
    for (i, pair) in outages.iter().enumerate() {
        match **pair {
            [from, to] if last <= from && from < to && to <= LATEST_S => {
                stated.push([from, to]);
                last = to;
            }
            [from, to] => {
                let allowed = format!("a start from {last} on and a later end, at most {LATEST_S}");
                c.issues.push(Issue::value(at.index(i), format!("[{from}, {to}]"), allowed));
            }
            _ => c.issues.push(Issue::value(
                at.index(i),
                format!("{} numbers", pair.len()),
                "a pair [from, to] in seconds",
            )),
        }
    }
    (!stated.is_empty()).then_some(LinkFailures::Stated { outages_s: stated })
}

/// The nodes to which each node has a link.
fn neighbours(links: &[LinkSpec]) -> BTreeMap<&str, Vec<&str>> {
    let mut neighbours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for link in links {
        neighbours.entry(&link.from).or_default().push(&link.to);
        neighbours.entry(&link.to).or_default().push(&link.from);
    }
    neighbours
}

fn reached_from(starts: Vec<&str>, neighbours: &BTreeMap<&str, Vec<&str>>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut waiting = starts;
    while let Some(node) = waiting.pop() {
        if let (true, Some(next)) = (seen.insert(node.to_owned()), neighbours.get(node)) {
            waiting.extend(next);
        }
    }
    seen
}

/// Notes each cell from which no server can be reached, and each server that no cell reaches; of an entry the first one.
fn reachability(c: &mut Check, cells: &Listed<CellSpec>, servers: &Listed<EdgeServerSpec>, links: &[LinkSpec]) {
    let neighbours = neighbours(links);
    let mut note =
        |list: &str, names: &[&str], entries: &[usize], reached: &BTreeSet<String>, what: &dyn Fn(&str) -> String| {
            let mut noted = BTreeSet::new();
            for (name, &entry) in names.iter().zip(entries) {
                if !reached.contains(*name) && noted.insert(entry) {
                    let path = KeyPath::default().key(list).index(entry).key("name");
                    c.issues.push(Issue::conflict(path, what(name)).help(example()));
                }
            }
        };
    let cell_names: Vec<&str> = cells.specs.iter().map(|cell| cell.name.as_str()).collect();
    let server_names: Vec<&str> = servers.specs.iter().map(|server| server.name.as_str()).collect();
    let from_servers = reached_from(server_names.clone(), &neighbours);
    let from_cells = reached_from(cell_names.clone(), &neighbours);
    note("cells", &cell_names, &cells.entries, &from_servers, &|name| {
        format!("no path of links leads from \"{name}\" to an edge server")
    });
    note("edge_servers", &server_names, &servers.entries, &from_cells, &|name| {
        format!("no path of links leads from a cell to \"{name}\"")
    });
}

fn example() -> String {
    format!("add a link, for example: {EXAMPLE}")
}
