//! The link layer of slots in expectation, for a model that plays none: which schemes slots would pick under round robin, how
//! often their blocks would fail and be sent again, and what the outer loop would learn from that.
//!
//! [`ExpectedLinkLayer::over`] is what a link gets over an interval with one channel and one state of knowledge (`walk.rs`).
//! `fidelity: slot` is what this is compared with (`tests/fidelities.rs`).

mod walk;

pub(in crate::radio::cell) use walk::LinkState;

use super::SlotConfig;
use super::air::Air;
use super::ladder::Offered;
use super::timing::Timing;
use crate::radio::cell::config::UeRadio;
use crate::radio::cell::link::Channel;
use crate::radio::cell::site::Site;
use crate::radio::cell::{Allocation, Direction, LinkId};
use crate::radio::error::RadioError;
use crate::radio::fading::Fading;
use crate::radio::numerology::SYMBOLS_PER_SLOT;
use crate::radio::units::dbm_to_watts;
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};
use std::ops::Range;
use walk::{Link, SlotKind, Sums};

/// Slots that a plan looks at, in steps of so many: those after an outer loop has settled.
const PLANNED_SLOTS: Range<u64> = 320..3_200;
const PLANNED_STEP: usize = 80;
/// What fails there: the same in all plans, so that they differ by their links alone.
const PLANNING: CounterStream = CounterStream::new(0, 0);

/// What all links of a cell have in common.
#[derive(Debug)]
pub(in crate::radio::cell) struct ExpectedLinkLayer {
    config: SlotConfig,
    airs: Vec<Air>,
    timing: Timing,
    /// Of downlink and uplink.
    kinds: [[SlotKind; 2]; 2],
}

/// What a link gets over an interval; means are over transmissions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::radio::cell) struct Expectation {
    /// Whether the scheduler believes that anything works.
    pub usable: bool,
    pub rate_bps: f64,
    /// Part of the band in use.
    pub used_share: f64,
    pub snr_db: f64,
    pub effective_snr_db: f64,
    pub cqi: u32,
    pub mcs: f64,
    pub layers: f64,
    /// Of first transmissions.
    pub error_rate: f64,
    /// Share of transmissions that are a block's first.
    pub new_blocks: f64,
    /// Of the terminal's power, while on the air.
    pub power_part: f64,
}

impl Expectation {
    pub fn allocation(&self, site: &Site, (ue, direction): (&UeRadio, Direction), share: f64) -> Allocation {
        let tx_power_watts = match direction {
            Direction::Uplink => dbm_to_watts(ue.power_dbm) * self.power_part,
            Direction::Downlink => dbm_to_watts(site.carrier.config().radio.gnb_power_dbm) * self.used_share,
        };
        Allocation {
            share,
            used_share: self.used_share,
            snr_db: self.snr_db,
            effective_snr_db: self.effective_snr_db,
            mcs: self.usable.then_some(self.mcs.round() as u32),
            layers: self.layers.round() as u32,
            rate_bps: self.rate_bps,
            tx_power_watts,
        }
    }
}

impl ExpectedLinkLayer {
    /// # Errors
    /// [`SlotConfig::validate`]'s.
    pub fn new(site: &Site, config: SlotConfig) -> Result<Self, RadioError> {
        config.validate()?;
        let timing = Timing::new(site, &config);
        let kinds = super::DIRECTIONS.map(|direction| kinds(&config, direction));
        Ok(Self { config, airs: vec![], timing, kinds })
    }

    /// When the first slot of `direction` begins that a request at `now` can use.
    pub fn first_slot(&self, now: SimTime, direction: Direction) -> SimTime {
        self.timing.start(self.config.frame.next_slot(self.slot_at(now) + 1, direction))
    }

    /// When the slot of `direction` ends whose bits are complete at `now`.
    pub fn end_of_slot(&self, now: SimTime, direction: Direction) -> SimTime {
        let within = SimTime::from_nanos(now.as_nanos().saturating_sub(1));
        self.timing.start(self.config.frame.next_slot(self.slot_at(within), direction) + 1)
    }

    /// The coherence block of the last report known at `now` of a link whose reports have this `phase`, and when one of the next
    /// block will be.
    pub fn reported(&self, fading: &Fading, phase: u64, now: SimTime) -> (u64, SimTime) {
        let Timing { period, delay, .. } = self.timing;
        let (measured, _) = self.timing.measurements(self.slot_at(now).saturating_sub(delay), phase);
        let block = fading.block_at(self.timing.start(measured));
        let begins = fading.block_start(block + 1).as_nanos().div_ceil(self.slot_nanos());
        let next = begins + (phase % period + period - begins % period) % period;
        (block, self.timing.start(next.saturating_add(delay)))
    }

    fn slot_nanos(&self) -> u64 {
        self.timing.slot.as_nanos()
    }

    fn slot_at(&self, now: SimTime) -> u64 {
        now.as_nanos() / self.slot_nanos()
    }

    /// What `ue` gets on `share` of the band from `began` to `until`, over a channel of which an earlier one was `reported`. At the end
    /// `state` is as they leave it.
    pub fn over(
        &mut self,
        site: &Site,
        to: (&UeRadio, Direction),
        channels: (&Channel, &Channel),
        (share, began, until): (f64, SimTime, SimTime),
        state: &mut LinkState,
        draws: &CounterStream,
    ) -> Expectation {
        let first = |time: SimTime| time.as_nanos().div_ceil(self.slot_nanos());
        let (slots, seconds) = (first(began)..first(until), (until - began).as_seconds());
        self.look(site, to, channels, (share, seconds), |link| link.walk(state, &slots, draws))
    }

