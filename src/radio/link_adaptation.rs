//! From SNR to modulation, coding rate, layers and the part of the band that is worth using.

use super::error_model::scheme_beta;
use super::selectivity::Selectivity;
use super::tables::{ModulationTable, Scheme, measured_thresholds};
use super::units::{db_to_linear, linear_to_db};
use std::sync::{Arc, Mutex, PoisonError};

/// Block error rate at which schemes are chosen (TS 38.214 clause 5.2.2.1).
pub const TARGET_BLER: f64 = 0.1;
/// Code blocks for which thresholds hold: the largest that were simulated.
const LARGE_BLOCK_BITS: u32 = 2000;

/// A table of schemes with the SNR that each needs for [`TARGET_BLER`].
#[derive(Clone, Debug, PartialEq)]
pub struct LinkAdaptation {
    rungs: Arc<[Rung]>,
}

/// Rungs with their table and implementation loss in dB.
type Made = (ModulationTable, f64, Arc<[Rung]>);
/// Those made last: cells that are alike share them, and so find them warm.
static LAST: Mutex<Option<Made>> = Mutex::new(None);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Rung {
    scheme: Scheme,
    efficiency: f64,
    threshold_db: f64,
    threshold: f64,
    /// Of the effective SNR, dB.
    beta_db: f64,
}

/// What the transmitter of a link has to offer, in linear units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// SNR with all available power spread over the whole band; over a part `b` of the band it is `full_band_snr / b`
    /// if power can be concentrated.
    pub full_band_snr: f64,
    /// What the SNR cannot exceed however small the part: infinite without power control; equal to `full_band_snr`
    /// for a transmitter that spreads its power evenly (a downlink).
    pub snr_ceiling: f64,
    /// Granted part of the band, in (0, 1].
    pub share: f64,
    /// Smallest part that can be scheduled (one resource block), in (0, 1].
    pub smallest_part: f64,
    pub max_layers: u32,
}

/// A chosen scheme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub scheme: Scheme,
    pub layers: u32,
    /// Part of the band that is used, at most the granted share.
    pub used_share: f64,
    /// Error-free bits per complex symbol of the used part, over all layers: efficiency x layers x (1 - BLER).
    pub goodput_per_symbol: f64,
}

