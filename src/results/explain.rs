//! One transfer from metres to seconds: the rows of `flows.csv`, term by term, for a reader at a terminal.

use super::units::{Quantity, significant};
use crate::experiment::{FlowRecord, Record};
use std::fmt::Write as _;

/// Which transfers of a record to explain.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub replication: u64,
    pub device: &'a str,
    /// `None`: the first round in which the device sent or received something.
    pub round: Option<usize>,
}

/// Why there is nothing to explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NothingToExplain {
    #[error("the run has no replication {found}; it has 0 to {last}")]
    Replication { found: u64, last: u64 },
    #[error("no device `{found}` sent or received anything; those that did are {known}")]
    Device { found: String, known: String },
    #[error("`{device}` sent or received nothing in round {round}; it did in rounds {rounds}")]
    Round { device: String, round: usize, rounds: String },
}

/// The transfers of one device in one round, each walked through from geometry to seconds.
///
/// # Errors
/// Says which replications, devices or rounds there are.
pub fn explain(record: &Record, wanted: &Wanted<'_>) -> Result<String, NothingToExplain> {
    let replication = record.replications.iter().find(|r| r.replication == wanted.replication).ok_or_else(|| {
        let last = record.replications.iter().map(|r| r.replication).max().unwrap_or(0);
        NothingToExplain::Replication { found: wanted.replication, last }
    })?;
    let own: Vec<&FlowRecord> = replication.flows.iter().filter(|f| f.device == wanted.device).collect();
    let Some(first) = own.iter().map(|f| f.round).min() else {
        let known = listed(replication.flows.iter().map(|f| f.device.clone()));
        return Err(NothingToExplain::Device { found: wanted.device.to_owned(), known });
    };
    let round = wanted.round.unwrap_or(first);
    let flows: Vec<&&FlowRecord> = own.iter().filter(|f| f.round == round).collect();
    if flows.is_empty() {
        let rounds = listed(own.iter().map(|f| f.round));
        return Err(NothingToExplain::Round { device: wanted.device.to_owned(), round, rounds });
    }
    let mut text = String::new();
    for (number, flow) in flows.iter().enumerate() {
        let of = format!("transfer {} of {}", number + 1, flows.len());
        text += &format!("{} round {round}, {of}: {} of {}\n", wanted.device, flow.direction, flow.content);
        text += &walk(flow);
        text.push('\n');
    }
    Ok(text)
}

/// The different ones, in order, at most 12 of them.
fn listed<T: Ord + ToString>(items: impl Iterator<Item = T>) -> String {
    const MOST: usize = 12;
    let all: std::collections::BTreeSet<T> = items.collect();
    let shown: Vec<String> = all.iter().take(MOST).map(T::to_string).collect();
    let more = if all.len() > MOST { format!(", and {} more", all.len() - MOST) } else { String::new() };
    shown.join(", ") + &more
}

/// Lines of name, value with unit, and where the value comes from.
struct Walk(String);

impl Walk {
    fn step(&mut self, name: &str, value: &str, why: &str) {
        let line = format!("  {name:<22}{value:>16}  {why}");
        writeln!(self.0, "{}", line.trim_end()).expect("strings take any text");
    }

    fn db(&mut self, name: &str, value: f64, why: &str) {
        self.step(name, &format!("{value:+.2} dB"), why);
    }
}

fn walk(flow: &FlowRecord) -> String {
    let mut w = Walk(String::new());
    geometry_to_snr(&mut w, flow);
    snr_to_blocks(&mut w, flow);
    blocks_to_seconds(&mut w, flow);
    w.0
}

