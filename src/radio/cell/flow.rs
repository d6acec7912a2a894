//! Flow fidelity: transfers as fluid that share the band equally, with rates that change only at arrivals, departures
//! and coherence-block boundaries. Between changes the integration is exact.
//!
//! Who comes or withdraws changes the rates a nanosecond later: a round in which a thousand terminals start at one
//! instant then costs one reallocation, not a thousand.
//!
//! What of a rate is lost to the link layer is either assumed, a tenth, or expected (`link_layer`).

mod link_layer;

use super::carrier::{Allocation, Carrier, Reach};
use super::config::CellConfig;
use super::link::Channel;
use super::site::Site;
use super::slot::{ExpectedLinkLayer, SlotConfig};
use super::{Direction, LinkId, LinkLayer, Outcome, TransferReport, TransferRequest};
use crate::radio::error::RadioError;
use crate::radio::link_adaptation::TARGET_BLER;
use crate::radio::link_budget::LinkBudget;
use crate::sim::{FluidModel, SimDuration, SimTime};
use link_layer::Played;
use std::collections::BTreeMap;

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
    /// `None`: blocks fail as [`TARGET_BLER`] says, whatever the link.
    link_layer: Option<Box<ExpectedLinkLayer>>,
    /// Transfers whose last blocks are being repeated, with when they get through.
    settling: Vec<(SimTime, u64, Box<TransferReport>)>,
    /// Requests that wait for their first slot, with when it begins.
    waiting: Vec<(SimTime, u64, SimTime, TransferRequest)>,
}

/// What every change of the cell looks at. The rest lies elsewhere: in a large scenario a cell is cold when its turn comes,
/// and what it costs is what it reads.
#[derive(Debug)]
struct Flow {
    key: u64,
    reach: Reach,
    now: Allocation,
    remaining_bits: f64,
    /// When the last bit arrives, or when the cell gives up.
    ends: SimTime,
    outage_since: Option<SimTime>,
    /// Whether its channel can change while it lasts.
    varies: bool,
    totals: Totals,
    terms: Box<Terms>,
    played: Option<Box<Played>>,
}

/// What is looked at when a flow comes, when its channel changes and when it goes.
#[derive(Debug)]
struct Terms {
    request: TransferRequest,
    start: SimTime,
    budget: LinkBudget,
    /// The channel for which the flow's `reach` holds.
    channel: Channel,
}

/// Integrals over the life of a flow.
#[derive(Debug, Default)]
struct Totals {
    share_seconds: f64,
    snr_db_seconds: f64,
    effective_snr_db_seconds: f64,
    mcs_seconds: f64,
    layer_seconds: f64,
    /// Part of the band in use times time.
    used_seconds: f64,
    active_seconds: f64,
    outage_seconds: f64,
    joules: f64,
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

impl Flow {
    /// A flow that begins in coherence block `block` on `share` of the band.
    fn admitted(
        (key, start, request): (u64, SimTime, TransferRequest),
        share: f64,
        (block, fades): (u64, bool),
        site: &mut Site,
    ) -> Self {
        let (link, carrier) = (&mut site.links[request.link.0], &site.carrier);
        let channel = link.channel_in_block(block, &carrier.config().fading, &site.surroundings);
        let reach = carrier.reach(&channel, &link.ue, request.direction);
        let now = carrier.allocate_within(&reach, channel.selectivity.as_deref(), share);
        let budget = carrier.budget(&channel, &link.ue, request.direction, now.used_share);
        Self {
            key,
            reach,
            now,
            remaining_bits: request.bytes as f64 * 8.0,
            ends: SimTime::MAX,
            outage_since: None,
            varies: fades || link.trajectory.is_mobile(),
            totals: Totals::default(),
            terms: Box::new(Terms { request, start, budget, channel }),
            played: None,
        }
    }

    fn integrate(&mut self, seconds: f64, time_share: f64) {
        let (now, totals) = (&self.now, &mut self.totals);
        if let Some(played) = &mut self.played {
            played.integrate(seconds);
        }
        totals.share_seconds += now.share * seconds;
        totals.snr_db_seconds += now.snr_db * seconds;
        if let Some(mcs) = now.mcs {
            totals.active_seconds += seconds;
            totals.mcs_seconds += f64::from(mcs) * seconds;
            totals.effective_snr_db_seconds += now.effective_snr_db * seconds;
            totals.layer_seconds += f64::from(now.layers) * seconds;
            totals.used_seconds += now.used_share * seconds;
            if self.reach.direction == Direction::Uplink {
                totals.joules += now.tx_power_watts * time_share * seconds;
            }
            self.remaining_bits = (self.remaining_bits - now.rate_bps * seconds).max(0.0);
        } else {
            totals.outage_seconds += seconds;
        }
    }

