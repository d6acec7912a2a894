//! TS 38.214, 38.306, 38.211 and 36.213: schemes, transport blocks, numerologies, maximum rates.

use crate::tally::{Row, Tally, csv_rows, get};
use deft::radio::numerology::{MAX_CODE_RATE, Numerology};
use deft::radio::tables::lte::{schemes as lte_schemes, transport_block_size_bits as lte_transport_block_size_bits};
use deft::radio::tables::{ModulationTable, Scheme};
use deft::radio::transport_block::{Grant, code_blocks, transport_block_size_bits};

pub const MCS: [ModulationTable; 4] =
    [ModulationTable::Mcs1, ModulationTable::Mcs2, ModulationTable::Mcs3, ModulationTable::Mcs4];
pub const CQI: [ModulationTable; 3] = [ModulationTable::Cqi1, ModulationTable::Cqi2, ModulationTable::Cqi3];

fn scheme(row: &Row, tables: &[ModulationTable], table: &str, index: &str) -> Scheme {
    let schemes = tables[get(row, table) as usize - 1].schemes();
    *schemes.iter().find(|s| s.index == get(row, index) as u32).unwrap()
}

pub fn schemes(text: &str, tables: &[ModulationTable], table: &str, index: &str, tally: &mut Tally) {
    let rows = csv_rows(text);
    assert_eq!(rows.len(), tables.iter().map(|t| t.schemes().len()).sum::<usize>(), "{table}");
    for row in rows {
        let scheme = scheme(&row, tables, table, index);
        tally.exact("modulation order", f64::from(scheme.modulation_order), get(&row, "qm"));
        tally.exact("code rate", scheme.rate_x1024, get(&row, "rate_x1024"));
        // The file prints six decimals.
        tally.check("efficiency", scheme.spectral_efficiency(), get(&row, "spectral_efficiency"), 6e-7);
    }
}

pub fn transport_blocks(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let scheme = scheme(&row, &MCS, "mcs_table", "mcs");
        let grant = Grant {
            resource_blocks: get(&row, "n_prb") as u32,
            symbols: get(&row, "n_symb") as u32,
            dmrs_elements: get(&row, "n_dmrs_re_per_prb") as u32,
            overhead_elements: 0,
            layers: get(&row, "layers") as u32,
        };
        let bits = transport_block_size_bits(&grant, &scheme);
        tally.exact("transport block", bits as f64, get(&row, "tbs_bits"));
        tally.exact("code blocks", code_blocks(bits, &scheme) as f64, get(&row, "n_code_blocks"));
    }
}

pub fn numerologies(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let n = Numerology::from_scs_khz(get(&row, "scs_khz") as u32).unwrap();
        tally.exact("mu", f64::from(n.mu()), get(&row, "mu"));
        tally.exact("slots", f64::from(n.slots_per_frame()), get(&row, "slots_per_frame"));
        tally.closed("slot", n.slot_seconds() * 1e3, get(&row, "slot_ms"));
        // The file prints six decimals.
        tally.check("symbol", n.symbol_seconds() * 1e6, get(&row, "symbol_us_mean"), 6e-7);
    }
}

pub fn maximum_rates(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let n = Numerology::from_scs_khz(15 << get(&row, "mu") as u32).unwrap();
        let efficiency = get(&row, "layers") * get(&row, "qm") * get(&row, "scaling_f") * MAX_CODE_RATE;
        let rate = n.rate_bps(get(&row, "n_prb"), efficiency, get(&row, "overhead"));
        tally.check("rate", rate / 1e6, get(&row, "max_rate_mbps"), 1e-8 * rate / 1e6);
    }
}

pub fn lte_transport_blocks(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let (mcs, blocks) = (&lte_schemes()[get(&row, "mcs") as usize], get(&row, "n_prb") as u32);
        for (index, column) in [(mcs.downlink_size_index, "dl_tbs_bits"), (mcs.uplink_size_index, "ul_tbs_bits")] {
            let bits = lte_transport_block_size_bits(index, blocks).unwrap();
            tally.exact(column, bits as f64, get(&row, column));
        }
    }
}