/// Terms add up: each sign is the one with which the term counts.
fn geometry_to_snr(w: &mut Walk, f: &FlowRecord) {
    let metres = |m: f64| format!("{} m", significant(m, 4));
    let sight = if f.line_of_sight { "in line of sight" } else { "without line of sight" };
    w.step("distance", &metres(f.distance_m), &format!("{} on the ground, {sight}", metres(f.ground_distance_m)));
    w.step("transmit power", &format!("{:.2} dBm", f.tx_power_dbm), "on the part of the band in use");
    w.db("antenna gains", f.antenna_gain_db, "both ends");
    w.db("path loss", -f.path_loss_db, "mean over the distance");
    if f.indoor_loss_db != 0.0 {
        w.db("building", -f.indoor_loss_db, "wall, and the way behind it");
    }
    if f.air_loss_db != 0.0 {
        w.db("gases and rain", -f.air_loss_db, "");
    }
    w.db("shadowing", -f.shadowing_db, "obstacles, around the mean");
    let band = if f.effective_snr_db.is_some() { ", mean over the band" } else { "" };
    w.db("fading", f.fading_db, &format!("small scale, when the transfer began{band}"));
    let received = received_dbm(f);
    w.step("received", &format!("{received:.2} dBm"), "the sum");
    let band = format!("{} MHz", significant(f.bandwidth_hz / 1e6, 4));
    w.step("noise", &format!("{:.2} dBm", f.noise_dbm), &format!("in {band}, receiver included"));
    if f.interference_db != 0.0 {
        w.db("interference", f.interference_db, "rise over the noise");
    }
    let when = format!("when it began; {:.2} dB on average", f.mean_snr_db);
    w.step("SINR", &format!("{:.2} dB", f.start_snr_db), &when);
    if let Some(effective_db) = f.effective_snr_db {
        let cost =
            format!("on average: what blocks are worth, the band's shape costs {:.2} dB", f.mean_snr_db - effective_db);
        w.step("effective SINR", &format!("{effective_db:.2} dB"), &cost);
    }
}

/// What the terms of a row add up to at the receiver's antenna port.
fn received_dbm(f: &FlowRecord) -> f64 {
    let losses = f.path_loss_db + f.indoor_loss_db + f.air_loss_db + f.shadowing_db;
    f.tx_power_dbm + f.antenna_gain_db + f.fading_db - losses
}

fn snr_to_blocks(w: &mut Walk, f: &FlowRecord) {
    let Some(mcs) = f.mean_mcs else {
        let analog = f.on_air_s.is_none_or(|s| s > 0.0);
        let why = if analog { "analog symbols, or a rate that is not made of schemes" } else { "none was usable" };
        w.step("scheme", "none", why);
        return;
    };
    if let Some(cqi) = f.mean_cqi {
        w.step("CQI", &significant(cqi, 3), "reported, mean");
    }
    let layers = f.mean_layers.map(|l| format!("on {} layers", significant(l, 3))).unwrap_or_default();
    w.step("MCS", &significant(mcs, 3), &format!("mean index {layers}"));
    if let Some(error) = f.block_error_rate {
        w.step("block errors", &format!("{:.1} %", 100.0 * error), "of first transmissions");
    }
    if let Some(tries) = f.mean_transmissions {
        w.step("HARQ", &significant(tries, 4), "transmissions a block");
    }
}

