//! Transfers over a topology, as a fluid: exact between arrivals and departures, no packets.

use super::NetworkError;
use super::live_flows::{Flow, LiveFlows};
use super::reached_flows::ReachedFlows;
use super::routing::{Route, RouteBy, Search};
use super::topology::{NodeId, Topology};
use crate::sim::{FluidModel, SimDuration, SimTime};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A transfer to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub from: NodeId,
    pub to: NodeId,
    pub bytes: u64,
}

/// A transfer that was made, and what made it take as long as it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub start: SimTime,
    /// Arrival of the last byte: end of transmission plus `path_latency`.
    pub end: SimTime,
    pub bytes: u64,
    pub hops: usize,
    /// The link that limited the rate for the longest time; `None` where nothing had to be transmitted.
    pub bottleneck: Option<Arc<str>>,
    /// Over the time of transmission, without `path_latency`; 0 where nothing had to be transmitted.
    pub mean_rate_bits_per_second: f64,
    pub path_latency: SimDuration,
}

/// The wired network in motion.
///
/// Live flows share their links max-min fairly. A flow ends when its last byte has been sent and has then travelled the
/// route's latency. A transfer of no bytes takes the latency only, one from a host to itself no time at all.
#[derive(Clone, Debug)]
pub struct WiredNetwork {
    topology: Topology,
    route_by: RouteBy,
    routes: BTreeMap<(NodeId, NodeId), Arc<Route>>,
    /// From where a route was asked for last; who asks again will ask for many.
    asked_from: Option<NodeId>,
    /// All routes from one host.
    search: Option<(NodeId, Search)>,
    now: SimTime,
    next_key: u64,
    /// In a cell because asking for the next event is what brings stale rates up to date.
    live: RefCell<Live>,
    /// Sent completely, under way to the receiver; by arrival and key.
    travelling: BTreeMap<(SimTime, u64), Report>,
}

/// The flows in transmission, and how their rates are found.
#[derive(Clone, Debug)]
enum Live {
    Reached(Box<ReachedFlows>),
    Plain(LiveFlows),
}

/// Both ways have the same functions.
macro_rules! either {
    ($live:expr, $flows:ident => $call:expr) => {
        match $live {
            Live::Reached($flows) => $call,
            Live::Plain($flows) => $call,
        }
    };
}

impl WiredNetwork {
    pub fn new(topology: Topology, route_by: RouteBy) -> Self {
        Self::sharing(topology, route_by, |capacities| Live::Reached(Box::new(ReachedFlows::new(capacities))))
    }

    /// A network that shares out all rates anew whenever a flow comes or goes: slow and plain, to compare with.
    pub fn with_plain_refill(topology: Topology, route_by: RouteBy) -> Self {
        Self::sharing(topology, route_by, |capacities| Live::Plain(LiveFlows::new(capacities)))
    }

    fn sharing(topology: Topology, route_by: RouteBy, live: impl FnOnce(Vec<f64>) -> Live) -> Self {
        let capacities = topology.channels.iter().map(|c| c.rate_bits_per_second).collect();
        Self {
            topology,
            route_by,
            routes: BTreeMap::new(),
            asked_from: None,
            search: None,
            now: SimTime::ZERO,
            next_key: 0,
            live: RefCell::new(live(capacities)),
            travelling: BTreeMap::new(),
        }
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The route that transfers from `from` to `to` take.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`]. Ask once for every pair that a simulation uses, before it starts.
    pub fn route(&self, from: NodeId, to: NodeId) -> Result<Route, NetworkError> {
        let name = |host| self.topology.host_name(host).to_owned();
        let found = self.topology.route(from, to, self.route_by);
        found.ok_or_else(|| NetworkError::NoRoute { from: name(from), to: name(to) })
    }

    /// For each of `starts` the number of that one of `ends` whose route has the least latency, the first of equals. All of
    /// them must be within reach of each other.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`].
    pub fn nearest(&self, starts: &[NodeId], ends: &[NodeId]) -> Result<Vec<usize>, NetworkError> {
        let no_route = |from: NodeId, to: NodeId| {
            let name = |host| self.topology.host_name(host).to_owned();
            NetworkError::NoRoute { from: name(from), to: name(to) }
        };
        let Some(&first) = ends.first() else { return Ok(vec![]) };
        let mut search = Search::default();
        search.everywhere(&self.topology, first, self.route_by);
        if let Some(&island) = starts.iter().chain(ends).find(|host| !search.reaches(**host)) {
            return Err(no_route(first, island));
        }
        let nearest = self.topology.nearest(starts, ends, self.route_by).into_iter();
        starts.iter().zip(nearest).map(|(start, end)| end.ok_or_else(|| no_route(*start, first))).collect()
    }

