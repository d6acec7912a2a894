//! Flow fidelity: transfers as fluid that share the band equally, with rates that change only at arrivals, departures
//! and coherence-block boundaries. Between changes the integration is exact.
//!
//! Who comes or withdraws changes the rates a nanosecond later: a round in which a thousand terminals start at one
//! instant then costs one reallocation, not a thousand.
//!
//! What of a rate is lost to the link layer is either assumed, a tenth, or expected (`link_layer`).

mod link_layer;
mod transfer;

use super::carrier::Allocation;
use super::site::Site;
use super::slot::{ExpectedLinkLayer, SlotConfig};
use super::{Direction, LinkId, Outcome, TransferReport, TransferRequest};
use crate::radio::error::RadioError;
use crate::sim::{FluidModel, SimDuration, SimTime};
use std::collections::BTreeMap;
use transfer::{Flow, Terms};

/// A cell whose transfers share resource blocks in equal parts per direction (round robin in the fluid limit).
#[derive(Debug)]
pub struct FlowCell {
    site: Site,
    /// Requests that the next reallocation admits, by rising key.
    arriving: Vec<(u64, SimTime, TransferRequest)>,
    /// By rising key, that is in order of admission.
    flows: Vec<Flow>,
    next_key: u64,
    clock: SimTime,
    /// When a flow ends or rates change, if nobody comes or goes.
    next: Option<SimTime>,
    /// `None`: blocks fail as `TARGET_BLER` says, whatever the link.
    link_layer: Option<Box<ExpectedLinkLayer>>,
    /// Transfers whose last blocks are being repeated, with when they get through.
    settling: Vec<(SimTime, u64, Box<TransferReport>)>,
    /// Requests that wait for their first slot, with when it begins.
    waiting: Vec<(SimTime, u64, SimTime, TransferRequest)>,
}

impl FlowCell {
    /// The cell of a base station, without transfers.
    pub fn new(site: Site) -> Self {
        Self {
            site,
            arriving: vec![],
            flows: vec![],
            next_key: 0,
            clock: SimTime::ZERO,
            next: None,
            link_layer: None,
            settling: vec![],
            waiting: vec![],
        }
    }

    /// The same with the errors, repetitions and late reports that slots of `config` would have under round robin.
    ///
    /// # Errors
    /// [`SlotConfig::validate`]'s.
    pub fn with_link_layer(site: Site, config: SlotConfig) -> Result<Self, RadioError> {
        let link_layer = Some(Box::new(ExpectedLinkLayer::new(&site, config)?));
        Ok(Self { link_layer, ..Self::new(site) })
    }