fn blocks_to_seconds(w: &mut Walk, f: &FlowRecord) {
    w.step("share of the band", &format!("{:.2} %", 100.0 * f.mean_share), "granted, mean");
    if let Some(blocks) = f.mean_resource_blocks {
        w.step("resource blocks", &significant(blocks, 4), "in use, mean");
    }
    let rate = |bit_per_s: f64| format!("{} Mbit/s", significant(bit_per_s / 1e6, 4));
    let bits = f.bytes as f64 * 8.0;
    if let Some(on_air) = f.on_air_s.filter(|s| *s > 0.0) {
        w.step("on the air", &Quantity::Seconds.show(on_air), &format!("{} while sending", rate(bits / on_air)));
        let outage = f.outage_s.unwrap_or(0.0);
        let other = (f.radio_s - outage - on_air).max(0.0);
        if other > 1e-9 {
            w.step(
                "waiting for slots",
                &Quantity::Seconds.show(other),
                "the carrier's other direction, or other devices",
            );
        }
        if outage > 0.0 {
            w.step("no usable scheme", &Quantity::Seconds.show(outage), "in deep fades");
        }
    }
    w.step(
        "bytes",
        &Quantity::Bytes.show(f.bytes as f64),
        &format!("{} over the radio time", rate(f.mean_rate_bit_per_s)),
    );
    w.step("radio time", &Quantity::Seconds.show(f.radio_s), &format!("cell `{}`", f.cell));
    w.step("wired time", &Quantity::Seconds.show(f.wired_s), &format!("`{}`", f.edge_server));
    if f.no_route_s > 0.0 {
        w.step("without a route", &Quantity::Seconds.show(f.no_route_s), "part of it, waiting for a link to come back");
    }
    let span = format!("from {} to {}", Quantity::Seconds.show(f.start_s), Quantity::Seconds.show(f.end_s));
    w.step("in all", &Quantity::Seconds.show(f.end_s - f.start_s), &format!("{span}: {}", f.outcome));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{LearningCounts, Outcome, ReplicationRecord};

    fn flow(device: &str, round: usize) -> FlowRecord {
        FlowRecord {
            device: device.to_owned(),
            round,
            direction: "uplink".to_owned(),
            content: "adapters".to_owned(),
            outcome: "delivered".to_owned(),
            bytes: 1_000_000,
            start_s: 1.0,
            end_s: 2.5,
            radio_s: 1.25,
            wired_s: 0.25,
            distance_m: 100.0,
            path_loss_db: 90.0,
            shadowing_db: -2.0,
            fading_db: -3.0,
            antenna_gain_db: 17.0,
            tx_power_dbm: 23.0,
            bandwidth_hz: 18e6,
            noise_dbm: -96.4,
            start_snr_db: 45.4,
            mean_mcs: Some(20.0),
            mean_layers: Some(2.0),
            mean_resource_blocks: Some(50.0),
            on_air_s: Some(0.8),
            outage_s: Some(0.2),
            ..FlowRecord::default()
        }
    }

    fn record(flows: Vec<FlowRecord>) -> Record {
        let replication = ReplicationRecord {
            replication: 0,
            outcome: Outcome::Completed,
            simulated_seconds: 3.0,
            events: 1,
            digest: 1,
            initial_accuracy: None,
            final_accuracy: None,
            rounds: vec![],
            devices: vec![],
            flows,
            measures: vec![],
            learning: LearningCounts::default(),
        };
        Record { replications: vec![replication] }
    }

    #[test]
    fn terms_add_up_to_what_is_shown() {
        let f = flow("phone-0", 3);
        assert!((received_dbm(&f) - f.noise_dbm - f.start_snr_db).abs() < 1e-9);
        let text =
            explain(&record(vec![f]), &Wanted { replication: 0, device: "phone-0", round: None }).expect("a transfer");
        for part in ["round 3", "-51.00 dBm", "45.40 dB", "10.00 Mbit/s while sending", "0.2500 s", "1.500 s"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("building") && !text.contains("CQI"), "{text}");
    }

    #[test]
    fn what_a_band_that_is_not_flat_costs_is_a_line_of_its_own() {
        let wanted = Wanted { replication: 0, device: "phone-0", round: None };
        let selective = FlowRecord { mean_snr_db: 45.0, effective_snr_db: Some(41.5), ..flow("phone-0", 3) };
        let text = explain(&record(vec![selective]), &wanted).expect("a transfer");
        for part in ["effective SINR", "41.50 dB", "costs 3.50 dB", "mean over the band"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let flat = explain(&record(vec![flow("phone-0", 3)]), &wanted).expect("a transfer");
        assert!(!flat.contains("effective") && !flat.contains("over the band"), "{flat}");
    }

    #[test]
    fn a_name_or_a_round_that_is_not_there_is_met_with_those_that_are() {
        let record = record(vec![flow("phone-0", 1), flow("phone-1", 2)]);
        let refused = |device, round| {
            explain(&record, &Wanted { replication: 0, device, round }).expect_err("nothing there").to_string()
        };
        assert!(refused("phone-7", None).contains("phone-0, phone-1"));
        assert!(refused("phone-1", Some(9)).contains("rounds 2"));
        let other = Wanted { replication: 4, device: "phone-0", round: None };
        assert!(explain(&record, &other).expect_err("no such replication").to_string().contains("0 to 0"));
    }
}
