//! One transfer under per-slot scheduling: what is left to send, what the scheduler knows, what the blocks came to.

mod report;

use super::air::{Air, Format, Knowledge};
use super::config::SlotConfig;
use super::ladder::Offered;
use super::timing::Timing;
use crate::radio::cell::site::Site;
use crate::radio::cell::{Direction, TransferRequest};
use crate::radio::harq::{Processes, Waiting};
use crate::radio::link_budget::LinkBudget;
use crate::radio::scheduling::Use;
use crate::radio::selectivity::Selectivity;
use crate::radio::units::{db_to_linear, dbm_to_watts, linear_to_db};
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};
use std::collections::VecDeque;
use std::rc::Rc;

/// Bounds of what the outer loop may learn.
pub(super) const OUTER_LOOP_DB: (f64, f64) = (-15.0, 15.0);

/// The slot being played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub number: u64,
    pub symbols: u32,
    pub start: SimTime,
    /// The coherence block in which it begins.
    pub coherence_block: u64,
}

/// A transport block on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    payload_bits: u64,
    format: Format,
}

#[derive(Debug)]
pub(super) struct SlotTransfer {
    pub key: u64,
    pub request: TransferRequest,
    pub start: SimTime,
    pub air: usize,
    budget: LinkBudget,
    draws: CounterStream,
    max_power_watts: f64,
    /// Not yet on the air, or given up by HARQ.
    pub unsent_bits: u64,
    decoded_bits: u64,
    /// Bits decoded in slot `.0`, which may not have ended.
    fresh: (u64, u64),
    /// The channel of coherence block `.0`.
    channel: (u64, Offered),
    /// What the shape of its response costs; `None` where the band is flat.
    selectivity: Option<Rc<Selectivity>>,
    /// Resource blocks of the last grant.
    granted: u32,
    /// What a measurement of that tells.
    measured: Option<Knowledge>,
    varies: bool,
    pub known: Knowledge,
    reports: VecDeque<(u64, Knowledge)>,
    next_measurement: u64,
    processes: Processes<Sent>,
    pub served_slot: Option<u64>,
    pub average_bits: f64,
    pub slot_bits: f64,
    outage_since: Option<SimTime>,
    gave_up: bool,
    totals: Totals,
}

#[derive(Clone, Debug, Default)]
struct Totals {
    slots: u64,
    granted_blocks: u64,
    transmissions: u64,
    used_blocks: u64,
    failed_blocks: u64,
    first: u64,
    given_up: u64,
    cqi: u64,
    layers: u64,
    mcs: u64,
    snr_db: f64,
    effective_snr_db: f64,
    on_air_seconds: f64,
    outage_seconds: f64,
    joules: f64,
}

