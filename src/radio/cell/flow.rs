//! Flow fidelity: transfers as fluid that share the band equally, with rates that change only at arrivals, departures
//! and coherence-block boundaries. Between changes the integration is exact.
//!
//! Who comes or withdraws changes the rates a nanosecond later: a round in which a thousand terminals start at one
//! instant then costs one reallocation, not a thousand.

use super::carrier::{Allocation, Carrier};
use super::config::CellConfig;
use super::site::Site;
use super::{Direction, LinkId, LinkLayer, Outcome, TransferReport, TransferRequest};
use crate::radio::fading::FadingModel;
use crate::radio::link_adaptation::TARGET_BLER;
use crate::radio::link_budget::LinkBudget;
use crate::sim::{FluidModel, SimDuration, SimTime};
use std::collections::BTreeMap;

/// A cell whose transfers share resource blocks in equal parts per direction (round robin in the fluid limit).
#[derive(Debug)]
pub struct FlowCell {
    site: Site,
    /// Requests that the next reallocation admits.
    arriving: BTreeMap<u64, (SimTime, TransferRequest)>,
    /// By key, that is in order of admission.
    flows: BTreeMap<u64, Flow>,
    next_key: u64,
    clock: SimTime,
    /// When a flow ends or rates change, if nobody comes or goes.
    next: Option<SimTime>,
}

#[derive(Debug)]
struct Flow {
    request: TransferRequest,
    start: SimTime,
    budget: LinkBudget,
    remaining_bits: f64,
    now: Allocation,
    /// When the last bit arrives, or when the cell gives up.
    ends: SimTime,
    outage_since: Option<SimTime>,
    totals: Totals,
}

