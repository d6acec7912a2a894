//! Which scheme on how many blocks, by table: what [`LinkAdaptation::best`] answers, quickly enough for every slot.

use crate::radio::error_model::scheme_beta;
use crate::radio::link_adaptation::LinkAdaptation;
use crate::radio::selectivity::Selectivity;
use crate::radio::tables::{ModulationTable, Scheme};
use crate::radio::units::{db_to_linear, linear_to_db};

/// Higher schemes that may be worth fewer blocks are at most so many steps up.
const LOOK_AHEAD: usize = 12;

/// A scheme on a number of layers that no other beats at its SNR.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub scheme: Scheme,
    pub layers: u32,
    /// SNR needed by all layers together, dB.
    pub threshold_db: f64,
    /// Bits per symbol over all layers.
    pub efficiency: f64,
    /// 10 log10 of the layers.
    pub layers_db: f64,
    /// Of the effective SNR, dB.
    pub beta_db: f64,
    efficiency_db: f64,
}

/// What a link offers a grant, as the scheduler believes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offered {
    /// SNR with all power over the whole band.
    pub full_band_db: f64,
    /// What concentrating power cannot exceed; `full_band_db` for a downlink.
    pub ceiling_db: f64,
}

impl Step {
    /// Mean SNR over a band that is not flat at which this step has its threshold.
    pub fn needed_db(&self, selectivity: &Selectivity) -> f64 {
        selectivity.needed_db(self.threshold_db - self.layers_db, self.beta_db) + self.layers_db
    }
}

impl Offered {
    pub fn on(&self, concentration_db: f64) -> f64 {
        (self.full_band_db + concentration_db).min(self.ceiling_db)
    }

    pub fn raised_by(self, db: f64) -> Self {
        Self { full_band_db: self.full_band_db + db, ceiling_db: self.ceiling_db + db }
    }
}

/// Steps by rising SNR and rising efficiency.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    pub steps: Vec<Step>,
    /// Of each step, close together for searches.
    thresholds_db: Vec<f64>,
    /// The step with the most bits for its SNR: what a terminal uses that lacks power for its grant.
    thriftiest: usize,
    /// 10 log10(N / n) for n blocks of N; entry 0 is not used.
    concentration_db: Vec<f64>,
}

impl Ladder {
    pub fn new(adaptation: &LinkAdaptation, table: ModulationTable, max_layers: u32, blocks: u32) -> Self {
        let mut all = Vec::new();
        for layers in 1..=max_layers {
            for scheme in table.schemes() {
                let Some(threshold_db) = adaptation.threshold_db(scheme.index) else { continue };
                let layers_db = linear_to_db(f64::from(layers));
                let threshold_db = threshold_db + layers_db;
                let efficiency = scheme.spectral_efficiency() * f64::from(layers);
                let efficiency_db = linear_to_db(efficiency);
                let beta_db = linear_to_db(scheme_beta(scheme));
                all.push(Step { scheme: *scheme, layers, threshold_db, efficiency, layers_db, beta_db, efficiency_db });
            }
        }
        // Stable: of equal thresholds the one with fewer layers comes first.
        all.sort_by(|a, b| a.threshold_db.total_cmp(&b.threshold_db));
        let mut steps: Vec<Step> = Vec::new();
        for step in all {
            if steps.last().is_none_or(|top| step.efficiency > top.efficiency) {
                steps.push(step);
            }
        }
        let per_snr = |s: &Step| s.efficiency / db_to_linear(s.threshold_db);
        let thriftiest = (0..steps.len()).max_by(|a, b| per_snr(&steps[*a]).total_cmp(&per_snr(&steps[*b])));
        let concentration = |n: u32| linear_to_db(f64::from(blocks) / f64::from(n.max(1)));
        Self {
            thresholds_db: steps.iter().map(|s| s.threshold_db).collect(),
            thriftiest: thriftiest.unwrap_or(0),
            concentration_db: (0..=blocks).map(concentration).collect(),
            steps,
        }
    }

    pub fn concentration_db(&self, blocks: u32) -> f64 {
        self.concentration_db[blocks as usize]
    }

    /// The highest step whose threshold `snr_db` meets.
    pub fn at(&self, snr_db: f64) -> Option<usize> {
        self.thresholds_db.partition_point(|threshold| *threshold <= snr_db).checked_sub(1)
    }

    /// The same over a band that is not flat, for its mean.
    pub fn at_over(&self, snr_db: f64, selectivity: &Selectivity) -> Option<usize> {
        // No step needs less than over a flat band.
        (0..self.at(snr_db)? + 1).rfind(|k| self.steps[*k].needed_db(selectivity) <= snr_db)
    }

