//! Flow fidelity: transfers as fluid that share the band equally, with rates that change only at arrivals, departures
//! and coherence-block boundaries. Between changes the integration is exact.
//!
//! Who comes or withdraws changes the rates a nanosecond later: a round in which a thousand terminals start at one
//! instant then costs one reallocation, not a thousand.

use super::carrier::{Allocation, Carrier};
use super::config::{CellConfig, UeRadio};
use super::link::{Channel, Link};
use super::propagation::Propagation;
use super::{AnalogLink, Direction, LinkId, LinkLayer, Outcome, TransferReport, TransferRequest};
use crate::radio::aircomp::{AirInterface, ChannelState};
use crate::radio::error::RadioError;
use crate::radio::fading::{FadingModel, LinkFading};
use crate::radio::link_adaptation::TARGET_BLER;
use crate::radio::link_budget::LinkBudget;
use crate::radio::mobility::Trajectory;
use crate::radio::numerology::SUBCARRIERS_PER_RESOURCE_BLOCK;
use crate::radio::units::{db_to_linear, dbm_to_watts};
use crate::random::Streams;
use crate::sim::{FluidModel, SimDuration, SimTime};
use std::collections::BTreeMap;

/// A cell whose transfers share resource blocks in equal parts per direction (round robin in the fluid limit).
#[derive(Debug)]
pub struct FlowCell {
    name: String,
    streams: Streams,
    carrier: Carrier,
    surroundings: Propagation,
    links: Vec<Link>,
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
    /// An empty cell. Its draws depend on `streams`, on `name` and on the names of its links, on nothing else.
    ///
    /// # Errors
    /// Whatever [`CellConfig::validate`], the path-loss name or the band refuse.
    pub fn new(name: &str, config: CellConfig, streams: &Streams) -> Result<Self, RadioError> {
        let surroundings = Propagation::new(&config, name, streams)?;
        Ok(Self {
            name: name.to_owned(),
            streams: *streams,
            carrier: Carrier::new(config)?,
            surroundings,
            links: Vec::new(),
            arriving: BTreeMap::new(),
            flows: BTreeMap::new(),
            next_key: 0,
            clock: SimTime::ZERO,
            next: None,
        })
    }

    /// Connects a terminal. `name` decides its fading: links of one cell need different names to fade differently.
    pub fn attach(&mut self, name: &str, ue: UeRadio, trajectory: Trajectory) -> LinkId {
        let stream = self.streams.counter(&format!("{}/{name}", self.name), "fading");
        let fading = LinkFading::new(&stream, self.carrier.config().fading.doppler_hz);
        self.links.push(Link::new(ue, trajectory, fading, stream));
        LinkId(self.links.len() - 1)
    }

    pub fn config(&self) -> &CellConfig {
        self.carrier.config()
    }

    pub fn resource_blocks(&self) -> u32 {
        self.carrier.resource_blocks
    }

    /// Transfers under way in `direction`.
    pub fn active(&self, direction: Direction) -> usize {
        let arriving = self.arriving.values().map(|(_, request)| request);
        self.flows.values().map(|f| &f.request).chain(arriving).filter(|r| r.direction == direction).count()
    }

    /// What a transfer over `link` would get at `now` on `share` of the band (0 < share <= 1), and why.
    pub fn rate_now(
        &mut self,
        now: SimTime,
        link: LinkId,
        direction: Direction,
        share: f64,
    ) -> (Allocation, LinkBudget) {
        let fading = self.carrier.config().fading;
        let link = &mut self.links[link.0];
        let channel = link.channel_in_block(fading.block_at(now), &fading, &self.surroundings);
        let allocation = self.carrier.allocate(&channel, &link.ue, direction, share);
        (allocation, self.carrier.budget(&channel, &link.ue, direction, allocation.used_share))
    }

