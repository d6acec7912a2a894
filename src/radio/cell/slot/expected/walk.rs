//! A link over an interval with one channel and one state of knowledge.
//!
//! It is walked in strides of half a HARQ round trip. The blocks that a stride sends are a batch: which of them fail is drawn,
//! and a round trip later the outer loop hears of it and the repetitions take their occasions from new blocks. Until then every
//! occasion has a new block, however many fail: after a fade that is not yet known of, the outer loop falls for each of them, which
//! a link in its mean state would not show. How repetitions end is expected, not drawn.

use super::super::SlotConfig;
use super::super::air::{Air, Format, Knowledge};
use super::super::ladder::Offered;
use super::super::transfer::OUTER_LOOP_DB;
use crate::radio::cell::Direction;
use crate::radio::numerology::SYMBOLS_PER_SLOT;
use crate::radio::selectivity::Selectivity;
use crate::radio::units::{db_to_linear, linear_to_db};
use crate::random::CounterStream;
use std::ops::Range;

/// Strides of a round trip.
const STRIDES: u32 = 2;
/// Strides of an interval; what is left of a longer one goes on as their later half.
const MOST_STRIDES: u32 = 192;
/// Draws of a stride: how many blocks it has, and which fail.
const DRAWS: u32 = 64;
/// Blocks that are still not through with less than this chance are.
const NEGLIGIBLE: f64 = 1e-6;
/// Fewer failures in a batch are none.
const HARDLY_ANY: f64 = 1e-3;

/// What a link carries from one interval to the next.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::radio::cell) struct LinkState {
    pub outer_loop_db: f64,
    /// Blocks whose feedback is on its way, the first due first.
    in_flight: Vec<Batch>,
}

/// Blocks sent in slots of one kind in one stride.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Batch {
    /// Slots until their feedback arrives and those that failed go out again.
    due: f64,
    /// What the outer loop learns then.
    learnt_db: f64,
    failed: f64,
    transmissions: u32,
    /// Linear, of all transmissions together.
    effective_snr: f64,
    /// Of the slot of the last transmission.
    kind: usize,
    format: Format,
}

/// Slots of a direction with so many symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SlotKind {
    pub symbols: u32,
    /// Of all slots, both directions'.
    pub share: f64,
    /// Slots from a transmission to that in which its feedback is heard and it would be repeated, on the average.
    pub feedback: f64,
    /// Share of these that are of the second kind.
    pub again_in_second: f64,
}

/// Slots of one kind in a stride: how many, and where on the average.
#[derive(Clone, Copy, Debug, Default)]
struct Occasions {
    count: f64,
    middle: f64,
}

pub(super) struct Link<'a> {
    pub air: &'a Air,
    pub config: &'a SlotConfig,
    /// Whole slots, and those that a pattern shares between the directions.
    pub kinds: &'a [SlotKind; 2],
    pub present: Offered,
    /// What the shape of the present response costs.
    pub selectivity: Option<&'a Selectivity>,
    pub known: Knowledge,
    pub granted: u32,
    /// Of the whole band.
    pub resource_blocks: u32,
    pub direction: Direction,
}

/// One choice of scheme, and what a new block of it comes to in slots of one kind.
#[derive(Clone, Copy, Debug)]
struct Choice {
    kind: usize,
    format: Format,
    effective_snr: f64,
    error_rate: f64,
    /// Share of blocks that never get through if the channel stays.
    lost: f64,
    snr_db: f64,
    effective_snr_db: f64,
    mcs: f64,
    layers: f64,
    power_part: f64,
}

/// Sums over the occasions of an interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub occasions: f64,
    pub new_blocks: f64,
    /// Of first transmissions.
    pub failed: f64,
    /// Of new blocks that will get through.
    pub bits: f64,
    pub blocks: f64,
    pub snr_db: f64,
    pub effective_snr_db: f64,
    pub mcs: f64,
    pub layers: f64,
    pub power_part: f64,
}

fn within_bounds(outer_loop_db: f64) -> f64 {
    outer_loop_db.clamp(OUTER_LOOP_DB.0, OUTER_LOOP_DB.1)
}

impl LinkState {
    /// Of a link that has nothing on its way.
    pub fn of(outer_loop_db: f64) -> Self {
        Self { outer_loop_db, in_flight: vec![] }
    }
}

