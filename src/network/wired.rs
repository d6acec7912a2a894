//! Transfers over a topology, as a fluid: exact between arrivals and departures, no packets.

use super::NetworkError;
use super::failures::{Failures, Outages};
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
    /// How long nothing led to the receiver.
    pub stalled: SimDuration,
}

/// Hosts to which the way is known, from all hosts together: 6 MB.
const MOST_KNOWN: usize = 1 << 18;

/// The wired network in motion.
///
/// Live flows share their links max-min fairly. A flow ends when its last byte has been sent and has then travelled the
/// route's latency. A transfer of no bytes takes the latency only, one from a host to itself no time at all.
///
/// When a link fails or comes back, every flow that still has bytes to send takes the route that is then the best, with what
/// it has left; where nothing leads to its receiver, it waits. What has been sent arrives.
#[derive(Clone, Debug)]
pub struct WiredNetwork {
    topology: Topology,
    route_by: RouteBy,
    /// As links are now.
    routes: BTreeMap<(NodeId, NodeId), Option<Arc<Route>>>,
    /// All routes from a host, where links do not fail, once more than one was asked for.
    searches: BTreeMap<NodeId, Option<Search>>,
    failures: Failures,
    /// From where to where each flow goes, where links may fail.
    ends: BTreeMap<u64, (NodeId, NodeId)>,
    /// Flows without a route, in the order of admission.
    stranded: Vec<Flow>,
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
            searches: BTreeMap::new(),
            failures: Failures::default(),
            ends: BTreeMap::new(),
            stranded: Vec::new(),
            now: SimTime::ZERO,
            next_key: 0,
            live: RefCell::new(live(capacities)),
            travelling: BTreeMap::new(),
        }
    }

    /// The network, whose link number `link`, in the order of declaration, is out of service at times, both ways.
    #[must_use]
    pub fn failing(mut self, link: usize, outages: Outages) -> Self {
        self.failures.add(self.topology.channels_of(link).collect(), outages);
        self
    }

    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The route that transfers from `from` to `to` take while every link is up.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`]. Ask once for every pair that a simulation uses, before it starts.
    pub fn route(&self, from: NodeId, to: NodeId) -> Result<Route, NetworkError> {
        self.topology.route(from, to, self.route_by).ok_or_else(|| self.no_route(from, to))
    }

    fn no_route(&self, from: NodeId, to: NodeId) -> NetworkError {
        let name = |host| self.topology.host_name(host).to_owned();
        NetworkError::NoRoute { from: name(from), to: name(to) }
    }

    /// For each of `starts` the number of that one of `ends` whose route has the least latency, the first of equals. All of
    /// them must be within reach of each other.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`].
    pub fn nearest(&self, starts: &[NodeId], ends: &[NodeId]) -> Result<Vec<usize>, NetworkError> {
        let Some(&first) = ends.first() else { return Ok(vec![]) };
        let mut search = Search::default();
        search.everywhere(&self.topology, first, self.route_by);
        if let Some(&island) = starts.iter().chain(ends).find(|host| !search.reaches(**host)) {
            return Err(self.no_route(first, island));
        }
        let nearest = self.topology.nearest(starts, ends, self.route_by).into_iter();
        starts.iter().zip(nearest).map(|(start, end)| end.ok_or_else(|| self.no_route(*start, first))).collect()
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

    /// The best route as links are now.
    ///
    /// # Panics
    /// If nothing leads to the receiver and no link can fail.
    fn present_route(&mut self, from: NodeId, to: NodeId) -> Option<Arc<Route>> {
        if let Some(route) = self.routes.get(&(from, to)) {
            return route.clone();
        }
        let route = if self.failures.are_possible() {
            let is_down = |channel| self.failures.is_down(channel);
            self.topology.route_without(from, to, self.route_by, is_down).map(Arc::new)
        } else {
            Some(Arc::new(self.lasting_route(from, to).unwrap_or_else(|e| panic!("{e}"))))
        };
        self.routes.insert((from, to), route.clone());
        route
    }

    /// The best route where links do not fail.
    fn lasting_route(&mut self, from: NodeId, to: NodeId) -> Result<Route, NetworkError> {
        let Some(known) = self.searches.get(&from) else {
            self.searches.insert(from, None);
            return self.route(from, to);
        };
        if let Some(search) = known {
            return search.route(&self.topology, to).ok_or_else(|| self.no_route(from, to));
        }
        // Who asks again will ask for many.
        if self.searches.len() * self.topology.graph.node_count() > MOST_KNOWN {
            self.searches.clear();
        }
        let mut search = Search::default();
        search.everywhere(&self.topology, from, self.route_by);
        let route = search.route(&self.topology, to).ok_or_else(|| self.no_route(from, to));
        self.searches.insert(from, Some(search));
        route
    }

    fn send_until(&mut self, now: SimTime) {
        // Stale rates have had no effect yet if no time has passed: more flows may come in this instant.
        while now > self.now || !either!(self.live.get_mut(), flows => flows.is_stale()) {
            match either!(self.live.get_mut(), flows => flows.next_finish(self.now)) {
                Some(finish) if finish <= now => {
                    self.now = finish;
                    let finished = either!(self.live.get_mut(), flows => flows.retire(finish));
                    finished.into_iter().for_each(|flow| self.dispatch(flow));
                }
                _ => break,
            }
        }
        self.now = now;
    }

    /// Starts a flow, or starts it again.
    fn admit(&mut self, flow: Flow) {
        if flow.bytes > 0 && flow.route.hops() > 0 {
            either!(self.live.get_mut(), flows => flows.admit(flow));
        } else {
            self.dispatch(flow);
        }
    }

    /// A link has failed or come back: everybody who still sends looks for a route anew.
    fn reroute(&mut self) {
        let now = self.now;
        self.failures.pass(now);
        self.routes.clear();
        let mut moved = vec![];
        for (key, before) in either!(self.live.get_mut(), flows => flows.routes()) {
            let (from, to) = self.ends[&key];
            if self.present_route(from, to).is_some_and(|route| route.channels == before.channels) {
                continue;
            }
            let mut flow = either!(self.live.get_mut(), flows => flows.withdraw(key)).expect("it was listed");
            flow.settle(now);
            moved.push(flow);
        }
        for mut flow in std::mem::take(&mut self.stranded) {
            flow.go_on(now);
            moved.push(flow);
        }
        moved.sort_unstable_by_key(|flow| flow.key);
        for mut flow in moved {
            let (from, to) = self.ends[&flow.key];
            match self.present_route(from, to) {
                Some(route) => {
                    flow.take_route(route);
                    self.admit(flow);
                }
                None => {
                    flow.take_route(Arc::default());
                    self.stranded.push(flow);
                }
            }
        }
    }

    /// Sends the last byte of a flow on its way.
    fn dispatch(&mut self, mut flow: Flow) {
        self.ends.remove(&flow.key);
        let sent = flow.bytes > 0 && flow.route.hops() > 0;
        let sending_seconds = (self.now - flow.start).as_seconds();
        let bottleneck = flow.longest_bottleneck().filter(|_| sent);
        let report = Report {
            start: flow.start,
            end: self.now + flow.route.latency,
            bytes: flow.bytes,
            hops: flow.route.hops(),
            bottleneck: bottleneck.map(|channel| Arc::clone(&self.topology.channels[channel].link_name)),
            mean_rate_bits_per_second: if sent { flow.bytes as f64 * 8.0 / sending_seconds } else { 0.0 },
            path_latency: flow.route.latency,
            stalled: flow.stalled,
        };
        self.travelling.insert((report.end, flow.key), report);
    }
}

