//! Block errors, effective SINR, choice of scheme, uplink power.

use crate::tables::MCS;
use crate::tally::{Row, Tally, csv_rows, field, get, json_items, list};
use deft::radio::PowerControl;
use deft::radio::error_model::{ErrorModel, effective_snr_db, lte_segmentation};
use deft::radio::link_adaptation::LinkAdaptation;
use deft::radio::tables::lte::schemes as lte_schemes;
use deft::radio::tables::lte::transport_block_size_bits as lte_transport_block_size_bits;
use deft::radio::transport_block::{Grant, segmentation, transport_block_size_bits};
use serde_json::Value;

/// SNR at which `error` falls to `target`, by bisection.
fn snr_at(target: f64, error: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-30.0, 50.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if error(middle) > target { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Sionna's points are the model's data for the sizes it has; thresholds of link adaptation are those of large blocks.
pub fn thresholds(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let table = MCS[get(&row, "mcs_table") as usize - 1];
        let (mcs, bits) = (get(&row, "mcs") as u32, get(&row, "cbs_bits") as u64);
        let model = ErrorModel::nr(table, 0.0);
        for (target, column) in [(0.1, "sionna_snr10_db"), (0.01, "sionna_snr1_db")] {
            if let Ok(expected) = row[column].parse() {
                tally.check(column, snr_at(target, |snr| model.block_error(mcs, bits, snr)), expected, 0.8);
            }
        }
        if bits < 1000 {
            continue;
        }
        let threshold = LinkAdaptation::new(table, 0.0).threshold_db(mcs).unwrap();
        tally.check("threshold", threshold, get(&row, "sionna_snr10_db"), 0.8);
    }
}

/// 5G-LENA asks for about 3 dB more than Sionna: its curves are ours behind an implementation loss of 3 dB, within what its own
/// tables scatter, for blocks of 500 bits and more and schemes that Sionna simulated.
pub fn lena(text: &str, tally: &mut Tally) {
    let mut differences = Vec::new();
    for row in csv_rows(text) {
        let (number, mcs, bits) =
            (get(&row, "mcs_table") as usize, get(&row, "mcs") as u32, get(&row, "cbs_bits") as u64);
        if bits < 500 || row["lena_snr10_db"].is_empty() || number > MCS.len() || lowest_simulated(number) > mcs {
            tally.skipped += 1;
            continue;
        }
        let model = ErrorModel::nr(MCS[number - 1], 3.0);
        let ours = snr_at(0.1, |snr| model.block_error(mcs, bits, snr));
        differences.push(get(&row, "lena_snr10_db") - ours);
    }
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    tally.check("mean distance to 5G-LENA behind 3 dB", mean, 0.0, 0.8);
    for difference in differences {
        tally.check("distance to 5G-LENA behind 3 dB", difference, mean, 2.0);
    }
}

/// Below it Sionna has no curve and ours is carried on at constant distance to Shannon's bound.
fn lowest_simulated(table: usize) -> u32 {
    [4, 2, 10, 2][table - 1]
}

/// A third opinion on 1,000-bit blocks, within 1 dB where 10% of them fail.
pub fn py3gpp(text: &str, tally: &mut Tally) {
    let rows = csv_rows(text);
    for pair in rows.windows(2).filter(|pair| ["mcs_table", "mcs"].iter().all(|k| pair[0][*k] == pair[1][*k])) {
        let error = |row: &Row| get(row, "block_error_rate");
        let Some(snr) = crossing([&pair[0], &pair[1]].map(|row| (get(row, "snr_db"), error(row)))) else { continue };
        let model = ErrorModel::nr(MCS[get(&pair[0], "mcs_table") as usize - 1], 0.0);
        let (mcs, bits) = (get(&pair[0], "mcs") as u32, get(&pair[0], "payload_bits") as u64);
        tally.check("10%", snr_at(0.1, |snr| model.block_error(mcs, bits, snr)), snr, 1.0);
    }
}

/// Where error rates reach 10% between two points (SNR, error rate), on a chord of their logarithms.
fn crossing([above, below]: [(f64, f64); 2]) -> Option<f64> {
    let between = above.1 >= 0.1 && below.1 < 0.1;
    let part = (above.1 / 0.1).ln() / (above.1 / below.1.max(1e-6)).ln();
    between.then_some(above.0 + part * (below.0 - above.0))
}

/// The shape of transport-block errors: they fall where Sionna's fall, reach 10% within the grid's 0.8 dB, and a block of several
/// code blocks fails no less often than one of them. (Sionna's own file has the opposite, and is not followed there.)
pub fn transport_block_errors(text: &str, tally: &mut Tally) {
    let rows = csv_rows(text);
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in &rows {
        match groups.last_mut() {
            Some(group) if ["mcs_table", "mcs", "n_re"].iter().all(|k| group[0][*k] == row[*k]) => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    for group in groups {
        let table = MCS[get(group[0], "mcs_table") as usize - 1];
        let (model, mcs) = (ErrorModel::nr(table, 0.0), get(group[0], "mcs") as u32);
        let scheme = table.schemes()[mcs as usize];
        let grant = Grant {
            resource_blocks: (get(group[0], "n_re") / 120.0) as u32,
            symbols: 10,
            dmrs_elements: 0,
            overhead_elements: 0,
            layers: 1,
        };
        let parts = segmentation(transport_block_size_bits(&grant, &scheme), &scheme);
        let code_block = |snr: f64| model.block_error(mcs, parts.code_block_bits, snr);
        let whole = |snr: f64| model.transport_block_error(mcs, parts, snr);
        let at = |row: &Row| get(row, "sinr_eff_db");
        for pair in group.windows(2) {
            assert!(get(pair[1], "cb_bler") < get(pair[0], "cb_bler") && whole(at(pair[1])) <= whole(at(pair[0])));
            assert!(whole(at(pair[0])) >= code_block(at(pair[0])));
            tally.rows += 1;
        }
        let points = |pair: &[&Row]| [pair[0], pair[1]].map(|row| (at(row), get(row, "cb_bler")));
        if let Some(sionna) = group.windows(2).find_map(|pair| crossing(points(pair))) {
            tally.check("10% of code blocks", snr_at(0.1, code_block), sionna, 0.8);
        }
    }
}

pub fn lte(text: &str, tally: &mut Tally) {
    let model = ErrorModel::lte(0.0);
    for item in json_items(text) {
        let (mcs, blocks) = (field(&item, "mcs") as u32, field(&item, "n_prb") as u32);
        let index = lte_schemes()[mcs as usize].downlink_size_index;
        let bits = lte_transport_block_size_bits(index, blocks).unwrap();
        let error = |snr: f64| model.transport_block_error(mcs, lte_segmentation(bits), snr);
        match item["kind"].as_str().unwrap() {
            "flat" => {
                tally.exact("transport block", bits as f64, field(&item, "tb_bits"));
                tally.check("10%", snr_at(0.1, error), field(&item, "snr10_db"), 0.5);
                tally.check("1%", snr_at(0.01, error), field(&item, "snr1_db"), 0.5);
            }
            "frequency_selective" => {
                let shape = list(&item, "sinr_shape_db");
                let over_blocks = |level: f64| {
                    let snrs: Vec<f64> = (0..blocks as usize).map(|i| level + shape[i % shape.len()]).collect();
                    error(effective_snr_db(model.beta(mcs), &snrs))
                };
                tally.check("level at 10%", snr_at(0.1, over_blocks), field(&item, "level10_db"), 0.5);
                tally.check("flat level at 10%", snr_at(0.1, error), field(&item, "flat_level10_db"), 0.5);
            }
            unknown => panic!("lte_bler_ns3.json has an unknown kind {unknown}"),
        }
    }
}

pub fn link_adaptation(text: &str, tally: &mut Tally) {
    let all: Value = serde_json::from_str(text).unwrap();
    for item in all["eesm"].as_array().unwrap() {
        let model = ErrorModel::nr(MCS[field(item, "mcs_table") as usize - 1], 0.0);
        let beta = model.beta(field(item, "mcs") as u32);
        tally.check("beta", beta, field(item, "beta"), 0.005);
        let snr = effective_snr_db(field(item, "beta"), &list(item, "sinr_db"));
        tally.check("effective SINR", snr, field(item, "sinr_eff_db"), 1e-9);
    }
    for item in all["inner_loop_mcs_at_10pct"].as_array().unwrap() {
        let (snr_db, number) = (field(item, "sinr_eff_db"), field(item, "mcs_table") as usize);
        // Sionna has no curve below MCS 3 and 2 and stops there; short blocks want another threshold.
        if field(item, "n_re") < 1000.0 || snr_db < 0.0 {
            tally.skipped += 1;
            continue;
        }
        let chosen = LinkAdaptation::new(MCS[number - 1], 0.0).select(snr_db).unwrap().index;
        tally.check("chosen MCS", f64::from(chosen), field(item, "sionna_mcs"), 1.0);
    }
    for item in all["uplink_power_control"].as_array().unwrap() {
        let control = PowerControl { p0_dbm: field(item, "p0_dbm_per_prb"), alpha: field(item, "alpha") };
        let blocks = field(item, "n_subcarriers") / 12.0;
        let power = control.transmit_dbm(blocks, 0, field(item, "pathloss_db"), field(item, "pmax_dbm"));
        tally.check("transmit power", power, field(item, "tx_dbm"), 1e-6);
    }
}