impl LinkAdaptation {
    /// Thresholds of an ideal receiver, raised by `implementation_loss_db` (3 dB give 5G-LENA's curves).
    ///
    /// Schemes without a measured threshold take the gap to Shannon's bound log2(1 + SNR) by linear interpolation
    /// over the index between their measured neighbours, and that of the nearest measured scheme at the table's ends.
    /// CQI tables read their MCS counterpart's gaps at equal efficiency.
    pub fn new(table: ModulationTable, implementation_loss_db: f64) -> Self {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, rungs)) = last.as_ref().filter(|(t, db, _)| (*t, *db) == (table, implementation_loss_db)) {
            return Self { rungs: Arc::clone(rungs) };
        }
        let gaps = measured_gaps(table.mcs_counterpart());
        let reference = table.mcs_counterpart().schemes();
        let rung = |scheme: &Scheme| {
            let efficiency = scheme.spectral_efficiency();
            let gap_db = interpolate(&gaps, position_in(reference, scheme));
            let threshold_db = shannon_snr_db(efficiency) + gap_db + implementation_loss_db;
            let beta_db = linear_to_db(scheme_beta(scheme));
            Rung { scheme: *scheme, efficiency, threshold_db, threshold: db_to_linear(threshold_db), beta_db }
        };
        let rungs: Arc<[Rung]> = table.schemes().iter().map(rung).collect();
        *last = Some((table, implementation_loss_db, Arc::clone(&rungs)));
        Self { rungs }
    }

    /// Effective SNR of scheme `index` where one layer's mean over the band is `snr_db`.
    pub fn effective_db(&self, index: u32, snr_db: f64, selectivity: &Selectivity) -> f64 {
        let rung = self.rungs.iter().find(|r| r.scheme.index == index);
        rung.map_or(snr_db, |rung| selectivity.effective_db(snr_db, rung.beta_db))
    }

    /// SNR that scheme `index` needs on one layer, dB; `None` if the table has no such index.
    pub fn threshold_db(&self, index: u32) -> Option<f64> {
        self.rungs.iter().find(|r| r.scheme.index == index).map(|r| r.threshold_db)
    }

    /// The most efficient scheme that one layer at `snr_db` supports; `None` is outage.
    pub fn select(&self, snr_db: f64) -> Option<Scheme> {
        let snr = db_to_linear(snr_db);
        let offer = Offer { full_band_snr: snr, snr_ceiling: snr, share: 1.0, smallest_part: 1.0, max_layers: 1 };
        self.best(&offer).map(|choice| choice.scheme)
    }

    /// The scheme, number of layers and part of the band with the highest goodput; `None` is outage.
    ///
    /// Layers split power evenly and do not interfere (assumed). A transmitter short of power uses less than its share
    /// rather than fall silent: scheme m fits into `min(share, full_band_snr / threshold_m)` of the band. More power
    /// or more band therefore never lowers the rate.
    pub fn best(&self, offer: &Offer) -> Option<Choice> {
        self.best_of(offer, self.rungs.iter().map(|rung| rung.threshold))
    }

    /// [`Self::best`] over a band that is not flat: each scheme needs an SNR, in the mean over the band, at which its effective SNR is
    /// its threshold.
    pub fn best_over(&self, offer: &Offer, selectivity: &Selectivity) -> Option<Choice> {
        let needed = |rung: &Rung| db_to_linear(selectivity.needed_db(rung.threshold_db, rung.beta_db));
        let thresholds: Vec<f64> = self.rungs.iter().map(needed).collect();
        self.best_of(offer, thresholds.iter().copied())
    }

    fn best_of(&self, offer: &Offer, thresholds: impl Iterator<Item = f64> + Clone) -> Option<Choice> {
        let mut best: Option<(f64, Choice)> = None;
        for layers in 1..=offer.max_layers {
            for (rung, threshold) in self.rungs.iter().zip(thresholds.clone()) {
                let needed = threshold * f64::from(layers);
                let part = if offer.full_band_snr >= needed * offer.share {
                    offer.share
                } else {
                    offer.full_band_snr / needed
                };
                if needed > offer.snr_ceiling || part < offer.smallest_part.min(offer.share) {
                    continue;
                }
                let goodput_per_symbol = rung.efficiency * f64::from(layers) * (1.0 - TARGET_BLER);
                let rate = goodput_per_symbol * part;
                if best.is_none_or(|(highest, _)| rate > highest) {
                    best = Some((rate, Choice { scheme: rung.scheme, layers, used_share: part, goodput_per_symbol }));
                }
            }
        }
        best.map(|(_, choice)| choice)
    }
}

/// SNR at which log2(1 + SNR) equals `efficiency`, dB.
pub fn shannon_snr_db(efficiency: f64) -> f64 {
    linear_to_db(efficiency.exp2() - 1.0)
}

/// (index, dB above Shannon's bound) of the measured schemes of an MCS table.
fn measured_gaps(table: ModulationTable) -> Vec<(f64, f64)> {
    let gap = |index: u32, snr_db: f64| {
        let scheme = table.schemes().iter().find(|s| s.index == index).expect("measured schemes are in their table");
        (f64::from(index), snr_db - shannon_snr_db(scheme.spectral_efficiency()))
    };
    let large = measured_thresholds().iter().filter(|m| m.table == table && m.bits == LARGE_BLOCK_BITS);
    large.map(|m| gap(m.index, m.snr10_db)).collect()
}

