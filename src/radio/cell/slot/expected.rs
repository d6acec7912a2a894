//! The link layer of slots in expectation, for a model that plays none: which schemes slots would pick under round robin, how
//! often their blocks would fail and be sent again, and what the outer loop would learn from that.
//!
//! An interval with one channel and one state of knowledge is walked in strides of half a round trip, with what the outer loop
//! learns from each two strides late: it falls too low after a fade, as it does in slots, since failures go on until the first
//! is heard of. Which blocks fail there is drawn, and nothing else. In each stride, every occasion to send carries a new block or a
//! repetition: with T transmissions a block on the average, of which a share S ends well, S / T blocks get through an occasion.
//! `fidelity: slot` is what this is compared with (`tests/fidelities.rs`).

use super::SlotConfig;
use super::air::{Air, Knowledge};
use super::ladder::Offered;
use super::transfer::OUTER_LOOP_DB;
use crate::radio::cell::Direction;
use crate::radio::cell::config::UeRadio;
use crate::radio::cell::link::Channel;
use crate::radio::cell::site::Site;
use crate::radio::error::RadioError;
use crate::radio::numerology::SYMBOLS_PER_SLOT;
use crate::radio::selectivity::Selectivity;
use crate::radio::units::{db_to_linear, linear_to_db};
use crate::random::CounterStream;
use crate::sim::{SimDuration, SimTime};

/// Strides of a round trip.
const STRIDES: usize = 2;
/// Strides of an interval; what is left of a longer one goes on as its later half.
const MOST_STRIDES: u32 = 48;
/// Draws of a stride: how many blocks it has, and which fail.
const DRAWS: u32 = 64;
/// Blocks that are still not through with less than this chance are.
const NEGLIGIBLE: f64 = 1e-6;

/// What all links of a cell have in common.
#[derive(Debug)]
pub(in crate::radio::cell) struct ExpectedLinkLayer {
    config: SlotConfig,
    airs: Vec<Air>,
    slot_seconds: f64,
    /// Slots a second in which a direction has symbols: downlink, uplink.
    occasions: [f64; 2],
    /// From a change of the channel until the scheduler knows, on the average over the phases of reports.
    pub late: SimDuration,
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
    pub transmissions: f64,
    /// Of the terminal's power, while on the air.
    pub power_part: f64,
    /// What the outer loop will have learnt at the end of the interval, and what is on its way to it.
    pub outer_loop_db: f64,
    pub unheard_db: Unheard,
    /// From the last new block to the last that gets through.
    pub tail_s: f64,
}

/// What the outer loop will learn from the last strides, the first of them first.
pub(in crate::radio::cell) type Unheard = [f64; STRIDES];

/// One choice of scheme: what a block of it comes to.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    error_rate: f64,
    transmissions: f64,
    delivered: f64,
    blocks: f64,
    snr_db: f64,
    effective_snr_db: f64,
    mcs: f64,
    layers: f64,
    power_part: f64,
    is_highest: bool,
}

impl ExpectedLinkLayer {
    /// # Errors
    /// [`SlotConfig::validate`]'s.
    pub fn new(site: &Site, config: SlotConfig) -> Result<Self, RadioError> {
        config.validate()?;
        let slot_seconds = site.carrier.numerology.slot_seconds();
        let occasions = super::DIRECTIONS.map(|direction| config.frame.occasions(direction) / slot_seconds);
        // The next report is half a period away on the average, and the slot that it is measured in counts.
        let late_slots = f64::from(config.cqi_delay_slots) + (f64::from(config.cqi_period_slots) - 1.0) / 2.0;
        let late = SimDuration::from_seconds(late_slots * slot_seconds);
        Ok(Self { config, airs: vec![], slot_seconds, occasions, late })
    }

    /// When the first slot of `direction` begins that a request at `now` can use.
    pub fn first_slot(&self, now: SimTime, direction: Direction) -> SimTime {
        let slot = self.config.frame.next_slot(self.slot_at(now) + 1, direction);
        SimTime::from_nanos(slot * self.slot_nanos())
    }

    /// When the slot of `direction` ends whose bits are complete at `now`.
    pub fn end_of_slot(&self, now: SimTime, direction: Direction) -> SimTime {
        let within = SimTime::from_nanos(now.as_nanos().saturating_sub(1));
        let slot = self.config.frame.next_slot(self.slot_at(within), direction);
        SimTime::from_nanos((slot + 1) * self.slot_nanos())
    }