    /// What a transfer over `link` would get on `share` of the band if its fading stood at its mean, bits per second.
    pub fn typical_rate(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> f64 {
        let fading = self.carrier.config().fading;
        let link = &mut self.links[link.0];
        let channel = link.channel_in_block(fading.block_at(now), &fading, &self.surroundings);
        let channel = super::link::Channel { fading_power: 1.0, ..channel };
        self.carrier.allocate(&channel, &link.ue, direction, share).rate_bps
    }

    /// Gives `link` a subband of its own for its uplink transfers, a `share` of the band, or takes it away. Subbands hold while
    /// everybody on the air has one; otherwise all share equally. Takes effect when rates change next.
    pub fn reserve_uplink(&mut self, link: LinkId, share: Option<f64>) {
        self.links[link.0].uplink_reservation = share;
    }

    /// The part of the band of each uplink transfer, by link; `None` where they share equally.
    fn uplink_subbands(&self) -> Option<BTreeMap<LinkId, f64>> {
        let requests = self.flows.values().map(|f| &f.request).chain(self.arriving.values().map(|(_, r)| r));
        let uplink = requests.filter(|r| r.direction == Direction::Uplink);
        uplink.map(|r| Some((r.link, self.links[r.link.0].uplink_reservation?))).collect()
    }

    /// The uplink channels at `now`, in the order of `links`, as over-the-air aggregation sees them.
    pub fn air_state(&mut self, links: &[LinkId], now: SimTime) -> Vec<ChannelState> {
        let fading = self.carrier.config().fading;
        let block = fading.block_at(now);
        let mut state = |id: &LinkId| {
            let link = &mut self.links[id.0];
            let channel = link.channel_in_block(block, &fading, &self.surroundings);
            ChannelState {
                fading_power: channel.fading_power,
                law: channel.law,
                path_gain: db_to_linear(self.carrier.coupling_gain_db(&channel, &link.ue)),
                power_watts: dbm_to_watts(link.ue.power_dbm),
            }
        };
        links.iter().map(&mut state).collect()
    }

    /// Small-scale gains (real, imaginary) of the uplinks at `now` at each of `antennas` antennas, in the order of
    /// `links`. The first is the antenna of [`FlowCell::air_state`]; the others fade independently.
    pub fn antenna_gains(&mut self, links: &[LinkId], now: SimTime, antennas: usize) -> Vec<Vec<(f64, f64)>> {
        let fading = self.carrier.config().fading;
        let block = fading.block_at(now);
        let mut gains = |id: &LinkId| {
            let link = &mut self.links[id.0];
            let law = link.channel_in_block(block, &fading, &self.surroundings).law;
            link.antenna_gains(&fading, block, law, antennas)
        };
        links.iter().map(&mut gains).collect()
    }

    /// Width of a subcarrier.
    pub fn subcarrier_hz(&self) -> f64 {
        f64::from(self.carrier.numerology.scs_khz()) * 1e3
    }

    /// The uplink's resource grid, as over-the-air aggregation uses it: the whole band.
    pub fn air_interface(&self) -> AirInterface {
        AirInterface {
            subcarriers: self.carrier.resource_blocks * SUBCARRIERS_PER_RESOURCE_BLOCK,
            symbol_seconds: self.carrier.numerology.symbol_seconds(),
            noise_watts: self.carrier.uplink_noise_watts_per_subcarrier(),
            time_share: self.carrier.time_share(Direction::Uplink),
        }
    }

    /// The link as analog symbols on `share` of the band see it from `now` on.
    pub fn analog_link(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> AnalogLink {
        let fading = self.carrier.config().fading;
        let link = &mut self.links[link.0];
        let channel = link.channel_in_block(fading.block_at(now), &fading, &self.surroundings);
        let budget = self.carrier.budget(&channel, &link.ue, direction, share);
        let subcarriers = f64::from(self.carrier.resource_blocks * SUBCARRIERS_PER_RESOURCE_BLOCK) * share;
        AnalogLink {
            snr: db_to_linear(budget.snr_db),
            tx_power_watts: if direction == Direction::Uplink { dbm_to_watts(budget.tx_power_dbm) } else { 0.0 },
            grid: AirInterface {
                subcarriers: (subcarriers as u32).max(1),
                time_share: self.carrier.time_share(direction),
                ..self.air_interface()
            },
            budget,
        }
    }

    /// What a transfer over `link` gets on `share` of the band when nothing fades, from where the terminal is now.
    pub fn mean_allocation(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> Allocation {
        let fading = self.carrier.config().fading;
        let link = &mut self.links[link.0];
        let channel = link.channel_in_block(fading.block_at(now), &fading, &self.surroundings);
        self.carrier.allocate(&Channel { fading_power: 1.0, ..channel }, &link.ue, direction, share)
    }

    /// Lets bits flow at the present rates until `to`, at or before the next change.
    fn integrate(&mut self, to: SimTime) {
        let seconds = (to - self.clock).as_seconds();
        self.clock = self.clock.max(to);
        if seconds > 0.0 {
            for flow in self.flows.values_mut() {
                flow.integrate(seconds, self.carrier.time_share(flow.request.direction));
            }
        }
    }

    /// Rates, ends and the next change for the present set of flows and the present coherence block.
    fn reallocate(&mut self) {
        let fading = self.carrier.config().fading;
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
            let (allocation, budget) = self.rate_now(self.clock, request.link, request.direction, share(&request));
            self.flows.insert(key, Flow::new(start, request, allocation, budget));
        }
        let mut next = None;
        let mut varies = false;
        for flow in self.flows.values_mut() {
            let link = &mut self.links[flow.request.link.0];
            let direction = flow.request.direction;
            let channel = link.channel_in_block(block, &fading, &self.surroundings);
            let allocation = self.carrier.allocate(&channel, &link.ue, direction, share(&flow.request));
            flow.set(allocation, self.clock, self.carrier.config());
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
        Some(flow.withdraw(now, &self.carrier))
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
                    finished.push((key, flow.report(change, &self.carrier)));
                }
            }
            self.reallocate();
        }
        self.integrate(now);
        finished
    }
}