    /// What a transfer over `link` would get on `share` of the band if its fading stood at its mean and its outer loop had settled.
    pub fn typical_allocation(
        &mut self,
        site: &mut Site,
        now: SimTime,
        link: LinkId,
        direction: Direction,
        share: f64,
    ) -> Allocation {
        let channel = site.typical_channel(now, link);
        let ue = site.links[link.0].ue;
        let (to, channels) = ((&ue, direction), (&channel, &channel));
        let seconds = (PLANNED_SLOTS.end - PLANNED_SLOTS.start) as f64 * self.timing.slot.as_seconds();
        let mean = self.look(site, to, channels, (share, seconds), |link| {
            let (mut sums, mut state) = (Sums::default(), LinkState::of(0.0));
            for from in (0..PLANNED_SLOTS.end).step_by(PLANNED_STEP) {
                let some = link.walk(&mut state, &(from..from + PLANNED_STEP as u64), &PLANNING.child(from));
                if from >= PLANNED_SLOTS.start {
                    sums.add(&some, 1.0);
                }
            }
            sums
        });
        mean.allocation(site, to, share)
    }

    /// The end of a transfer all of whose bits are on the air: its outer loop hears what comes until they have got through. Returns
    /// how long that takes on the average.
    pub fn settle(
        &mut self,
        site: &Site,
        to: (&UeRadio, Direction),
        channels: (&Channel, &Channel),
        share: f64,
        state: &mut LinkState,
    ) -> SimDuration {
        let slots = self.on(site, to, channels, share, |link| link.settle(state));
        SimDuration::from_seconds(slots * self.timing.slot.as_seconds())
    }

    /// What the `sums` of a link over `seconds` come to.
    fn look(
        &mut self,
        site: &Site,
        to: (&UeRadio, Direction),
        channels: (&Channel, &Channel),
        (share, seconds): (f64, f64),
        sums: impl FnOnce(&Link<'_>) -> Sums,
    ) -> Expectation {
        let (sums, known, granted) =
            self.on(site, to, channels, share, |link| (sums(link), link.known, f64::from(link.granted)));
        let blocks = f64::from(site.carrier.resource_blocks);
        let part = share * blocks / granted;
        let mean = |sum: f64| if sums.occasions > 0.0 { sum / sums.occasions } else { 0.0 };
        Expectation {
            usable: known.usable,
            rate_bps: sums.bits / seconds * part,
            used_share: if known.usable { mean(sums.blocks) / blocks * part } else { share },
            snr_db: mean(sums.snr_db),
            effective_snr_db: mean(sums.effective_snr_db),
            cqi: known.cqi,
            mcs: mean(sums.mcs),
            layers: mean(sums.layers),
            error_rate: if sums.new_blocks > 0.0 { sums.failed / sums.new_blocks } else { 0.0 },
            new_blocks: mean(sums.new_blocks),
            power_part: mean(sums.power_part),
        }
    }

    fn on<R>(
        &mut self,
        site: &Site,
        (ue, direction): (&UeRadio, Direction),
        (present, reported): (&Channel, &Channel),
        share: f64,
        look: impl FnOnce(&Link<'_>) -> R,
    ) -> R {
        let offered = |channel: &Channel| {
            let (full_band_db, ceiling_db) = site.carrier.reach_db(channel, ue, direction);
            Offered { full_band_db, ceiling_db }
        };
        let at = super::air_for(&mut self.airs, site, ue, direction);
        let air = &self.airs[at];
        let blocks = site.carrier.resource_blocks;
        let granted = (share * f64::from(blocks)).round().clamp(1.0, f64::from(blocks)) as u32;
        let known = match &reported.selectivity {
            None => air.measured(offered(reported)),
            Some(selectivity) => air.measured_over(offered(reported), selectivity, granted),
        };
        look(&Link {
            air,
            config: &self.config,
            kinds: &self.kinds[usize::from(direction == Direction::Uplink)],
            present: offered(present),
            selectivity: present.selectivity.as_deref(),
            known,
            granted,
            resource_blocks: blocks,
            direction,
        })
    }
}

/// The kinds of slots of a direction: whole ones first.
fn kinds(config: &SlotConfig, direction: Direction) -> [SlotKind; 2] {
    let (frame, period) = (&config.frame, config.frame.period());
    let of = |slot: u64| frame.symbols(slot, direction);
    let is_second = |slot: u64| of(slot) < SYMBOLS_PER_SLOT;
    let again = |slot: u64| frame.next_slot(slot + u64::from(config.harq_round_trip_slots), direction);
    [false, true].map(|second| {
        let slots: Vec<u64> = (0..period).filter(|slot| of(*slot) > 0 && is_second(*slot) == second).collect();
        let Some(&first) = slots.first() else { return SlotKind::default() };
        let count = slots.len() as f64;
        let waits: u64 = slots.iter().map(|slot| again(*slot) - slot).sum();
        SlotKind {
            symbols: of(first),
            share: count / period as f64,
            feedback: waits as f64 / count,
            again_in_second: slots.iter().filter(|slot| is_second(again(**slot))).count() as f64 / count,
        }
    })
}