    fn slot_nanos(&self) -> u64 {
        SimDuration::from_seconds(self.slot_seconds).as_nanos()
    }

    fn slot_at(&self, now: SimTime) -> u64 {
        now.as_nanos() / self.slot_nanos()
    }

    /// How long the last blocks of a transfer wait for their repetitions: of those sent within a round trip of the end, any may have
    /// failed, and comes a round trip after it was sent, or several.
    fn tail_s(&self, mean: &Moment, occasions: f64) -> f64 {
        let round_trip = self.config.harq_round_trip_slots;
        let a_slot = occasions * self.slot_seconds;
        let any = |slots: u32| 1.0 - (1.0 - mean.error_rate).powf(a_slot * f64::from(slots));
        let first: f64 = (1..=round_trip).map(any).sum();
        let further = if mean.error_rate > 0.0 { (mean.transmissions - 1.0) / mean.error_rate - 1.0 } else { 0.0 };
        let waiting = (1.0 / a_slot - 1.0) / 2.0;
        (first + any(round_trip) * (f64::from(round_trip) * further.max(0.0) + waiting)) * self.slot_seconds
    }

    /// What `ue` gets on `share` of the band for `seconds`, over a channel that `reported` lags behind.
    pub fn over(
        &mut self,
        site: &Site,
        (ue, direction): (&UeRadio, Direction),
        (present, reported): (&Channel, &Channel),
        share: f64,
        (outer_loop_db, unheard_db, seconds): (f64, Unheard, f64),
        draws: &CounterStream,
    ) -> Expectation {
        let offered = |channel: &Channel| {
            let (full_band_db, ceiling_db) = site.carrier.reach_db(channel, ue, direction);
            Offered { full_band_db, ceiling_db }
        };
        let at = super::air_for(&mut self.airs, site, ue, direction);
        let air = &self.airs[at];
        let blocks = f64::from(site.carrier.resource_blocks);
        let granted = (share * blocks).round().clamp(1.0, blocks);
        let known = match &reported.selectivity {
            None => air.measured(offered(reported)),
            Some(selectivity) => air.measured_over(offered(reported), selectivity, granted as u32),
        };
        let selectivity = present.selectivity.as_deref();
        let present = offered(present);
        let link = Link { air, config: &self.config, present, selectivity, known, granted: granted as u32 };
        let way = usize::from(direction == Direction::Uplink);
        let stride_s = f64::from(self.config.harq_round_trip_slots) * self.slot_seconds / STRIDES as f64;
        let loop_db = (outer_loop_db, unheard_db);
        let pace = (self.occasions[way], stride_s);
        let (mean, (outer_loop_db, unheard_db)) = link.walk(loop_db, seconds, pace, draws);
        // Full slots, of which the direction has so many a second.
        let slots_per_second = site.carrier.time_share(direction) / self.slot_seconds;
        let part = share * blocks / granted;
        Expectation {
            usable: known.usable,
            rate_bps: if known.usable { mean.delivered * slots_per_second * part } else { 0.0 },
            used_share: if known.usable { mean.blocks / blocks * part } else { share },
            snr_db: mean.snr_db,
            effective_snr_db: mean.effective_snr_db,
            cqi: known.cqi,
            mcs: mean.mcs,
            layers: mean.layers,
            error_rate: mean.error_rate,
            transmissions: mean.transmissions,
            power_part: mean.power_part,
            outer_loop_db,
            unheard_db,
            tail_s: if known.usable { self.tail_s(&mean, self.occasions[way]) } else { 0.0 },
        }
    }
}

/// A link over an interval.
struct Link<'a> {
    air: &'a Air,
    config: &'a SlotConfig,
    present: Offered,
    /// What the shape of the present response costs.
    selectivity: Option<&'a Selectivity>,
    known: Knowledge,
    granted: u32,
}

