//! What every transfer of a direction has in common: schemes, block sizes, error rates. No state.

use super::ladder::{Ladder, Offered, Quality};
use crate::radio::cell::Direction;
use crate::radio::cell::site::Site;
use crate::radio::error_model::{ErrorCurve, ErrorModel, any_of};
use crate::radio::numerology::{SUBCARRIERS_PER_RESOURCE_BLOCK, SYMBOLS_PER_SLOT};
use crate::radio::selectivity::Selectivity;
use crate::radio::special::q_function;
use crate::radio::transport_block::{Grant, Segmentation, segmentation, transport_block_size_bits};
use crate::radio::units::db_to_linear;
use std::cell::RefCell;
use std::sync::OnceLock;

/// Standard deviations beyond which an error curve is 0 or 1 to any draw.
const CURVE_ENDS: f64 = 8.5;

/// Rounds in which an uplink's scheme and what the band's shape costs it are found from each other.
const LOSS_ITERATIONS: usize = 3;

/// Points of [`tail`] a standard deviation, and how far its values may be off for rounding.
const TAIL_STEPS: f64 = 8.0;
const TAIL_SLACK: f64 = 1e-9;

/// The Gaussian tail from `-CURVE_ENDS` to `CURVE_ENDS`.
fn tail() -> &'static [f64] {
    static TAIL: OnceLock<Vec<f64>> = OnceLock::new();
    let points = (2.0 * CURVE_ENDS * TAIL_STEPS) as u32;
    TAIL.get_or_init(|| (0..=points).map(|i| q_function(f64::from(i) / TAIL_STEPS - CURVE_ENDS)).collect())
}

/// Places for formats that have been worked out: for 64 steps, 8 numbers of blocks in turn, whole slots and others.
const FORMATS: [usize; 3] = [64, 8, 2];

/// One direction of a cell for terminals of so many layers.
#[derive(Debug)]
pub(super) struct Air {
    pub direction: Direction,
    pub max_layers: u32,
    pub ladder: Ladder,
    pub symbol_seconds: f64,
    quality: Quality,
    errors: ErrorModel,
    /// Resource elements of a block lost to control and reference signals, by symbols of the slot.
    overhead_elements: Vec<u32>,
    /// Formats worked out lately: terminals that share the band evenly use few.
    formats: RefCell<Vec<Option<Format>>>,
}

/// What the scheduler is told of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Knowledge {
    pub offered: Offered,
    /// Channel quality index, 0 out of range. The base station measures an uplink by itself; the index is then what it
    /// would be if it were reported.
    pub cqi: u32,
    /// Whether anything at all may be sent to such a link.
    pub usable: bool,
}

/// A transport block's size and how often it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Format {
    pub step: usize,
    pub blocks: u32,
    pub symbols: u32,
    pub bits: u64,
    parts: Segmentation,
    curve: ErrorCurve,
}

impl Air {
    pub fn new(site: &Site, direction: Direction, max_layers: u32) -> Self {
        let config = site.carrier.config();
        let (table, loss_db) = (config.radio.modulation, config.implementation_loss_db);
        let overhead = match direction {
            Direction::Uplink => config.radio.uplink_overhead,
            Direction::Downlink => config.radio.downlink_overhead,
        };
        let lost = |symbols: u32| (f64::from(SUBCARRIERS_PER_RESOURCE_BLOCK * symbols) * overhead).round() as u32;
        let blocks = site.carrier.resource_blocks;
        Self {
            direction,
            max_layers,
            ladder: Ladder::new(site.carrier.adaptation(), table, max_layers, blocks),
            symbol_seconds: site.carrier.numerology.symbol_seconds(),
            quality: Quality::new(table, loss_db),
            errors: ErrorModel::nr(table, loss_db),
            overhead_elements: (0..=SYMBOLS_PER_SLOT).map(lost).collect(),
            formats: RefCell::new(vec![None; FORMATS.iter().product()]),
        }
    }