impl SlotTransfer {
    /// A transfer that is there when `slot` begins.
    pub fn new(
        (key, start, request): (u64, SimTime, TransferRequest),
        (slot, share): (u64, f64),
        site: &mut Site,
        (air, number): (&Air, usize),
        config: &SlotConfig,
        timing: &Timing,
    ) -> Self {
        let fading = site.carrier.config().fading;
        let (_, budget) = site.rate_now(timing.start(slot), request.link, request.direction, share);
        let fades = site.channels_vary();
        let link = &mut site.links[request.link.0];
        let varies = fades || link.trajectory.is_mobile();
        let phase = link.phase();
        let draws = link.next_draws();
        let max_power_watts = dbm_to_watts(link.ue.power_dbm);
        // The last report that is known by now; before the first one, the channel at the start.
        let (measured, next_measurement) = timing.measurements(slot.saturating_sub(timing.delay), phase);
        let block = |slot: u64| fading.block_at(timing.start(slot));
        let granted = ((share * f64::from(site.carrier.resource_blocks)) as u32).max(1);
        let known = measured_over(air, offered(site, &request, block(measured)), granted);
        let (present, selectivity) = offered(site, &request, block(slot));
        let channel = (block(slot), present);
        let bits = request.bytes * 8;
        Self {
            key,
            request,
            start,
            air: number,
            budget,
            draws,
            max_power_watts,
            unsent_bits: bits,
            decoded_bits: 0,
            fresh: (0, 0),
            channel,
            selectivity,
            granted,
            varies,
            known,
            reports: VecDeque::with_capacity((timing.delay / timing.period) as usize + 2),
            next_measurement,
            processes: Processes::new(config.harq_processes as usize, u64::from(config.harq_round_trip_slots)),
            measured: None,
            served_slot: None,
            average_bits: 0.0,
            slot_bits: 0.0,
            outage_since: None,
            gave_up: false,
            totals: Totals::default(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.decoded_bits == self.request.bytes * 8
    }

    /// Whether it is over, one way or the other.
    pub fn ends(&self) -> bool {
        self.is_done() || self.gave_up
    }

    /// Bits that a block of a grant of `blocks` is expected to carry now.
    pub fn expected_bits(&self, air: &Air, outer_loop_db: f64, blocks: u32, symbols: u32) -> f64 {
        let snr_db = self.known.offered.on(air.ladder.concentration_db(blocks)) + outer_loop_db;
        air.ladder.at(snr_db).map_or(0.0, |step| air.expected_bits(step, symbols))
    }

    /// Brings channel and reports up to the slot.
    pub fn observe(&mut self, slot: &Slot, site: &mut Site, air: &Air, timing: &Timing) {
        if !self.varies {
            return;
        }
        let fading = site.carrier.config().fading;
        let block = slot.coherence_block;
        // After a pause only the last reports matter.
        let horizon = slot.number.saturating_sub(timing.delay + timing.period);
        if self.next_measurement < horizon {
            self.next_measurement += (horizon - self.next_measurement) / timing.period * timing.period;
        }
        while self.next_measurement <= slot.number {
            let measured_block = fading.block_at(timing.start(self.next_measurement));
            self.tune(measured_block, site);
            let now = || measured_over(air, (self.channel.1, self.selectivity.clone()), self.granted);
            let known = *self.measured.get_or_insert_with(now);
            self.reports.push_back((self.next_measurement + timing.delay, known));
            self.next_measurement += timing.period;
        }
        self.tune(block, site);
        while self.reports.front().is_some_and(|(usable, _)| *usable <= slot.number) {
            self.known = self.reports.pop_front().map_or(self.known, |(_, known)| known);
        }
    }

    /// Brings the channel to a coherence block.
    fn tune(&mut self, block: u64, site: &mut Site) {
        if block != self.channel.0 {
            let (present, selectivity) = offered(site, &self.request, block);
            (self.channel, self.selectivity) = ((block, present), selectivity);
            self.measured = None;
        }
    }

    /// Takes in the acknowledgements and refusals that have arrived, and gives up what failed too often.
    pub fn hear(&mut self, slot: &Slot, outer_loop_db: &mut f64, config: &SlotConfig) {
        while let Some(informative) = self.processes.take_acknowledged(slot.number) {
            if informative {
                let up_db = config.outer_loop_step_db * config.target_bler / (1.0 - config.target_bler);
                *outer_loop_db = (*outer_loop_db + up_db).min(OUTER_LOOP_DB.1);
            }
        }
        while self.processes.due(slot.number).is_some_and(|w| w.transmissions >= config.max_transmissions) {
            if let Some(waiting) = self.processes.take_due(slot.number) {
                learn_of_failure(&waiting, outer_loop_db, config);
                self.totals.given_up += 1;
                self.unsent_bits += waiting.block.payload_bits;
            }
        }
    }

    /// Whether it could send a new block in this slot.
    pub fn is_ready(&self, slot: &Slot) -> bool {
        self.unsent_bits > 0 && self.served_slot != Some(slot.number) && self.processes.has_free() && self.known.usable
    }

    /// Notes whether any scheme works; true once none has for `limit`.
    pub fn watch_outage(&mut self, slot: &Slot, limit: SimDuration) -> bool {
        if self.known.usable {
            self.close_outage(slot.start);
            return false;
        }
        let since = *self.outage_since.get_or_insert(slot.start);
        self.gave_up = slot.start >= since + limit;
        self.gave_up
    }

    pub fn outage_ends_at(&self, limit: SimDuration) -> Option<SimTime> {
        self.outage_since.map(|since| since + limit)
    }

    fn close_outage(&mut self, now: SimTime) {
        if let Some(since) = self.outage_since.take() {
            self.totals.outage_seconds += (now - since).as_seconds();
        }
    }

    /// Blocks that the due repetition needs in this slot, if one is due.
    pub fn repetition_blocks(&self, slot: &Slot) -> Option<u32> {
        let format = &self.processes.due(slot.number)?.block.format;
        Some((format.blocks * format.symbols).div_ceil(slot.symbols))
    }

    /// Sends the due block again on `blocks`.
    pub fn repeat(&mut self, slot: &Slot, air: &Air, blocks: u32, config: &SlotConfig, outer_loop_db: &mut f64) {
        if let Some(waiting) = self.processes.take_due(slot.number) {
            learn_of_failure(&waiting, outer_loop_db, config);
            self.totals.granted_blocks += u64::from(blocks);
            self.transmit(slot, air, blocks, waiting, config);
        }
    }

    /// Sends a new block on at most `granted` resource blocks.
    pub fn send(&mut self, slot: &Slot, air: &Air, granted: u32, config: &SlotConfig, outer_loop_db: f64) -> Use {
        self.granted = granted;
        let (step, mut blocks) = air.choose(&self.known, outer_loop_db, granted);
        let mut format = air.format(step, blocks, slot.symbols);
        if format.bits == 0 {
            // Too few symbols for the smallest block.
            return Use { blocks: 0, satisfied: false };
        }
        let satisfied = format.bits >= self.unsent_bits;
        if satisfied && format.bits > self.unsent_bits {
            let fewer = (u64::from(blocks) * self.unsent_bits).div_ceil(format.bits) as u32;
            blocks = fewer.clamp(1, blocks);
            format = air.format(step, blocks, slot.symbols);
            while format.bits < self.unsent_bits {
                blocks += 1;
                format = air.format(step, blocks, slot.symbols);
            }
        }
        let payload_bits = format.bits.min(self.unsent_bits);
        self.unsent_bits -= payload_bits;
        self.totals.first += 1;
        self.totals.granted_blocks += u64::from(granted);
        let block = Sent { payload_bits, format };
        let waiting = Waiting { due: slot.number, transmissions: 0, effective_snr: 0.0, block };
        self.transmit(slot, air, blocks, waiting, config);
        Use { blocks, satisfied }
    }

    fn transmit(&mut self, slot: &Slot, air: &Air, blocks: u32, waiting: Waiting<Sent>, config: &SlotConfig) {
        let Waiting { transmissions, effective_snr, block, .. } = waiting;
        let Sent { payload_bits, format, .. } = block;
        let snr_db = self.channel.1.on(air.ladder.concentration_db(blocks));
        let layers_db = air.ladder.steps[format.step].layers_db;
        let layer_db = air.effective_db(format.step, snr_db - layers_db, self.selectivity.as_deref());
        // The first transmission needs no combining and no logarithm.
        let first = transmissions == 0;
        let together =
            if first { layer_db } else { linear_to_db(config.combining.after(effective_snr, db_to_linear(layer_db))) };
        let fails = air.fails(&format, together, self.draws.uniform(slot.number));
        if fails {
            let effective = if first { db_to_linear(layer_db) } else { db_to_linear(together) };
            self.processes.failed(slot.number, transmissions + 1, effective, block);
            if first {
                self.totals.failed_blocks += 1;
            }
        } else {
            // An estimate that has reached the highest scheme cannot be proven too low.
            let informative = first && format.step + 1 < air.ladder.steps.len();
            self.processes.succeeded(slot.number, informative);
            self.decoded_bits += payload_bits;
            self.fresh = (slot.number, payload_bits);
            self.slot_bits = payload_bits as f64;
        }
        let seconds = f64::from(slot.symbols) * air.symbol_seconds;
        self.served_slot = Some(slot.number);
        let totals = &mut self.totals;
        totals.transmissions += 1;
        totals.used_blocks += u64::from(blocks);
        totals.cqi += u64::from(self.known.cqi);
        totals.layers += u64::from(air.ladder.steps[format.step].layers);
        totals.mcs += u64::from(air.ladder.steps[format.step].scheme.index);
        totals.snr_db += snr_db;
        totals.effective_snr_db += layer_db + layers_db;
        totals.on_air_seconds += seconds;
        if air.direction == Direction::Uplink {
            totals.joules += self.max_power_watts * air.power_part(&self.channel.1, blocks) * seconds;
        }
    }

    /// The scheduler dealt blocks in this slot while the transfer was there.
    pub fn note_slot(&mut self) {
        self.totals.slots += 1;
    }

    /// The first slot after `slot` in which something may have changed for a transfer that could not send, if any.
    pub fn wakes(&self, slot: &Slot, timing: &Timing) -> Option<u64> {
        let report = || self.reports.front().map_or(self.next_measurement + timing.delay, |(usable, _)| *usable);
        let report = self.varies.then(report);
        report.into_iter().chain(self.processes.next_due()).min().map(|due| due.max(slot.number + 1))
    }
}

/// A first transmission that failed lowers the estimate.
fn learn_of_failure(waiting: &Waiting<Sent>, outer_loop_db: &mut f64, config: &SlotConfig) {
    if waiting.transmissions == 1 {
        *outer_loop_db = (*outer_loop_db - config.outer_loop_step_db).max(OUTER_LOOP_DB.0);
    }
}

/// What the link offers in a coherence block, and what the shape of its response costs.
fn offered(site: &mut Site, request: &TransferRequest, block: u64) -> (Offered, Option<Rc<Selectivity>>) {
    let fading = site.carrier.config().fading;
    let link = &mut site.links[request.link.0];
    let channel = link.channel_in_block(block, &fading, &site.surroundings);
    let (full_band_db, ceiling_db) = site.carrier.reach_db(&channel, &link.ue, request.direction);
    (Offered { full_band_db, ceiling_db }, channel.selectivity)
}

fn measured_over(air: &Air, (offered, selectivity): (Offered, Option<Rc<Selectivity>>), granted: u32) -> Knowledge {
    selectivity.map_or_else(|| air.measured(offered), |shape| air.measured_over(offered, &shape, granted))
}
