//! NR: code blocks as Sionna's link simulations found them, filled in between.

use super::SchemeErrors;
use super::eesm::beta;
use crate::radio::link_adaptation::{interpolate, position_in, shannon_snr_db};
use crate::radio::tables::{MeasuredThreshold, ModulationTable, Scheme, measured_thresholds};

/// The code-block sizes of the simulations.
const SIZES_BITS: [u32; 5] = [24, 100, 500, 1000, 2000];

/// Curves of a table's schemes. As with the thresholds of link adaptation, a scheme between two simulated ones takes
/// their distance to Shannon's bound by linear interpolation over the index, and beyond them the nearest one's; so does
/// the width of the curve.
pub(super) fn schemes(table: ModulationTable) -> Vec<SchemeErrors> {
    let reference = table.mcs_counterpart();
    let columns: Vec<_> = SIZES_BITS.iter().map(|bits| (f64::from(*bits).log2(), columns(reference, *bits))).collect();
    let errors = |scheme: &Scheme| {
        let (x, bound_db) = (position_in(reference.schemes(), scheme), shannon_snr_db(scheme.spectral_efficiency()));
        let sizes = columns
            .iter()
            .map(|(log_bits, [gaps, widths])| (*log_bits, bound_db + interpolate(gaps, x), interpolate(widths, x)))
            .collect();
        SchemeErrors { index: scheme.index, beta: beta(scheme), sizes }
    };
    table.schemes().iter().map(errors).collect()
}

/// (index, dB above Shannon's bound at 10%) and (index, dB from 10% to 1%) of the simulated schemes at one size. An index
/// whose simulations lack this size lends its neighbours in size.
fn columns(table: ModulationTable, bits: u32) -> [Vec<(f64, f64)>; 2] {
    let rows: Vec<&MeasuredThreshold> = measured_thresholds().iter().filter(|row| row.table == table).collect();
    let mut indices: Vec<u32> = rows.iter().map(|row| row.index).collect();
    indices.dedup();
    let bound_db = |index: u32| {
        let scheme = table.schemes().iter().find(|s| s.index == index).expect("measured schemes are in their table");
        shannon_snr_db(scheme.spectral_efficiency())
    };
    let at_size = |index: u32, value: &dyn Fn(&MeasuredThreshold) -> Option<f64>| {
        let of_index = rows.iter().filter(|row| row.index == index);
        let points: Vec<_> = of_index.filter_map(|row| Some((f64::from(row.bits).log2(), value(row)?))).collect();
        (!points.is_empty()).then(|| (f64::from(index), interpolate(&points, f64::from(bits).log2())))
    };
    let gaps = |i: &u32| at_size(*i, &|row| Some(row.snr10_db - bound_db(*i)));
    let widths = |i: &u32| at_size(*i, &|row| row.snr1_db.map(|snr1_db| snr1_db - row.snr10_db));
    [indices.iter().filter_map(gaps).collect(), indices.iter().filter_map(widths).collect()]
}

#[cfg(test)]
mod tests {
    use super::super::ErrorModel;
    use super::*;

    #[test]
    fn simulated_points_are_met() {
        for row in measured_thresholds() {
            let model = ErrorModel::nr(row.table, 0.0);
            let at = |snr_db| model.block_error(row.index, u64::from(row.bits), snr_db);
            assert!((at(row.snr10_db) - 0.1).abs() < 1e-9, "{row:?}");
            assert!(row.snr1_db.is_none_or(|snr1_db| (at(snr1_db) - 0.01).abs() < 1e-9), "{row:?}");
        }
    }
}
