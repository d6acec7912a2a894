//! Wired flows against exact max-min rates and fluid completion times.

use crate::tally::{Tally, json_items};
use crate::wired::play;
use deft::network::{Link, Request, RouteBy, Topology, WiredNetwork, max_min_rates};
use deft::sim::{SimDuration, SimTime};
use serde_json::Value;

/// Bytes of one unit of the golden sizes.
const UNIT_BYTES: u64 = 1_000_000;
const UNIT_BITS: f64 = 8.0 * UNIT_BYTES as f64;

pub fn fair_sharing(text: &str, tally: &mut Tally) {
    for case in &json_items(text) {
        match case["kind"].as_str().unwrap() {
            "max_min_rates" => rates(case, tally),
            "fluid_completion_times" => completion_times(case, tally),
            unknown => panic!("fair_sharing.json has an unknown kind {unknown}"),
        }
    }
}

/// "13/2" or "7".
fn fraction(value: &Value) -> f64 {
    let mut parts = value.as_str().unwrap().split('/').map(|p| p.parse::<f64>().unwrap());
    parts.next().unwrap() / parts.next().unwrap_or(1.0)
}

fn capacities(case: &Value) -> Vec<(String, f64)> {
    case["capacity"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_f64().unwrap())).collect()
}

fn link_numbers(flow: &Value, links: &[(String, f64)]) -> Vec<usize> {
    let names = flow["links"].as_array().unwrap();
    names.iter().map(|n| links.iter().position(|(name, _)| n == name).unwrap()).collect()
}

/// A flow's own limit is a link that it has to itself.
fn rates(case: &Value, tally: &mut Tally) {
    let links = capacities(case);
    let mut rates: Vec<f64> = links.iter().map(|(_, rate)| *rate).collect();
    let (mut flows, mut expected) = (Vec::new(), Vec::new());
    for (name, flow) in case["flows"].as_object().unwrap() {
        let mut crossed = link_numbers(flow, &links);
        if let Some(limit) = flow["limit"].as_f64() {
            crossed.push(rates.len());
            rates.push(limit);
        }
        flows.push(crossed);
        expected.push(fraction(&case["rates"][name]));
    }
    let flows: Vec<&[usize]> = flows.iter().map(Vec::as_slice).collect();
    let found: Vec<f64> = max_min_rates(&rates, &flows).iter().map(|s| s.rate).collect();
    for (found, expected) in found.into_iter().zip(expected) {
        tally.exact("rate", found, expected);
    }
}

/// The golden links in a chain; a job's own limit is a private link in front of it.
fn completion_times(case: &Value, tally: &mut Tally) {
    let links = capacities(case);
    let node = |n: usize| format!("n{n}");
    let link = |from: &str, to: &str, rate: f64| Link::new(from, to, rate * UNIT_BITS, SimDuration::ZERO);
    let mut builder = Topology::builder().host(&node(0));
    for (n, (name, rate)) in links.iter().enumerate() {
        builder = builder.host(&node(n + 1)).link(link(&node(n), &node(n + 1), *rate).named(name));
    }
    let mut ends = Vec::new();
    for (name, job) in case["jobs"].as_object().unwrap() {
        let crossed = link_numbers(job, &links);
        let (first, last) = (*crossed.iter().min().unwrap(), *crossed.iter().max().unwrap());
        assert_eq!(last - first + 1, crossed.len(), "golden jobs cross neighbouring links");
        let mut source = node(first);
        if let Some(limit) = job["limit"].as_f64() {
            builder = builder.host(name).link(link(name, &source, limit));
            source = name.clone();
        }
        ends.push((name.clone(), source, node(last + 1), job));
    }
    let mut network = WiredNetwork::new(builder.build().unwrap(), RouteBy::Hops);
    let host = |network: &WiredNetwork, name: &str| network.topology().host(name).unwrap();
    let arrivals: Vec<(SimTime, Request)> = ends
        .iter()
        .map(|(_, from, to, job)| {
            let bytes = job["size"].as_u64().unwrap() * UNIT_BYTES;
            let request = Request { from: host(&network, from), to: host(&network, to), bytes };
            (SimTime::from_seconds(job["arrival"].as_f64().unwrap()), request)
        })
        .collect();
    for (report, (name, ..)) in play(&mut network, &arrivals).iter().zip(&ends) {
        let expected = SimTime::from_seconds(fraction(&case["completion"][name])).as_nanos();
        // Two roundings to whole nanoseconds.
        tally.check(name, report.end.as_nanos() as f64, expected as f64, 2.0);
    }
}