impl Link<'_> {
    /// Sums over `slots`, at whose end `state` is as they leave it.
    pub fn walk(&self, state: &mut LinkState, slots: &Range<u64>, draws: &CounterStream) -> Sums {
        let stride_slots = u64::from(self.config.harq_round_trip_slots.div_ceil(STRIDES));
        let later_strides = self.later_strides();
        let (mut sums, mut later, mut from) = (Sums::default(), Sums::default(), slots.start);
        let mut before = Vec::with_capacity(state.in_flight.len() + 2);
        let mut choices = vec![];
        for stride in 0..MOST_STRIDES {
            let to = slots.end.min(from + stride_slots);
            if to <= from {
                break;
            }
            std::mem::swap(&mut before, &mut state.in_flight);
            let kinds = self.slots_of_each_kind(from..to);
            let length = (to - from) as f64;
            let repetitions = self.hear(state, &mut before, &kinds, length);
            for (kind, slots) in kinds.iter().enumerate().filter(|(_, slots)| slots.count > 0.0) {
                let first_draw = (2 * stride + kind as u32) * DRAWS;
                let draw = |n: u32| draws.uniform(u64::from(first_draw + n));
                let choice = self.choice(state.outer_loop_db, kind, &mut choices);
                let sends = self.known.usable && choice.format.bits > 0;
                let new_blocks = if sends { slots.count - repetitions[kind] } else { 0.0 };
                self.send(state, &choice, (new_blocks, slots.middle), draw);
                let sent = choice.sent(if sends { slots.count } else { repetitions[kind] }, new_blocks);
                sums.add(&sent, 1.0);
                if stride >= MOST_STRIDES - later_strides {
                    later.add(&sent, 1.0);
                }
            }
            state.in_flight.iter_mut().for_each(|b| b.due -= length);
            from = to;
        }
        if slots.end > from {
            sums.add(&later, (slots.end - from) as f64 / (stride_slots * u64::from(later_strides)) as f64);
        }
        if sums.occasions == 0.0 {
            // Nothing is sent, but the means are those of what would be.
            let kind = usize::from(self.kinds[0].symbols == 0);
            sums = self.choice(state.outer_loop_db, kind, &mut choices).sent(1.0, 0.0);
        }
        sums
    }

    /// The last strides of a long interval, as many as have whole periods of the frame.
    fn later_strides(&self) -> u32 {
        let (half, period) = (MOST_STRIDES / 2, self.config.frame.period() as u32);
        if period <= half { half / period * period } else { half }
    }

    fn slots_of_each_kind(&self, slots: Range<u64>) -> [Occasions; 2] {
        let mut kinds = [Occasions::default(); 2];
        for (position, slot) in slots.enumerate() {
            let symbols = self.config.frame.symbols(slot, self.direction);
            if symbols > 0 {
                let kind = &mut kinds[usize::from(symbols < SYMBOLS_PER_SLOT)];
                kind.middle = (kind.middle * kind.count + position as f64) / (kind.count + 1.0);
                kind.count += 1.0;
            }
        }
        kinds
    }

    /// What arrives within a stride: the outer loop learns, and what failed goes out again as far as there is room. Returns how many
    /// occasions of each kind that takes.
    fn hear(&self, state: &mut LinkState, before: &mut Vec<Batch>, slots: &[Occasions; 2], length: f64) -> [f64; 2] {
        let mut room = slots.map(|slots| slots.count);
        let mut repetitions = [0.0; 2];
        let mut again = vec![];
        for batch in before.drain(..) {
            if batch.due >= length {
                state.in_flight.push(batch);
                continue;
            }
            state.outer_loop_db = within_bounds(state.outer_loop_db + batch.learnt_db);
            if batch.failed == 0.0 || batch.transmissions == self.config.max_transmissions {
                continue;
            }
            let mut left = batch.failed;
            let in_second = left * self.kinds[batch.kind].again_in_second;
            for (kind, wanted) in [(1, in_second), (0, f64::INFINITY)] {
                let symbols = self.kinds[kind].symbols;
                if symbols == 0 {
                    continue;
                }
                let needed = (batch.format.blocks * batch.format.symbols).div_ceil(symbols);
                let sent = left.min(wanted).min(room[kind]);
                if sent <= 0.0 || needed > self.resource_blocks {
                    continue;
                }
                left -= sent;
                room[kind] -= sent;
                repetitions[kind] += sent;
                let snr = self.snr(batch.format.step, needed);
                let effective_snr = self.config.combining.after(batch.effective_snr, snr);
                let failed = sent * self.air.error(&batch.format, linear_to_db(effective_snr));
                if failed > HARDLY_ANY {
                    let due = slots[kind].middle + self.kinds[kind].feedback;
                    let transmissions = batch.transmissions + 1;
                    again.push(Batch { due, learnt_db: 0.0, failed, transmissions, effective_snr, kind, ..batch });
                }
            }
            if left > HARDLY_ANY {
                state.in_flight.push(Batch { due: length, learnt_db: 0.0, failed: left, ..batch });
            }
        }
        state.in_flight.append(&mut again);
        repetitions
    }

    /// Puts new blocks on the air: as many whole ones as there are on the average.
    fn send(
        &self,
        state: &mut LinkState,
        choice: &Choice,
        (new_blocks, middle): (f64, f64),
        draw: impl Fn(u32) -> f64,
    ) {
        let blocks = ((new_blocks + draw(0)) as u32).min(DRAWS - 1);
        if blocks == 0 {
            return;
        }
        let failed = (1..=blocks).filter(|n| draw(*n) < choice.error_rate).count();
        let config = self.config;
        let is_highest = choice.format.step + 1 == self.air.ladder.steps.len();
        let up_db = config.outer_loop_step_db * config.target_bler / (1.0 - config.target_bler);
        let raised_db = if is_highest { 0.0 } else { up_db * (f64::from(blocks) - failed as f64) };
        state.in_flight.push(Batch {
            due: middle + self.kinds[choice.kind].feedback,
            learnt_db: raised_db - config.outer_loop_step_db * failed as f64,
            failed: failed as f64,
            transmissions: 1,
            effective_snr: choice.effective_snr,
            kind: choice.kind,
            format: choice.format,
        });
    }

    /// Hears what comes until the repetitions are out of all that failed: acknowledgements after that are lost with their transfer.
    /// Returns the slots until the last block has got through, on the average.
    pub fn settle(&self, state: &mut LinkState) -> f64 {
        let failed = state.in_flight.iter().filter(|b| b.failed > 0.0);
        let last = failed.map(|b| b.due).fold(0.0, f64::max);
        let (mut none, mut waits) = (1.0, 0.0);
        for batch in state.in_flight.drain(..).rev() {
            let any = batch.failed.min(1.0);
            waits += none * any * (batch.due + self.further_slots(&batch));
            none *= 1.0 - any;
            if batch.due <= last {
                state.outer_loop_db = within_bounds(state.outer_loop_db + batch.learnt_db);
            }
        }
        waits
    }

    /// Slots from the next repetition of a block until one gets through, on the average.
    fn further_slots(&self, batch: &Batch) -> f64 {
        let (mut together, mut pending, mut slots) = (batch.effective_snr, 1.0, 0.0);
        let snr = self.snr(batch.format.step, batch.format.blocks);
        for _ in batch.transmissions + 1..self.config.max_transmissions {
            together = self.config.combining.after(together, snr);
            pending *= self.air.error(&batch.format, linear_to_db(together));
            slots += pending * self.kinds[batch.kind].feedback;
        }
        slots
    }

    /// Of a layer, on so many blocks, linear.
    fn snr(&self, step: usize, blocks: u32) -> f64 {
        let snr_db = self.present.on(self.air.ladder.concentration_db(blocks));
        let layer_db = snr_db - self.air.ladder.steps[step].layers_db;
        db_to_linear(self.air.effective_db(step, layer_db, self.selectivity))
    }

    /// The scheduler's choice for a slot of a `kind`; `known` are choices of the same interval.
    fn choice(&self, outer_loop_db: f64, kind: usize, known: &mut Vec<Choice>) -> Choice {
        let (step, blocks) = self.air.choose(&self.known, outer_loop_db, self.granted);
        let same = |c: &&Choice| (c.format.step, c.format.blocks, c.kind) == (step, blocks, kind);
        if let Some(choice) = known.iter().find(same) {
            return *choice;
        }
        let choice = self.worked_out(step, blocks, kind);
        known.push(choice);
        choice
    }

    fn worked_out(&self, step: usize, blocks: u32, kind: usize) -> Choice {
        let format = self.air.format(step, blocks, self.kinds[kind].symbols);
        let effective_snr = self.snr(step, blocks);
        let (mut together, mut pending, mut error_rate) = (0.0, 1.0, 0.0);
        for n in 0..self.config.max_transmissions {
            together = self.config.combining.after(together, effective_snr);
            let error = self.air.error(&format, linear_to_db(together));
            if n == 0 {
                error_rate = error;
            }
            pending *= error;
            if pending < NEGLIGIBLE {
                break;
            }
        }
        let chosen = &self.air.ladder.steps[step];
        Choice {
            kind,
            format,
            effective_snr,
            error_rate,
            lost: pending,
            snr_db: self.present.on(self.air.ladder.concentration_db(blocks)),
            effective_snr_db: linear_to_db(effective_snr) + chosen.layers_db,
            mcs: f64::from(chosen.scheme.index),
            layers: f64::from(chosen.layers),
            power_part: self.air.power_part(&self.present, blocks),
        }
    }
}

impl Choice {
    /// What so many occasions with so many new blocks come to.
    fn sent(&self, occasions: f64, new_blocks: f64) -> Sums {
        Sums {
            occasions,
            new_blocks,
            failed: self.error_rate * new_blocks,
            bits: self.format.bits as f64 * (1.0 - self.lost) * new_blocks,
            blocks: f64::from(self.format.blocks) * occasions,
            snr_db: self.snr_db * occasions,
            effective_snr_db: self.effective_snr_db * occasions,
            mcs: self.mcs * occasions,
            layers: self.layers * occasions,
            power_part: self.power_part * occasions,
        }
    }
}

impl Sums {
    pub(super) fn add(&mut self, other: &Self, times: f64) {
        self.occasions += other.occasions * times;
        self.new_blocks += other.new_blocks * times;
        self.failed += other.failed * times;
        self.bits += other.bits * times;
        self.blocks += other.blocks * times;
        self.snr_db += other.snr_db * times;
        self.effective_snr_db += other.effective_snr_db * times;
        self.mcs += other.mcs * times;
        self.layers += other.layers * times;
        self.power_part += other.power_part * times;
    }
}
