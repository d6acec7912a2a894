//! A flow whose rate follows from the link layer in expectation: reports that are late for a fade, blocks that fail and are
//! sent again, and an outer loop that learns from both.

use super::transfer::Flow;
use crate::radio::cell::carrier::Allocation;
use crate::radio::cell::link::Channel;
use crate::radio::cell::site::Site;
use crate::radio::cell::slot::{Expectation, ExpectedLinkLayer, LinkState};
use crate::radio::cell::{Direction, LinkLayer};
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};

/// For how long a flow is looked at whose channel never changes: ample for its outer loop to settle.
const SETTLED: SimDuration = SimDuration::from_nanos(2_000_000_000);

/// What a flow's link layer does until something changes.
#[derive(Debug)]
pub(super) struct Played {
    /// The coherence blocks of the channel and of the last report, with what holds there.
    present: (u64, Channel),
    reported: (u64, Channel),
    began: SimTime,
    /// When the channel or what is known of it changes.
    pub until: SimTime,
    now: Expectation,
    /// When it began, and at `looked_until`.
    before: LinkState,
    state: LinkState,
    looked_until: SimTime,
    /// Decides which first transmissions fail.
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
    /// In blocks per occasion to send one.
    blocks: f64,
    failed: f64,
}

fn way(direction: Direction) -> usize {
    usize::from(direction == Direction::Uplink)
}

impl Flow {
    /// What the flow gets on `share` of the band from `clock` on. Stands until the share changes, or the channel or what is known of it.
    pub(super) fn play(
        &mut self,
        layer: &mut ExpectedLinkLayer,
        site: &mut Site,
        clock: SimTime,
        share: f64,
    ) -> Allocation {
        if self.played.as_ref().is_some_and(|p| clock < p.until && share == self.now.share) {
            return self.now;
        }
        self.catch_up(layer, site, clock);
        let fading = site.carrier.config().fading;
        let (request, direction) = (self.terms.request, self.reach.direction);
        let link = &mut site.links[request.link.0];
        let (reported_block, known_next) = layer.reported(&fading, link.phase(), clock);
        let present_block = fading.block_at(clock);
        let before = self.played.take();
        let mut channel = |block: u64| {
            let known = before.as_ref().and_then(|p| [&p.present, &p.reported].into_iter().find(|(b, _)| *b == block));
            known.cloned().unwrap_or_else(|| (block, link.channel_in_block(block, &fading, &site.surroundings)))
        };
        let reported = channel(reported_block);
        let present = channel(present_block);
        let until = if self.varies { fading.block_start(present_block + 1).min(known_next) } else { clock + SETTLED };
        let (draws, state, totals) = match before {
            Some(p) => (p.draws, p.state, p.totals),
            None => (link.next_draws(), LinkState::of(link.outer_loop_db[way(direction)]), Totals::default()),
        };
        let (ue, mut after) = (link.ue, state.clone());
        let channels = (&present.1, &reported.1);
        let drawn = draws.child(clock.as_nanos());
        let now = layer.over(site, (&ue, direction), channels, (share, clock, until), &mut after, &drawn);
        let (began, before, state) = (clock, state, after);
        let looked_until = until;
        let played = Played { present, reported, began, until, looked_until, now, before, state, draws, totals };
        self.played = Some(Box::new(played));
        now.allocation(site, (&ue, direction), share)
    }

    /// Brings what the outer loop has learnt and what is on its way from the end of the interval back to `clock`.
    fn catch_up(&mut self, layer: &mut ExpectedLinkLayer, site: &Site, clock: SimTime) {
        let Some(p) = &mut self.played else { return };
        if clock < p.looked_until {
            p.state.clone_from(&p.before);
            let to = (&site.links[self.terms.request.link.0].ue, self.reach.direction);
            let (channels, drawn) = ((&p.present.1, &p.reported.1), p.draws.child(p.began.as_nanos()));
            layer.over(site, to, channels, (self.now.share, p.began, clock), &mut p.state, &drawn);
            p.looked_until = clock;
        }
    }

    /// Hands on to the link what its outer loop has learnt by `clock`.
    pub(super) fn leave(&mut self, layer: &mut ExpectedLinkLayer, site: &mut Site, clock: SimTime) {
        self.catch_up(layer, site, clock);
        if let Some(p) = &self.played {
            site.links[self.terms.request.link.0].outer_loop_db[way(self.reach.direction)] = p.state.outer_loop_db;
        }
    }

    /// The end of a flow all of whose bits are on the air at `clock`: when they have got through, repetitions included.
    pub(super) fn settle(&mut self, layer: &mut ExpectedLinkLayer, site: &mut Site, clock: SimTime) -> SimTime {
        self.catch_up(layer, site, clock);
        let (link, direction) = (self.terms.request.link.0, self.reach.direction);
        let tail = self.played.as_mut().map_or(SimDuration::ZERO, |p| {
            let (to, channels) = ((&site.links[link].ue, direction), (&p.present.1, &p.reported.1));
            layer.settle(site, to, channels, self.now.share, &mut p.state)
        });
        self.leave(layer, site, clock);
        layer.end_of_slot(clock, direction) + tail
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
            t.blocks += now.new_blocks * seconds;
            t.failed += now.error_rate * now.new_blocks * seconds;
        }
    }

    /// The means, where anything was sent; the mean scheme apart.
    pub fn means(&self, rest: LinkLayer) -> (LinkLayer, Option<f64>) {
        let t = &self.totals;
        let mean = |sum: f64| (t.seconds > 0.0).then(|| sum / t.seconds);
        let layer = LinkLayer {
            cqi: mean(t.cqi),
            layers: mean(t.layers),
            block_error_rate: (t.blocks > 0.0).then(|| t.failed / t.blocks),
            transmissions: (t.blocks > 0.0).then(|| t.seconds / t.blocks),
            ..rest
        };
        (layer, mean(t.mcs))
    }
}
