//! One transfer of the flow model: what it has left, when it ends, and the report that it becomes.

use super::link_layer::Played;
use crate::radio::cell::carrier::{Allocation, Carrier, Reach};
use crate::radio::cell::config::CellConfig;
use crate::radio::cell::link::Channel;
use crate::radio::cell::site::Site;
use crate::radio::cell::{Direction, LinkLayer, Outcome, TransferReport, TransferRequest};
use crate::radio::link_adaptation::TARGET_BLER;
use crate::radio::link_budget::LinkBudget;
use crate::sim::{SimDuration, SimTime};

/// What every change of the cell looks at. The rest lies elsewhere: in a large scenario a cell is cold when its turn comes,
/// and what it costs is what it reads.
#[derive(Debug)]
pub(super) struct Flow {
    pub key: u64,
    pub reach: Reach,
    pub now: Allocation,
    pub remaining_bits: f64,
    /// When the last bit arrives, or when the cell gives up.
    pub ends: SimTime,
    pub outage_since: Option<SimTime>,
    /// Whether its channel can change while it lasts.
    pub varies: bool,
    pub totals: Totals,
    pub terms: Box<Terms>,
    pub played: Option<Box<Played>>,
}

/// What is looked at when a flow comes, when its channel changes and when it goes.
#[derive(Debug)]
pub(super) struct Terms {
    pub request: TransferRequest,
    pub start: SimTime,
    pub budget: LinkBudget,
    /// The channel for which the flow's `reach` holds.
    pub channel: Channel,
}

/// Integrals over the life of a flow.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub share_seconds: f64,
    pub snr_db_seconds: f64,
    pub effective_snr_db_seconds: f64,
    pub mcs_seconds: f64,
    pub layer_seconds: f64,
    /// Part of the band in use times time.
    pub used_seconds: f64,
    pub active_seconds: f64,
    pub outage_seconds: f64,
    pub joules: f64,
}

impl Flow {
    /// A flow that begins in coherence block `block` on `share` of the band.
    pub fn admitted(
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

    pub fn integrate(&mut self, seconds: f64, time_share: f64) {
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

    pub fn set(&mut self, allocation: Allocation, clock: SimTime, config: &CellConfig) {
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
    pub fn report(self, end: SimTime, carrier: &Carrier) -> Box<TransferReport> {
        let failed = self.now.mcs.is_none() && self.remaining_bits > 0.0;
        let undelivered_bytes = self.undelivered_bytes();
        let outcome = if failed { Outcome::Outage { undelivered_bytes } } else { Outcome::Delivered };
        self.summed_up(end, carrier, outcome)
    }

    /// The report of a flow that ends before its time.
    pub fn withdraw(self, end: SimTime, carrier: &Carrier) -> Box<TransferReport> {
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
