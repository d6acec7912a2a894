//! The radio plane and its neighbours against numbers that this project did not compute: standards as implemented by public
//! packages, and closed forms. `tests/golden/radio/README.md` says where they come from and what passes.
//!
//! `DEFT_GOLDEN_RADIO` names another folder to check, for instance one with more rows. No file is required; one that
//! nothing here reads fails the test.

mod aircomp;
mod compression;
mod errors;
mod fading;
mod fair_sharing;
mod links;
mod mobility;
mod path_loss;
#[path = "../support/queueing.rs"]
mod queueing;
mod queues;
mod scheduling;
mod tables;
mod tally;
#[path = "../support/wired.rs"]
mod wired;

use std::path::{Path as FilePath, PathBuf};
use tally::Tally;

#[test]
fn golden_radio() {
    let folder = std::env::var_os("DEFT_GOLDEN_RADIO")
        .map_or_else(|| FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/radio"), PathBuf::from);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no reference file", folder.display());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if ["README.md", "published_settings.json"].contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let mut tally = Tally::default();
        match name.as_str() {
            "tr38901_pathloss.csv" => path_loss::path_loss(&text, &mut tally),
            "tr38901_los_probability.csv" => path_loss::los_probability(&text, &mut tally),
            "tr38901_shadowing.json" => path_loss::shadowing(&text, &mut tally),
            "tr38901_o2i.csv" => path_loss::outdoor_to_indoor(&text, &mut tally),
            "air_and_rain.json" => path_loss::air_and_rain(&text, &mut tally),
            "nr_mcs_tables.csv" => tables::schemes(&text, &tables::MCS, "mcs_table", "mcs", &mut tally),
            "nr_cqi_tables.csv" => tables::schemes(&text, &tables::CQI, "cqi_table", "cqi", &mut tally),
            "nr_tbs.csv" => tables::transport_blocks(&text, &mut tally),
            "lte_tbs.csv" => tables::lte_transport_blocks(&text, &mut tally),
            "nr_numerology.csv" => tables::numerologies(&text, &mut tally),
            "nr_max_rate_38306.csv" => tables::maximum_rates(&text, &mut tally),
            "nr_bler_sionna.csv" => errors::thresholds(&text, &mut tally),
            "nr_bler_lena.csv" => errors::lena(&text, &mut tally),
            "nr_bler_py3gpp.csv" => errors::py3gpp(&text, &mut tally),
            "nr_tbler_sionna.csv" => errors::transport_block_errors(&text, &mut tally),
            "lte_bler_ns3.json" => errors::lte(&text, &mut tally),
            "nr_link_adaptation.json" => errors::link_adaptation(&text, &mut tally),
            "fading.json" => fading::fading(&text, &mut tally),
            "mobility.json" => mobility::mobility(&text, &mut tally),
            "queues.json" => queues::queues(&text, &mut tally),
            "fair_sharing.json" => fair_sharing::fair_sharing(&text, &mut tally),
            "scheduling_interference.json" => scheduling::scheduling(&text, &mut tally),
            "aircomp.json" => aircomp::aircomp(&text, &mut tally),
            "compression.json" => compression::compressed(&text, &mut tally),
            "uplink_latency.json" => links::uplink_latency(&text, &mut tally),
            "sidelink_tr37885.json" => links::sidelink(&text, &mut tally),
            unknown => panic!("nothing checks {unknown}: teach tests/golden_radio or move the file"),
        }
        assert!(tally.rows > 0, "{name} has no row that is checked");
        println!("golden {name} rows={} worst={:.3} ok (skipped {})", tally.rows, tally.worst, tally.skipped);
    }
}