    pub fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    /// What a transfer would get if its fading stood at its mean.
    pub fn typical_allocation(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> Allocation {
        match &mut self.link_layer {
            None => self.site.typical_allocation(now, link, direction, share),
            Some(layer) => layer.typical_allocation(&mut self.site, now, link, direction, share),
        }
    }

    /// Transfers under way in `direction`.
    pub fn active(&self, direction: Direction) -> usize {
        let arriving = self.arriving.iter().map(|(_, _, request)| request.direction);
        self.flows.iter().map(|f| f.reach.direction).chain(arriving).filter(|d| *d == direction).count()
    }

    /// The part of the band of each uplink transfer, by link; `None` where they share equally.
    fn uplink_subbands(&self) -> Option<BTreeMap<LinkId, f64>> {
        if self.site.reservations == 0 {
            return None;
        }
        let requests = self.flows.iter().map(|f| &f.terms.request).chain(self.arriving.iter().map(|(_, _, r)| r));
        let uplink = requests.filter(|r| r.direction == Direction::Uplink);
        uplink.map(|r| Some((r.link, self.site.links[r.link.0].uplink_reservation?))).collect()
    }

    /// Lets bits flow at the present rates until `to`, at or before the next change.
    fn integrate(&mut self, to: SimTime) {
        let seconds = (to - self.clock).as_seconds();
        self.clock = self.clock.max(to);
        if seconds > 0.0 {
            for flow in &mut self.flows {
                flow.integrate(seconds, self.site.carrier.time_share(flow.reach.direction));
            }
        }
    }

    /// Rates, ends and the next change for the present set of flows and the present coherence block.
    fn reallocate(&mut self) {
        let begun = self.waiting.extract_if(.., |(begins, ..)| *begins <= self.clock);
        self.arriving.extend(begun.map(|(_, key, asked, request)| (key, asked, request)));
        let fading = self.site.carrier.config().fading;
        let block = fading.block_at(self.clock);
        let share = |flows: usize| 1.0 / flows as f64;
        let uplink_share = share(self.active(Direction::Uplink));
        let downlink_share = share(self.active(Direction::Downlink));
        let subbands = self.uplink_subbands();
        let own_share = |link: LinkId| subbands.as_ref().and_then(|shares| shares.get(&link)).copied();
        let share = |direction: Direction, link: &dyn Fn() -> LinkId| match direction {
            Direction::Uplink if subbands.is_some() => own_share(link()).unwrap_or(uplink_share),
            Direction::Uplink => uplink_share,
            Direction::Downlink => downlink_share,
        };
        // Who is disturbed by a neighbour's traffic looks again in every block.
        let fades = self.site.channels_vary();
        for (key, start, request) in self.arriving.drain(..) {
            let share = share(request.direction, &|| request.link);
            self.flows.push(Flow::admitted((key, start, request), share, (block, fades), &mut self.site));
        }
        let (mut next, mut varies) = (None, false);
        for flow in &mut self.flows {
            let share = share(flow.reach.direction, &|| flow.terms.request.link);
            if let Some(layer) = &mut self.link_layer {
                let allocation = flow.play(layer, &mut self.site, self.clock, share);
                flow.set(allocation, self.clock, self.site.carrier.config());
                let changes = flow.played.as_ref().map_or(SimTime::MAX, |p| p.until);
                next = earliest(next, flow.ends.min(changes));
                continue;
            }
            let carrier = &self.site.carrier;
            let (mut stands, mut selectivity) = (true, None);
            if flow.varies {
                let Terms { request, channel, .. } = &mut *flow.terms;
                let link = &mut self.site.links[request.link.0];
                let present = link.channel_in_block(block, &fading, &self.site.surroundings);
                stands = present == *channel;
                if !stands {
                    flow.reach = carrier.reach(&present, &link.ue, request.direction);
                    *channel = present;
                }
                selectivity = channel.selectivity.as_deref();
                varies = true;
            }
            // What somebody gets depends on the channel and on the share: most changes leave most flows both.
            let keeps = stands && share == flow.now.share;
            let allocation = if keeps { flow.now } else { carrier.allocate_within(&flow.reach, selectivity, share) };
            flow.set(allocation, self.clock, carrier.config());
            next = earliest(next, flow.ends);
        }
        if varies {
            next = earliest(next, fading.block_start(block + 1));
        }
        let beginning = self.waiting.iter().map(|(begins, ..)| *begins);
        let sends = self.flows.iter().any(|flow| flow.reach.direction == Direction::Downlink);
        self.site.carrier.config().sending.set(sends);
        let later = self.settling.iter().map(|(ends, ..)| *ends).chain(beginning).min();
        self.next = later.map_or(next, |later| earliest(next, later));
    }

    /// Rates are due for a change that came from outside.
    fn reallocate_soon(&mut self) {
        self.next = earliest(self.next, self.clock + SimDuration::from_nanos(1));
    }
}

fn earliest(a: Option<SimTime>, b: SimTime) -> Option<SimTime> {
    Some(a.map_or(b, |a| a.min(b)))
}

impl FluidModel for FlowCell {
    type Request = TransferRequest;
    type Report = Box<TransferReport>;

    fn start(&mut self, now: SimTime, request: TransferRequest) -> u64 {
        self.integrate(now);
        let key = self.next_key;
        self.next_key += 1;
        match &self.link_layer {
            None => {
                self.arriving.push((key, now, request));
                self.reallocate_soon();
            }
            Some(layer) => {
                let begins = layer.first_slot(now, request.direction);
                self.waiting.push((begins, key, now, request));
                self.next = earliest(self.next, begins);
            }
        }
        key
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<Box<TransferReport>> {
        self.integrate(now);
        self.waiting.retain(|(_, waiting, ..)| *waiting != key);
        if let Some(at) = self.settling.iter().position(|(_, settling, _)| *settling == key) {
            let (.., report) = self.settling.remove(at);
            let (end, outcome) = (now, Outcome::Withdrawn { undelivered_bytes: 0 });
            return Some(Box::new(TransferReport { end, outcome, ..*report }));
        }
        let arriving = self.arriving.iter().position(|(arriving, ..)| *arriving == key);
        if let Some(at) = arriving {
            self.arriving.remove(at);
            self.reallocate_soon();
        }
        let at = self.flows.binary_search_by_key(&key, |flow| flow.key).ok()?;
        let mut flow = self.flows.remove(at);
        if let Some(layer) = &mut self.link_layer {
            flow.leave(layer, &mut self.site, now);
        }
        self.reallocate_soon();
        Some(flow.withdraw(now, &self.site.carrier))
    }

    fn next_event(&self) -> Option<SimTime> {
        self.next
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, Box<TransferReport>)> {
        let mut finished = Vec::new();
        while let Some(change) = self.next.filter(|change| *change <= now) {
            self.integrate(change);
            let before = finished.len();
            for mut flow in self.flows.extract_if(.., |flow| flow.ends <= change) {
                let end = match &mut self.link_layer {
                    Some(layer) if flow.now.mcs.is_some() => flow.settle(layer, &mut self.site, change),
                    Some(layer) => {
                        flow.leave(layer, &mut self.site, change);
                        change
                    }
                    None => change,
                };
                let (key, report) = (flow.key, flow.report(end, &self.site.carrier));
                match end > change {
                    true => self.settling.push((end, key, report)),
                    false => finished.push((key, report)),
                }
            }
            let settled = self.settling.extract_if(.., |(end, ..)| *end <= change);
            finished.extend(settled.map(|(_, key, report)| (key, report)));
            finished[before..].sort_by_key(|(key, _)| *key);
            self.reallocate();
        }
        self.integrate(now);
        finished
    }
}