/// Integrals over the life of a flow.
#[derive(Debug, Default)]
struct Totals {
    share_seconds: f64,
    snr_db_seconds: f64,
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
        Self { site, arriving: BTreeMap::new(), flows: BTreeMap::new(), next_key: 0, clock: SimTime::ZERO, next: None }
    }

    pub fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    /// Transfers under way in `direction`.
    pub fn active(&self, direction: Direction) -> usize {
        let arriving = self.arriving.values().map(|(_, request)| request);
        self.flows.values().map(|f| &f.request).chain(arriving).filter(|r| r.direction == direction).count()
    }

    /// The part of the band of each uplink transfer, by link; `None` where they share equally.
    fn uplink_subbands(&self) -> Option<BTreeMap<LinkId, f64>> {
        let requests = self.flows.values().map(|f| &f.request).chain(self.arriving.values().map(|(_, r)| r));
        let uplink = requests.filter(|r| r.direction == Direction::Uplink);
        uplink.map(|r| Some((r.link, self.site.links[r.link.0].uplink_reservation?))).collect()
    }

    /// Lets bits flow at the present rates until `to`, at or before the next change.
    fn integrate(&mut self, to: SimTime) {
        let seconds = (to - self.clock).as_seconds();
        self.clock = self.clock.max(to);
        if seconds > 0.0 {
            for flow in self.flows.values_mut() {
                flow.integrate(seconds, self.site.carrier.time_share(flow.request.direction));
            }
        }
    }

    /// Rates, ends and the next change for the present set of flows and the present coherence block.
    fn reallocate(&mut self) {
        let fading = self.site.carrier.config().fading;
        let block = fading.block_at(self.clock);
        let share = |flows: usize| 1.0 / flows as f64;
        let uplink_share = share(self.active(Direction::Uplink));
        let downlink_share = share(self.active(Direction::Downlink));
        let subbands = self.uplink_subbands().unwrap_or_default();
        let share = |request: &TransferRequest| match request.direction {
            Direction::Uplink => subbands.get(&request.link).copied().unwrap_or(uplink_share),
            Direction::Downlink => downlink_share,
        };
        for (key, (start, request)) in std::mem::take(&mut self.arriving) {
            let (allocation, budget) = self.site.rate_now(self.clock, request.link, request.direction, share(&request));
            self.flows.insert(key, Flow::new(start, request, allocation, budget));
        }
        let mut next = None;
        let mut varies = false;
        for flow in self.flows.values_mut() {
            let link = &mut self.site.links[flow.request.link.0];
            let direction = flow.request.direction;
            let channel = link.channel_in_block(block, &fading, &self.site.surroundings);
            let allocation = self.site.carrier.allocate(&channel, &link.ue, direction, share(&flow.request));
            flow.set(allocation, self.clock, self.site.carrier.config());
            next = earliest(next, flow.ends);
            varies |= fading.model != FadingModel::None || link.trajectory.is_mobile();
        }
        if varies {
            next = earliest(next, fading.block_start(block + 1));
        }
        self.next = next;
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
    fn new(start: SimTime, request: TransferRequest, now: Allocation, budget: LinkBudget) -> Self {
        let remaining_bits = request.bytes as f64 * 8.0;
        let (ends, totals) = (SimTime::MAX, Totals::default());
        Self { request, start, budget, remaining_bits, now, ends, outage_since: None, totals }
    }

    fn integrate(&mut self, seconds: f64, time_share: f64) {
        let (now, totals) = (&self.now, &mut self.totals);
        totals.share_seconds += now.share * seconds;
        totals.snr_db_seconds += now.snr_db * seconds;
        if let Some(mcs) = now.mcs {
            totals.active_seconds += seconds;
            totals.mcs_seconds += f64::from(mcs) * seconds;
            totals.layer_seconds += f64::from(now.layers) * seconds;
            totals.used_seconds += now.used_share * seconds;
            if self.request.direction == Direction::Uplink {
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
            if !unchanged {
                self.ends = clock + SimDuration::from_seconds(self.remaining_bits / allocation.rate_bps);
            }
        }
    }

    /// The report of a flow that has ended by itself.
    fn report(self, end: SimTime, carrier: &Carrier) -> TransferReport {
        let failed = self.now.mcs.is_none() && self.remaining_bits > 0.0;
        let undelivered_bytes = self.undelivered_bytes();
        let outcome = if failed { Outcome::Outage { undelivered_bytes } } else { Outcome::Delivered };
        self.summed_up(end, carrier, outcome)
    }

    /// The report of a flow that ends before its time.
    fn withdraw(self, end: SimTime, carrier: &Carrier) -> TransferReport {
        let undelivered_bytes = self.undelivered_bytes();
        self.summed_up(end, carrier, Outcome::Withdrawn { undelivered_bytes })
    }

    fn undelivered_bytes(&self) -> u64 {
        ((self.remaining_bits / 8.0).ceil() as u64).min(self.request.bytes)
    }

    fn summed_up(self, end: SimTime, carrier: &Carrier, outcome: Outcome) -> TransferReport {
        let delivered = match outcome {
            Outcome::Delivered => self.request.bytes,
            Outcome::Outage { undelivered_bytes } | Outcome::Withdrawn { undelivered_bytes } => {
                self.request.bytes - undelivered_bytes
            }
        };
        let seconds = (end - self.start).as_seconds();
        let time_share = carrier.time_share(self.request.direction);
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
            layers: while_sending(t.layer_seconds),
            resource_blocks: while_sending(t.used_seconds * f64::from(carrier.resource_blocks)),
            // What goodput assumes of every block, and of every repetition.
            block_error_rate: sent.then_some(TARGET_BLER),
            transmissions: sent.then_some(1.0 / (1.0 - TARGET_BLER)),
            on_air_s: Some(t.active_seconds * time_share),
            outage_s: Some(t.outage_seconds),
        };
        TransferReport {
            link: self.request.link,
            direction: self.request.direction,
            bytes: self.request.bytes,
            start: self.start,
            end,
            outcome,
            mean_rate_bps: delivered as f64 * 8.0 / seconds,
            mean_share: mean(t.share_seconds, self.now.share),
            mean_snr_db: mean(t.snr_db_seconds, self.now.snr_db),
            mean_mcs,
            budget: self.budget,
            link_layer,
            on_air_seconds: t.active_seconds * time_share,
            outage_seconds: t.outage_seconds,
            tx_energy_joules: t.joules,
            blocks: None,
        }
    }
}

impl FluidModel for FlowCell {
    type Request = TransferRequest;
    type Report = TransferReport;

    fn start(&mut self, now: SimTime, request: TransferRequest) -> u64 {
        self.integrate(now);
        let key = self.next_key;
        self.next_key += 1;
        self.arriving.insert(key, (now, request));
        self.reallocate_soon();
        key
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<TransferReport> {
        self.integrate(now);
        let flow = self.flows.remove(&key);
        if flow.is_some() || self.arriving.remove(&key).is_some() {
            self.reallocate_soon();
        }
        let flow = flow?;
        Some(flow.withdraw(now, &self.site.carrier))
    }

    fn next_event(&self) -> Option<SimTime> {
        self.next
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, TransferReport)> {
        let mut finished = Vec::new();
        while let Some(change) = self.next.filter(|change| *change <= now) {
            self.integrate(change);
            let ended: Vec<u64> = self.flows.iter().filter(|(_, f)| f.ends <= change).map(|(key, _)| *key).collect();
            for key in ended {
                if let Some(flow) = self.flows.remove(&key) {
                    finished.push((key, flow.report(change, &self.site.carrier)));
                }
            }
            self.reallocate();
        }
        self.integrate(now);
        finished
    }
}