    fn set(&mut self, allocation: Allocation, clock: SimTime, config: &CellConfig) {
        // The end of a flow whose rate stays is kept, so that rounding to nanoseconds does not add up.
        let unchanged = allocation.rate_bps == self.now.rate_bps && self.ends != SimTime::MAX;
        self.now = allocation;
        if self.remaining_bits <= 0.0 {
            self.ends = clock;
        } else if allocation.mcs.is_none() {
            self.ends = *self.outage_since.get_or_insert(clock) + config.outage_limit;
        } else {
            self.outage_since = None;
            if allocation.rate_bps <= 0.0 {
                self.ends = SimTime::MAX;
            } else if !unchanged {
                self.ends = clock + SimDuration::from_seconds(self.remaining_bits / allocation.rate_bps);
            }
        }
    }

    /// The report of a flow that has ended by itself.
    fn report(self, end: SimTime, carrier: &Carrier) -> Box<TransferReport> {
        let failed = self.now.mcs.is_none() && self.remaining_bits > 0.0;
        let undelivered_bytes = self.undelivered_bytes();
        let outcome = if failed { Outcome::Outage { undelivered_bytes } } else { Outcome::Delivered };
        self.summed_up(end, carrier, outcome)
    }

    /// The report of a flow that ends before its time.
    fn withdraw(self, end: SimTime, carrier: &Carrier) -> Box<TransferReport> {
        let undelivered_bytes = self.undelivered_bytes();
        self.summed_up(end, carrier, Outcome::Withdrawn { undelivered_bytes })
    }

    fn undelivered_bytes(&self) -> u64 {
        ((self.remaining_bits / 8.0).ceil() as u64).min(self.terms.request.bytes)
    }

    fn summed_up(self, end: SimTime, carrier: &Carrier, outcome: Outcome) -> Box<TransferReport> {
        let Terms { request, start, budget, channel } = *self.terms;
        let delivered = match outcome {
            Outcome::Delivered => request.bytes,
            Outcome::Outage { undelivered_bytes } | Outcome::Withdrawn { undelivered_bytes } => {
                request.bytes - undelivered_bytes
            }
        };
        let seconds = (end - start).as_seconds();
        let time_share = carrier.time_share(request.direction);
        let t = &self.totals;
        let served = t.active_seconds + t.outage_seconds;
        // An empty transfer ends when it is admitted.
        let mean = |integral: f64, if_instant: f64| if served > 0.0 { integral / served } else { if_instant };
        let mean_mcs =
            if t.active_seconds > 0.0 { Some(t.mcs_seconds / t.active_seconds) } else { self.now.mcs.map(f64::from) };
        let sent = t.active_seconds > 0.0;
        let while_sending = |integral: f64| sent.then(|| integral / t.active_seconds);
        let link_layer = LinkLayer {
            cqi: None,
            effective_snr_db: while_sending(t.effective_snr_db_seconds).filter(|_| channel.selectivity.is_some()),
            layers: while_sending(t.layer_seconds),
            resource_blocks: while_sending(t.used_seconds * f64::from(carrier.resource_blocks)),
            // What goodput assumes of every block, and of every repetition.
            block_error_rate: sent.then_some(TARGET_BLER),
            transmissions: sent.then_some(1.0 / (1.0 - TARGET_BLER)),
            on_air_s: Some(t.active_seconds * time_share),
            outage_s: Some(t.outage_seconds),
        };
        let (link_layer, mean_mcs) = match &self.played {
            None => (link_layer, mean_mcs),
            Some(played) => {
                let (means, mcs) = played.means(link_layer);
                (means, mcs.or(mean_mcs))
            }
        };
        Box::new(TransferReport {
            link: request.link,
            direction: request.direction,
            bytes: request.bytes,
            start,
            end,
            outcome,
            mean_rate_bps: delivered as f64 * 8.0 / seconds,
            mean_share: mean(t.share_seconds, self.now.share),
            mean_snr_db: mean(t.snr_db_seconds, self.now.snr_db),
            mean_mcs,
            budget,
            link_layer,
            on_air_seconds: t.active_seconds * time_share,
            outage_seconds: t.outage_seconds,
            tx_energy_joules: t.joules,
            blocks: None,
        })
    }
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