impl FluidModel for WiredNetwork {
    type Request = Request;
    type Report = Report;

    /// # Panics
    /// If nothing leads to the receiver even when every link is up, which [`WiredNetwork::route`] would have told.
    fn start(&mut self, now: SimTime, request: Request) -> u64 {
        debug_assert_eq!(now, self.now, "advance the network before starting a flow");
        let key = self.next_key;
        self.next_key += 1;
        if self.failures.are_possible() {
            self.ends.insert(key, (request.from, request.to));
        }
        match self.present_route(request.from, request.to) {
            Some(route) => self.admit(Flow::new(key, route, request.bytes, now)),
            None => self.stranded.push(Flow::new(key, Arc::default(), request.bytes, now)),
        }
        key
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<Self::Report> {
        debug_assert_eq!(now, self.now, "advance the network before cancelling a flow");
        self.ends.remove(&key);
        if either!(self.live.get_mut(), flows => flows.withdraw(key)).is_none() {
            self.travelling.retain(|(_, k), _| *k != key);
            self.stranded.retain(|flow| flow.key != key);
        }
        None
    }

    fn next_event(&self) -> Option<SimTime> {
        let arrival = self.travelling.first_key_value().map(|((end, _), _)| *end);
        let finish = either!(&mut *self.live.borrow_mut(), flows => flows.next_finish(self.now));
        // Links that fail while nobody sends concern nobody.
        let sending = self.live_flows() + self.stranded.len() > 0;
        let change = self.failures.next_change().filter(|_| sending);
        [arrival, finish, change].into_iter().flatten().min()
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, Report)> {
        debug_assert!(now >= self.now, "time runs forward only");
        while let Some(change) = self.failures.next_change().filter(|change| *change <= now) {
            self.send_until(change);
            self.reroute();
        }
        self.send_until(now);
        if self.travelling.first_key_value().is_none_or(|((end, _), _)| *end > now) {
            return Vec::new();
        }
        let later = self.travelling.split_off(&(now, u64::MAX));
        let arrived = std::mem::replace(&mut self.travelling, later);
        arrived.into_iter().map(|((_, key), report)| (key, report)).collect()
    }
}