/// Where `scheme` stands among `reference`, as an index: the scheme equal to it, else the last one below it.
pub(super) fn position_in(reference: &[Scheme], scheme: &Scheme) -> f64 {
    let equal =
        reference.iter().find(|r| r.modulation_order == scheme.modulation_order && r.rate_x1024 == scheme.rate_x1024);
    let below = || reference.iter().rfind(|r| r.spectral_efficiency() <= scheme.spectral_efficiency());
    f64::from(equal.or_else(below).unwrap_or(&reference[0]).index)
}

/// Linear between points sorted by x, constant outside.
pub(super) fn interpolate(points: &[(f64, f64)], x: f64) -> f64 {
    let after = points.partition_point(|p| p.0 <= x);
    match (after.checked_sub(1).map(|i| points[i]), points.get(after)) {
        (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0),
        (Some(end), None) => end.1,
        (None, Some(start)) => start.1,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(full_band_snr: f64, share: f64) -> Offer {
        Offer { full_band_snr, snr_ceiling: f64::INFINITY, share, smallest_part: 1e-3, max_layers: 2 }
    }

    #[test]
    fn thresholds_rise_with_efficiency_and_stay_above_shannon() {
        for table in ModulationTable::ALL {
            let adaptation = LinkAdaptation::new(table, 0.0);
            for pair in adaptation.rungs.windows(2) {
                // At equal efficiency, a higher modulation at a lower code rate may need a little less.
                let order = |i: usize| pair[i].scheme.modulation_order;
                let slack_db = if order(0) == order(1) { 0.0 } else { 0.5 };
                assert!(pair[1].threshold_db > pair[0].threshold_db - slack_db, "{table:?} {pair:?}");
            }
            for rung in adaptation.rungs.iter() {
                let gap = rung.threshold_db - shannon_snr_db(rung.efficiency);
                assert!((0.3..3.0).contains(&gap), "{table:?} {rung:?}");
            }
        }
    }

    #[test]
    fn no_scheme_below_the_lowest_threshold() {
        let adaptation = LinkAdaptation::new(ModulationTable::Mcs1, 0.0);
        let lowest = adaptation.threshold_db(0).unwrap();
        assert_eq!(adaptation.select(lowest - 0.01), None);
        assert_eq!(adaptation.select(lowest + 0.01).unwrap().index, 0);
        assert_eq!(adaptation.select(60.0).unwrap().index, 28);
        let worse = LinkAdaptation::new(ModulationTable::Mcs1, 3.0);
        assert!((worse.threshold_db(12).unwrap() - adaptation.threshold_db(12).unwrap() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn more_power_or_more_band_never_lowers_the_rate() {
        let adaptation = LinkAdaptation::new(ModulationTable::Mcs2, 0.0);
        let rate = |o: &Offer| adaptation.best(o).map_or(0.0, |c| c.goodput_per_symbol * c.used_share);
        let snrs: Vec<f64> = (-30..45).map(|db| db_to_linear(f64::from(db))).collect();
        for pair in snrs.windows(2) {
            for share in [0.01, 0.1, 0.5, 1.0] {
                assert!(rate(&offer(pair[1], share)) >= rate(&offer(pair[0], share)));
                assert!(rate(&offer(pair[0], share)) >= rate(&offer(pair[0], share / 2.0)) - 1e-12);
            }
        }
        // At -20 dB over the whole band nothing works; concentrated in a part of it, something does.
        let choice = adaptation.best(&offer(0.01, 1.0)).unwrap();
        assert!(choice.used_share < 0.1);
    }

    #[test]
    fn even_power_cannot_be_concentrated() {
        let adaptation = LinkAdaptation::new(ModulationTable::Mcs2, 0.0);
        let downlink = Offer { full_band_snr: 0.01, snr_ceiling: 0.01, share: 1.0, smallest_part: 1e-3, max_layers: 2 };
        assert_eq!(adaptation.best(&downlink), None);
    }
}