    /// What a measurement of `offered` tells the scheduler: the base station's own of an uplink as it is, a terminal's
    /// of a downlink as rank and channel quality index.
    pub fn measured(&self, offered: Offered) -> Knowledge {
        let snr_db = offered.on(0.0);
        let layers_db = self.ladder.at(snr_db).map_or(0.0, |k| self.ladder.steps[k].layers_db);
        let cqi = self.quality.index(snr_db - layers_db);
        if self.direction == Direction::Uplink {
            let usable = self.ladder.at(offered.on(self.ladder.concentration_db(1))).is_some();
            return Knowledge { offered, cqi, usable };
        }
        let promised = self.quality.snr_db(cqi).map_or(f64::NEG_INFINITY, |db| db + layers_db);
        Knowledge { offered: Offered { full_band_db: promised, ceiling_db: promised }, cqi, usable: cqi > 0 }
    }

    /// [`Self::measured`] where the band is not flat, of a terminal that was last granted `granted` blocks. A terminal reports the
    /// index that its effective SNR supports; the base station keeps the effective SNR of the scheme that such a grant would get.
    pub fn measured_over(&self, offered: Offered, selectivity: &Selectivity, granted: u32) -> Knowledge {
        let snr_db = offered.on(0.0);
        let layers_db = self.ladder.at_over(snr_db, selectivity).map_or(0.0, |k| self.ladder.steps[k].layers_db);
        let cqi = self.quality.index_over(snr_db - layers_db, selectivity);
        if self.direction == Direction::Downlink {
            let promised = self.quality.snr_db(cqi).map_or(f64::NEG_INFINITY, |db| db + layers_db);
            return Knowledge {
                offered: Offered { full_band_db: promised, ceiling_db: promised },
                cqi,
                usable: cqi > 0,
            };
        }
        let usable = self.ladder.at_over(offered.on(self.ladder.concentration_db(1)), selectivity).is_some();
        // A better scheme has a larger beta, and its threshold lies elsewhere on the curve: both hardly move the loss.
        let loss_db = (0..LOSS_ITERATIONS).fold(0.0, |loss_db: f64, _| {
            let step = self.ladder.choose(&offered.raised_by(-loss_db), granted).map_or(0, |(step, _)| step);
            self.ladder.steps[step].needed_db(selectivity) - self.ladder.steps[step].threshold_db
        });
        Knowledge { offered: offered.raised_by(-loss_db), cqi, usable }
    }

    /// SNR a layer that a block of `step` is judged at, where `snr_per_layer_db` is the mean over the band.
    pub fn effective_db(&self, step: usize, snr_per_layer_db: f64, selectivity: Option<&Selectivity>) -> f64 {
        let beta_db = self.ladder.steps[step].beta_db;
        selectivity.map_or(snr_per_layer_db, |selectivity| selectivity.effective_db(snr_per_layer_db, beta_db))
    }

    /// Step and blocks for a grant over a usable link whose knowledge the outer loop corrects. However pessimistic that
    /// is, the lowest scheme remains: without a transmission nothing would ever be learnt again.
    pub fn choose(&self, known: &Knowledge, outer_loop_db: f64, granted: u32) -> (usize, u32) {
        let lowest = if self.direction == Direction::Downlink { (0, granted) } else { (0, 1) };
        self.ladder.choose(&known.offered.raised_by(outer_loop_db), granted).unwrap_or(lowest)
    }

    /// Bits of a block of symbols under a step, before rounding to transport block sizes.
    pub fn expected_bits(&self, step: usize, symbols: u32) -> f64 {
        let elements = SUBCARRIERS_PER_RESOURCE_BLOCK * symbols - self.overhead_elements[symbols as usize];
        self.ladder.steps[step].efficiency * f64::from(elements)
    }

    pub fn transport_block_bits(&self, step: usize, blocks: u32, symbols: u32) -> u64 {
        let step = &self.ladder.steps[step];
        let grant = Grant {
            resource_blocks: blocks,
            symbols,
            dmrs_elements: self.overhead_elements[symbols as usize],
            overhead_elements: 0,
            layers: step.layers,
        };
        transport_block_size_bits(&grant, &step.scheme)
    }

    pub fn format(&self, step: usize, blocks: u32, symbols: u32) -> Format {
        let [steps, turns, _] = FORMATS;
        let place = step % steps + steps * (blocks as usize % turns + turns * usize::from(symbols == SYMBOLS_PER_SLOT));
        let known = &mut self.formats.borrow_mut()[place];
        match known {
            Some(format) if (format.step, format.blocks, format.symbols) == (step, blocks, symbols) => *format,
            _ => *known.insert(self.worked_out_format(step, blocks, symbols)),
        }
    }