impl Link<'_> {
    /// Means over an interval, and what the outer loop comes to. `occasions` are those of a second.
    fn walk(
        &self,
        (mut outer_loop_db, mut unheard_db): (f64, Unheard),
        seconds: f64,
        (occasions, stride_s): (f64, f64),
        draws: &CounterStream,
    ) -> (Moment, (f64, Unheard)) {
        let config = self.config;
        let up_db = config.outer_loop_step_db * config.target_bler / (1.0 - config.target_bler);
        let (mut sum, mut later, mut left) = (Moment::default(), (Moment::default(), 0.0), seconds);
        if !self.known.usable {
            return (self.moment(outer_loop_db), (outer_loop_db, unheard_db));
        }
        for stride in 0..MOST_STRIDES {
            let part_s = stride_s.min(left);
            // A shorter stride hears of as much less.
            let heard_db = unheard_db[0] * (part_s / stride_s);
            outer_loop_db = (outer_loop_db + heard_db).clamp(OUTER_LOOP_DB.0, OUTER_LOOP_DB.1);
            let moment = self.moment(outer_loop_db);
            let learnt_db = if moment.is_highest { 0.0 } else { up_db };
            let draw = |n: u32| draws.uniform(u64::from(stride * DRAWS + n));
            // Whole blocks: as many as there are on the average.
            let blocks = (occasions / moment.transmissions * part_s + draw(0)) as u32;
            let failed = (1..=blocks.min(DRAWS - 1)).filter(|n| draw(*n) < moment.error_rate).count();
            let through = f64::from(blocks) - failed as f64;
            let new_db = learnt_db * through - config.outer_loop_step_db * failed as f64;
            unheard_db[0] -= heard_db;
            match part_s < stride_s {
                true => unheard_db[STRIDES - 1] += new_db,
                false => {
                    unheard_db.rotate_left(1);
                    let rest = std::mem::replace(&mut unheard_db[STRIDES - 1], new_db);
                    unheard_db[0] += rest;
                }
            }
            sum.add(&moment, part_s);
            if stride >= MOST_STRIDES / 2 {
                later.0.add(&moment, part_s);
                later.1 += part_s;
            }
            left -= part_s;
            if left <= 0.0 {
                break;
            }
        }
        if left > 0.0 && later.1 > 0.0 {
            let more = left / later.1;
            sum.add(&later.0, more);
        }
        (sum.over(seconds), (outer_loop_db, unheard_db))
    }

    fn moment(&self, outer_loop_db: f64) -> Moment {
        let (step, blocks) = self.air.choose(&self.known, outer_loop_db, self.granted);
        let format = self.air.format(step, blocks, SYMBOLS_PER_SLOT);
        let chosen = &self.air.ladder.steps[step];
        let snr_db = self.present.on(self.air.ladder.concentration_db(blocks));
        let layer_db = self.air.effective_db(step, snr_db - chosen.layers_db, self.selectivity);
        let snr = db_to_linear(layer_db);
        let (mut together, mut pending, mut transmissions, mut first) = (0.0, 1.0, 0.0, 0.0);
        for n in 0..self.config.max_transmissions {
            together = self.config.combining.after(together, snr);
            let error = self.air.error(&format, linear_to_db(together));
            if n == 0 {
                first = error;
            }
            transmissions += pending;
            pending *= error;
            if pending < NEGLIGIBLE {
                break;
            }
        }
        Moment {
            error_rate: first,
            transmissions,
            delivered: format.bits as f64 * (1.0 - pending) / transmissions,
            blocks: f64::from(blocks),
            snr_db,
            effective_snr_db: layer_db + chosen.layers_db,
            mcs: f64::from(chosen.scheme.index),
            layers: f64::from(chosen.layers),
            power_part: self.air.power_part(&self.present, blocks),
            is_highest: step + 1 == self.air.ladder.steps.len(),
        }
    }
}

impl Moment {
    fn add(&mut self, other: &Self, weight: f64) {
        self.error_rate += other.error_rate * weight;
        self.transmissions += other.transmissions * weight;
        self.delivered += other.delivered * weight;
        self.blocks += other.blocks * weight;
        self.snr_db += other.snr_db * weight;
        self.effective_snr_db += other.effective_snr_db * weight;
        self.mcs += other.mcs * weight;
        self.layers += other.layers * weight;
        self.power_part += other.power_part * weight;
    }

    fn over(mut self, weight: f64) -> Self {
        let sum = std::mem::take(&mut self);
        self.add(&sum, 1.0 / weight);
        self
    }
}
