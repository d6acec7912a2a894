//! The flows that are being transmitted, and the rates that they have at the moment: the plain way, which shares out all
//! rates anew whenever a flow comes or goes. `reached_flows` gives the same rates for less work.

use super::fair_share::max_min_rates;
use super::routing::Route;
use crate::sim::{SimDuration, SimTime};
use std::sync::Arc;

/// No channel's number.
const NOWHERE: usize = usize::MAX;

/// A flow that still has bytes to send. What a change of its rate needs is one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Flow {
    /// Bits left at `since`, the last instant at which the rate or the bottleneck changed.
    remaining_bits: f64,
    since: SimTime,
    rate_bits_per_second: f64,
    bottleneck: usize,
    pub(super) finish: SimTime,
    pub route: Arc<Route>,
    pub key: u64,
    pub bytes: u64,
    pub start: SimTime,
    /// How long each channel that it has crossed was the bottleneck, up to `limited_since`.
    limited: Vec<(usize, SimDuration)>,
    /// When the present bottleneck became it.
    limited_since: SimTime,
    /// How long it has waited for a route.
    pub stalled: SimDuration,
}

impl Flow {
    /// A flow that has not been given a rate.
    pub fn new(key: u64, route: Arc<Route>, bytes: u64, start: SimTime) -> Self {
        Self {
            key,
            bytes,
            start,
            remaining_bits: bytes as f64 * 8.0,
            since: start,
            rate_bits_per_second: 0.0,
            bottleneck: NOWHERE,
            finish: SimTime::MAX,
            limited: route.channels.iter().map(|&channel| (channel, SimDuration::ZERO)).collect(),
            limited_since: start,
            stalled: SimDuration::ZERO,
            route,
        }
    }

    /// Gives the flow another route, on which it has no rate yet; it must have been settled.
    pub fn take_route(&mut self, route: Arc<Route>) {
        for &channel in &route.channels {
            if self.limited.iter().all(|(known, _)| *known != channel) {
                self.limited.push((channel, SimDuration::ZERO));
            }
        }
        self.move_bottleneck(NOWHERE);
        (self.rate_bits_per_second, self.finish) = (0.0, SimTime::MAX);
        self.route = route;
    }

    /// Ends a wait for a route.
    pub fn go_on(&mut self, now: SimTime) {
        self.stalled += now - self.since;
        self.since = now;
    }

    /// Brings `remaining_bits` up to `now`.
    #[inline]
    pub fn settle(&mut self, now: SimTime) {
        let elapsed = now - self.since;
        self.remaining_bits = (self.remaining_bits - self.rate_bits_per_second * elapsed.as_seconds()).max(0.0);
        self.since = now;
    }

    /// Brings `limited` up to `since`.
    #[inline(never)]
    fn move_bottleneck(&mut self, bottleneck: usize) {
        if let Some((_, limited)) = self.limited.iter_mut().find(|(channel, _)| *channel == self.bottleneck) {
            *limited += self.since - self.limited_since;
        }
        (self.bottleneck, self.limited_since) = (bottleneck, self.since);
    }

    /// From `now` on `bottleneck` limits the flow to `rate`. True if its finish has moved: a flow whose rate stays the same
    /// keeps it to the bit, so that transfers elsewhere in the network cannot move it.
    #[inline]
    pub fn limit(&mut self, bottleneck: usize, rate: f64, now: SimTime) -> bool {
        let (same_rate, same_bottleneck) = (rate == self.rate_bits_per_second, bottleneck == self.bottleneck);
        if same_rate && same_bottleneck {
            return false;
        }
        self.settle(now);
        if !same_bottleneck {
            self.move_bottleneck(bottleneck);
        }
        if !same_rate {
            self.rate_bits_per_second = rate;
            self.finish = now + SimDuration::from_seconds(self.remaining_bits / rate);
        }
        !same_rate
    }

    /// The channel that was the bottleneck for the longest time before the flow was settled last; the first on the route among
    /// equals.
    pub fn longest_bottleneck(&mut self) -> Option<usize> {
        self.move_bottleneck(self.bottleneck);
        let longer = |longest: (usize, SimDuration), next: (usize, SimDuration)| {
            if next.1 > longest.1 { next } else { longest }
        };
        self.limited.iter().copied().reduce(longer).map(|(channel, _)| channel)
    }
}

/// All flows in transmission. Arrivals and departures only mark the rates as stale; they are shared out again when
/// somebody asks for what comes next, so whatever happens in one instant costs one refill.
#[derive(Clone, Debug)]
pub(super) struct LiveFlows {
    capacities: Vec<f64>,
    /// In the order of admission.
    flows: Vec<Flow>,
    next_finish: Option<SimTime>,
    stale: bool,
}

impl LiveFlows {
    pub fn new(capacities: Vec<f64>) -> Self {
        Self { capacities, flows: Vec::new(), next_finish: None, stale: false }
    }

    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub fn admit(&mut self, flow: Flow) {
        // The last place, but for a flow that comes back.
        let place = self.flows.partition_point(|f| f.key < flow.key);
        self.flows.insert(place, flow);
        self.stale = true;
    }

    /// Takes the flow out, if it is here, as it was when its rate last changed.
    pub fn withdraw(&mut self, key: u64) -> Option<Flow> {
        let place = self.flows.binary_search_by_key(&key, |f| f.key).ok()?;
        self.stale = true;
        Some(self.flows.remove(place))
    }

    /// Each flow's key and route, in the order of admission.
    pub fn routes(&self) -> Vec<(u64, Arc<Route>)> {
        self.flows.iter().map(|flow| (flow.key, flow.route.clone())).collect()
    }

    /// The earliest finish, after sharing out the rates as of `now` if they are stale.
    pub fn next_finish(&mut self, now: SimTime) -> Option<SimTime> {
        if self.stale {
            self.refill(now);
        }
        self.next_finish
    }

    /// Takes out the flows that have sent everything by `now`, in the order of admission.
    pub fn retire(&mut self, now: SimTime) -> Vec<Flow> {
        let mut finished: Vec<Flow> = self.flows.extract_if(.., |f| f.finish <= now).collect();
        finished.iter_mut().for_each(|f| f.settle(now));
        self.stale |= !finished.is_empty();
        finished
    }

    fn refill(&mut self, now: SimTime) {
        let channels: Vec<&[usize]> = self.flows.iter().map(|f| f.route.channels.as_slice()).collect();
        let shares = max_min_rates(&self.capacities, &channels);
        for (flow, share) in self.flows.iter_mut().zip(shares) {
            let bottleneck = share.bottleneck.expect("a live flow crosses a link");
            flow.limit(bottleneck, share.rate, now);
        }
        self.next_finish = self.flows.iter().map(|f| f.finish).min();
        self.stale = false;
    }
}
