//! A flow whose rate follows from the link layer in expectation: reports that are late for a fade, blocks that fail and are
//! sent again, and an outer loop that learns from both.

use super::{Allocation, Flow};
use crate::radio::cell::link::Channel;
use crate::radio::cell::site::Site;
use crate::radio::cell::slot::{Expectation, ExpectedLinkLayer};
use crate::radio::cell::{Direction, LinkLayer};
use crate::radio::units::dbm_to_watts;
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};

/// For how long a flow is looked at whose channel never changes: ample for its outer loop to settle.
const SETTLED_S: f64 = 2.0;

/// What a flow's link layer does until something changes.
#[derive(Debug)]
pub(super) struct Played {
    /// The coherence blocks of the channel and of the last report, with what holds there.
    present: (u64, Channel),
    reported: (u64, Channel),
    began: SimTime,
    seconds: f64,
    outer_loop_db: f64,
    now: Expectation,
    /// Decides which first transmissions fail, for the outer loop.
    draws: CounterStream,
    totals: Totals,
}

/// Integrals over the time with a usable scheme.
#[derive(Debug, Default)]
struct Totals {
    seconds: f64,
    cqi: f64,
    mcs: f64,
    layers: f64,
    error_rate: f64,
    transmissions: f64,
}

fn way(direction: Direction) -> usize {
    usize::from(direction == Direction::Uplink)
}

/// When the channel or what is known of it changes next after `clock`.
pub(super) fn next_change(layer: &ExpectedLinkLayer, site: &Site, clock: SimTime) -> SimTime {
    let fading = site.carrier.config().fading;
    let reported = reported_block(layer, site, clock);
    fading.block_start(fading.block_at(clock) + 1).min(fading.block_start(reported + 1) + layer.late)
}

fn reported_block(layer: &ExpectedLinkLayer, site: &Site, clock: SimTime) -> u64 {
    let measured = SimTime::from_nanos(clock.as_nanos().saturating_sub(layer.late.as_nanos()));
    site.carrier.config().fading.block_at(measured)
}

impl Flow {
    /// What the flow gets on `share` of the band from `clock` until `next`.
    pub(super) fn play(
        &mut self,
        layer: &mut ExpectedLinkLayer,
        site: &mut Site,
        (clock, next): (SimTime, SimTime),
        share: f64,
    ) -> Allocation {
        let fading = site.carrier.config().fading;
        let (request, direction) = (self.terms.request, self.reach.direction);
        let blocks = (fading.block_at(clock), reported_block(layer, site, clock));
        let link = &mut site.links[request.link.0];
        let before = self.played.take();
        let mut channel = |block: u64| {
            let known = before.as_ref().and_then(|p| [&p.present, &p.reported].into_iter().find(|(b, _)| *b == block));
            known.cloned().unwrap_or_else(|| (block, link.channel_in_block(block, &fading, &site.surroundings)))
        };
        let reported = channel(blocks.1);
        let present = channel(blocks.0);
        let draws = before.as_ref().map_or_else(|| link.next_draws(), |p| p.draws);
        let (ue, outer_loop_db) = (link.ue, link.outer_loop_db[way(direction)]);
        let seconds = if self.varies { (next - clock).as_seconds() } else { SETTLED_S };
        let unheard_db = before.as_ref().map_or_else(Default::default, |p| p.now.unheard_db);
        let walked = (outer_loop_db, unheard_db, seconds);
        let drawn = draws.child(clock.as_nanos());
        let now = layer.over(site, (&ue, direction), (&present.1, &reported.1), share, walked, &drawn);
        let totals = before.map(|p| p.totals).unwrap_or_default();
        self.played =
            Some(Box::new(Played { present, reported, began: clock, seconds, outer_loop_db, now, draws, totals }));
        let full_watts = match direction {
            Direction::Uplink => dbm_to_watts(ue.power_dbm) * now.power_part,
            Direction::Downlink => dbm_to_watts(site.carrier.config().radio.gnb_power_dbm) * now.used_share,
        };
        Allocation {
            share,
            used_share: now.used_share,
            snr_db: now.snr_db,
            effective_snr_db: now.effective_snr_db,
            mcs: now.usable.then_some(now.mcs.round() as u32),
            layers: now.layers.round() as u32,
            rate_bps: now.rate_bps,
            tx_power_watts: full_watts,
        }
    }

    /// When what was complete at `clock` has got through, repetitions included.
    pub(super) fn settled(&self, layer: &ExpectedLinkLayer, clock: SimTime) -> SimTime {
        let tail_s = self.played.as_ref().map_or(0.0, |p| p.now.tail_s);
        layer.end_of_slot(clock, self.reach.direction) + SimDuration::from_seconds(tail_s)
    }

    /// Hands on to the link what its outer loop has learnt by `clock`.
    pub(super) fn learn(&self, site: &mut Site, clock: SimTime) {
        if let Some(p) = &self.played {
            let part = ((clock - p.began).as_seconds() / p.seconds).clamp(0.0, 1.0);
            let learnt_db = p.outer_loop_db + (p.now.outer_loop_db - p.outer_loop_db) * part;
            site.links[self.terms.request.link.0].outer_loop_db[way(self.reach.direction)] = learnt_db;
        }
    }
}

impl Played {
    pub fn integrate(&mut self, seconds: f64) {
        let (t, now) = (&mut self.totals, &self.now);
        if now.usable {
            t.seconds += seconds;
            t.cqi += f64::from(now.cqi) * seconds;
            t.mcs += now.mcs * seconds;
            t.layers += now.layers * seconds;
            t.error_rate += now.error_rate * seconds;
            t.transmissions += now.transmissions * seconds;
        }
    }

    /// The means, where anything was sent; the mean scheme apart.
    pub fn means(&self, rest: LinkLayer) -> (LinkLayer, Option<f64>) {
        let t = &self.totals;
        let mean = |sum: f64| (t.seconds > 0.0).then(|| sum / t.seconds);
        let layer = LinkLayer {
            cqi: mean(t.cqi),
            layers: mean(t.layers),
            block_error_rate: mean(t.error_rate),
            transmissions: mean(t.transmissions),
            ..rest
        };
        (layer, mean(t.mcs))
    }
}