    /// Seconds that `bytes` take from `from` to `to` where nobody else transmits.
    ///
    /// # Errors
    /// As [`WiredNetwork::route`].
    pub fn idle_seconds(&self, from: NodeId, to: NodeId, bytes: u64) -> Result<f64, NetworkError> {
        let route = self.route(from, to)?;
        let slowest = route.channels.iter().map(|&c| self.topology.channels[c].rate_bits_per_second);
        Ok(route.latency.as_seconds() + bytes as f64 * 8.0 / slowest.fold(f64::INFINITY, f64::min))
    }

    /// Number of flows that are being transmitted.
    pub fn live_flows(&self) -> usize {
        either!(&*self.live.borrow(), flows => flows.len())
    }

    fn cached_route(&mut self, from: NodeId, to: NodeId) -> Arc<Route> {
        if let Some(route) = self.routes.get(&(from, to)) {
            return Arc::clone(route);
        }
        let again = self.asked_from.replace(from) == Some(from);
        if again && self.search.as_ref().is_none_or(|(known, _)| *known != from) {
            let (_, mut search) = self.search.take().unwrap_or((from, Search::default()));
            search.everywhere(&self.topology, from, self.route_by);
            self.search = Some((from, search));
        }
        let search = self.search.as_ref().filter(|(known, _)| *known == from);
        let known = search.and_then(|(_, search)| search.route(&self.topology, to));
        let route = known.map_or_else(|| self.route(from, to), Ok).unwrap_or_else(|e| panic!("{e}"));
        let route = Arc::new(route);
        self.routes.insert((from, to), Arc::clone(&route));
        route
    }

    /// Sends the last byte of a flow on its way.
    fn dispatch(&mut self, flow: &Flow) {
        let sending_seconds = (self.now - flow.start).as_seconds();
        let report = Report {
            start: flow.start,
            end: self.now + flow.route.latency,
            bytes: flow.bytes,
            hops: flow.route.hops(),
            bottleneck: Some(Arc::clone(&self.topology.channels[flow.longest_bottleneck()].link_name)),
            mean_rate_bits_per_second: flow.bytes as f64 * 8.0 / sending_seconds,
            path_latency: flow.route.latency,
        };
        self.travelling.insert((report.end, flow.key), report);
    }
}

impl FluidModel for WiredNetwork {
    type Request = Request;
    type Report = Report;

    /// # Panics
    /// If nothing leads to the receiver, which [`WiredNetwork::route`] would have told.
    fn start(&mut self, now: SimTime, request: Request) -> u64 {
        debug_assert_eq!(now, self.now, "advance the network before starting a flow");
        let key = self.next_key;
        self.next_key += 1;
        let route = self.cached_route(request.from, request.to);
        if request.bytes > 0 && route.hops() > 0 {
            let flow = Flow::new(key, route, request.bytes, now);
            either!(self.live.get_mut(), flows => flows.admit(flow));
            return key;
        }
        let report = Report {
            start: now,
            end: now + route.latency,
            bytes: request.bytes,
            hops: route.hops(),
            bottleneck: None,
            mean_rate_bits_per_second: 0.0,
            path_latency: route.latency,
        };
        self.travelling.insert((report.end, key), report);
        key
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<Self::Report> {
        debug_assert_eq!(now, self.now, "advance the network before cancelling a flow");
        if !either!(self.live.get_mut(), flows => flows.withdraw(key)) {
            self.travelling.retain(|(_, k), _| *k != key);
        }
        None
    }

    fn next_event(&self) -> Option<SimTime> {
        let arrival = self.travelling.first_key_value().map(|((end, _), _)| *end);
        let finish = either!(&mut *self.live.borrow_mut(), flows => flows.next_finish(self.now));
        [arrival, finish].into_iter().flatten().min()
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, Report)> {
        debug_assert!(now >= self.now, "time runs forward only");
        // Stale rates have had no effect yet if no time has passed: more flows may come in this instant.
        while now > self.now || !either!(self.live.get_mut(), flows => flows.is_stale()) {
            match either!(self.live.get_mut(), flows => flows.next_finish(self.now)) {
                Some(finish) if finish <= now => {
                    self.now = finish;
                    let finished = either!(self.live.get_mut(), flows => flows.retire(finish));
                    finished.iter().for_each(|flow| self.dispatch(flow));
                }
                _ => break,
            }
        }
        self.now = now;
        if self.travelling.first_key_value().is_none_or(|((end, _), _)| *end > now) {
            return Vec::new();
        }
        let later = self.travelling.split_off(&(now, u64::MAX));
        let arrived = std::mem::replace(&mut self.travelling, later);
        arrived.into_iter().map(|((_, key), report)| (key, report)).collect()
    }
}