    /// The step and the number of blocks, at most `granted`, with the highest rate. `None` where not even one block
    /// carries a scheme.
    pub fn choose(&self, offered: &Offered, granted: u32) -> Option<(usize, u32)> {
        let snr_db = offered.on(self.concentration_db(granted));
        let at = self.at(snr_db);
        let mut best = at.map(|k| (k, granted));
        if snr_db >= offered.ceiling_db {
            // Fewer blocks would not raise the SNR.
            return best;
        }
        let rate = |(k, n): (usize, u32)| self.steps[k].efficiency * f64::from(n);
        let ahead = match at {
            Some(k) => k + 1..(k + 1 + LOOK_AHEAD).min(self.steps.len()),
            None => 0..self.thriftiest + 1,
        };
        for k in ahead {
            let step = &self.steps[k];
            let missing_db = step.threshold_db - snr_db;
            let gain_db = at.map(|k| step.efficiency_db - self.steps[k].efficiency_db);
            if step.threshold_db > offered.ceiling_db || gain_db.is_some_and(|gain| gain <= missing_db) {
                continue;
            }
            let fitting = f64::from(granted) * db_to_linear(-missing_db);
            let candidate = (k, (fitting + 1e-9).floor() as u32);
            if candidate.1 > 0 && best.is_none_or(|b| rate(candidate) > rate(b)) {
                best = Some(candidate);
            }
        }
        best.or_else(|| {
            let one = self.at(offered.on(self.concentration_db(1)))?;
            Some((one, 1))
        })
    }
}

/// Thresholds of channel quality reports, one layer.
#[derive(Clone, Debug)]
pub(super) struct Quality {
    thresholds_db: Vec<f64>,
    betas_db: Vec<f64>,
}

impl Quality {
    /// Of the CQI table that goes with an MCS table. Where the program has none (1024-QAM), and in LTE whose schemes are
    /// CQI rows, a report names a row of the table itself.
    pub fn new(table: ModulationTable, implementation_loss_db: f64) -> Self {
        let reported = match table {
            ModulationTable::Mcs1 => ModulationTable::Cqi1,
            ModulationTable::Mcs2 => ModulationTable::Cqi2,
            ModulationTable::Mcs3 => ModulationTable::Cqi3,
            other => other,
        };
        let adaptation = LinkAdaptation::new(reported, implementation_loss_db);
        let row = |s: &Scheme| Some((adaptation.threshold_db(s.index)?, linear_to_db(scheme_beta(s))));
        let mut rows: Vec<(f64, f64)> = reported.schemes().iter().filter_map(row).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (thresholds_db, betas_db) = rows.into_iter().unzip();
        Self { thresholds_db, betas_db }
    }

    /// The highest index that an SNR a layer supports; 0 is out of range.
    pub fn index(&self, snr_per_layer_db: f64) -> u32 {
        self.thresholds_db.partition_point(|t| *t <= snr_per_layer_db) as u32
    }

    /// The same over a band that is not flat, for its mean.
    pub fn index_over(&self, snr_per_layer_db: f64, selectivity: &Selectivity) -> u32 {
        let rows = self.thresholds_db.iter().zip(&self.betas_db);
        let supported = |(t, b): (&f64, &f64)| selectivity.needed_db(*t, *b) <= snr_per_layer_db;
        rows.rev().position(supported).map_or(0, |above| (self.thresholds_db.len() - above) as u32)
    }

    /// What index `cqi` promises; `None` for 0.
    pub fn snr_db(&self, cqi: u32) -> Option<f64> {
        (cqi as usize).checked_sub(1).map(|i| self.thresholds_db[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::link_adaptation::Offer;

    #[test]
    fn the_ladder_agrees_with_the_plain_search() {
        const BLOCKS: u32 = 273;
        for table in [ModulationTable::Mcs1, ModulationTable::Mcs2, ModulationTable::Cqi1] {
            let adaptation = LinkAdaptation::new(table, 1.0);
            for max_layers in [1, 4] {
                let ladder = Ladder::new(&adaptation, table, max_layers, BLOCKS);
                for granted in [1, 5, 40, BLOCKS] {
                    for tenth_db in -400..450 {
                        let full_band_db = f64::from(tenth_db) / 10.0;
                        for ceiling_db in [full_band_db, full_band_db + 7.0, f64::INFINITY] {
                            let share = f64::from(granted) / f64::from(BLOCKS);
                            let offer = Offer {
                                full_band_snr: db_to_linear(full_band_db),
                                snr_ceiling: db_to_linear(ceiling_db),
                                share,
                                smallest_part: 1.0 / f64::from(BLOCKS),
                                max_layers,
                            };
                            let plain = adaptation.best(&offer);
                            let fast = ladder.choose(&Offered { full_band_db, ceiling_db }, granted);
                            let plain_rate = plain
                                .map_or(0.0, |c| c.scheme.spectral_efficiency() * f64::from(c.layers) * c.used_share);
                            let fast_rate = fast
                                .map_or(0.0, |(k, n)| ladder.steps[k].efficiency * f64::from(n) / f64::from(BLOCKS));
                            // Whole blocks cost less than the highest efficiency on one of them.
                            let one_block = plain.map_or(0.0, |c| c.scheme.spectral_efficiency() * f64::from(c.layers))
                                / f64::from(BLOCKS);
                            assert!(
                                fast_rate <= plain_rate * (1.0 + 1e-9) && fast_rate >= plain_rate - 1.0001 * one_block,
                                "{table:?} {max_layers} {granted} {full_band_db} {ceiling_db}: {fast:?} {plain:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_report_promises_no_more_than_there_is() {
        let quality = Quality::new(ModulationTable::Mcs2, 3.0);
        assert_eq!((quality.index(-30.0), quality.snr_db(0)), (0, None));
        for tenth_db in -100..400 {
            let snr_db = f64::from(tenth_db) / 10.0;
            assert!(quality.snr_db(quality.index(snr_db)).is_none_or(|promised| promised <= snr_db));
        }
        assert_eq!(quality.index(60.0), 15);
    }
}