    fn worked_out_format(&self, step: usize, blocks: u32, symbols: u32) -> Format {
        let bits = self.transport_block_bits(step, blocks, symbols);
        let scheme = &self.ladder.steps[step].scheme;
        let parts = segmentation(bits, scheme);
        let curve = self.errors.curve(scheme.index, parts.code_block_bits);
        Format { step, blocks, symbols, bits, parts, curve }
    }

    /// Share of blocks of this format that fail at an SNR a layer.
    pub fn error(&self, format: &Format, snr_per_layer_db: f64) -> f64 {
        let sigmas = (snr_per_layer_db - format.curve.midpoint_db) / format.curve.spread_db;
        if sigmas > CURVE_ENDS {
            0.0
        } else if sigmas < -CURVE_ENDS {
            1.0
        } else {
            any_of(format.parts.code_blocks, format.curve.error(snr_per_layer_db))
        }
    }

    /// Whether a block of this format fails at an SNR a layer, for a `draw` uniform in (0, 1): whether that is below
    /// [`Air::error`]. Most draws are so far from it that a look at the curve's two neighbours tells.
    pub fn fails(&self, format: &Format, snr_per_layer_db: f64, draw: f64) -> bool {
        let sigmas = (snr_per_layer_db - format.curve.midpoint_db) / format.curve.spread_db;
        let place = (sigmas + CURVE_ENDS) * TAIL_STEPS;
        if place >= 0.0
            && let Some(&[before, after]) = tail().get(place as usize..place as usize + 2).and_then(|w| w.first_chunk())
        {
            // Of C code blocks at least one fails no more often than C times one, and no less often than one.
            if draw >= format.parts.code_blocks as f64 * before * (1.0 + TAIL_SLACK) {
                return false;
            }
            if draw < after * (1.0 - TAIL_SLACK) {
                return true;
            }
        }
        draw < self.error(format, snr_per_layer_db)
    }

    /// Part of the terminal's power that goes into `blocks`: less than 1 under power control.
    pub fn power_part(&self, offered: &Offered, blocks: u32) -> f64 {
        let concentration_db = self.ladder.concentration_db(blocks);
        db_to_linear((offered.ceiling_db - offered.full_band_db - concentration_db).min(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::cell::CellConfig;
    use crate::radio::presets::Preset;
    use crate::random::{CounterStream, Streams};

    #[test]
    fn a_format_that_is_known_is_the_one_that_was_asked_for() {
        let config = CellConfig::from_preset(Preset::by_name("nr_fr1").unwrap());
        let site = Site::new("cell", config, &Streams::new(1, 0)).unwrap();
        let air = Air::new(&site, Direction::Uplink, 2);
        let draws = CounterStream::new(71, 73);
        for n in 0..20_000 {
            let below = |part: u64, limit: u64| draws.child(part).bits(n) % limit;
            let step = below(0, air.ladder.steps.len() as u64) as usize;
            let (blocks, symbols) = (1 + below(1, 20) as u32, [14, 10, 3][below(2, 3) as usize]);
            assert_eq!(air.format(step, blocks, symbols), air.worked_out_format(step, blocks, symbols));
        }
    }

    #[test]
    fn a_quick_look_at_the_curve_decides_as_the_curve_does() {
        let config = CellConfig::from_preset(Preset::by_name("nr_fr1").unwrap());
        let site = Site::new("cell", config, &Streams::new(1, 0)).unwrap();
        let air = Air::new(&site, Direction::Downlink, 2);
        let draws = CounterStream::new(61, 67);
        for n in 0..60_000 {
            let step = (draws.bits(4 * n) % air.ladder.steps.len() as u64) as usize;
            // One code block, and many.
            let blocks = [1, 5, 273][(n % 3) as usize];
            let format = air.format(step, blocks, 14);
            let sigmas = 20.0 * draws.uniform(4 * n + 1) - 10.0;
            let snr_db = format.curve.midpoint_db + sigmas * format.curve.spread_db;
            let error = air.error(&format, snr_db);
            // Draws anywhere, and close to the edge.
            let draw =
                if n % 2 == 0 { draws.uniform(4 * n + 2) } else { error * (0.9 + 0.2 * draws.uniform(4 * n + 3)) };
            assert_eq!(air.fails(&format, snr_db, draw), draw < error, "{format:?}, {sigmas} sigmas, {draw}");
        }
    }
}
