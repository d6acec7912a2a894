//! The slot cell against what it promises.

use super::*;
use crate::radio::cell::FlowCell;
use crate::radio::cell::{CellConfig, LinkId, LosRule, Outcome, UeRadio};
use crate::radio::fading::FadingModel;
use crate::radio::geometry::Position;
use crate::radio::harq::Combining;
use crate::radio::mobility::Trajectory;
use crate::radio::presets::Preset;
use crate::radio::tapped_delay::DelayProfile;
use crate::random::Streams;
use crate::sim::SimDuration;

fn config(preset: &str) -> CellConfig {
    CellConfig::from_preset(Preset::by_name(preset).unwrap())
}

/// Line of sight, no shadowing, no fading: everything follows from distance.
fn plain(preset: &str) -> CellConfig {
    let mut config = config(preset);
    config.los = LosRule::Always;
    config.shadowing = false;
    config.fading.model = FadingModel::None;
    config
}

fn cell_with(config: CellConfig, distances_m: &[f64], change: impl Fn(&mut SlotConfig)) -> (SlotCell, Vec<LinkId>) {
    let ue = UeRadio::from_preset(&config.radio);
    let mut slots = SlotConfig::new(config.radio.duplex);
    change(&mut slots);
    let mut cell = SlotCell::new(Site::new("cell", config, &Streams::new(7, 0)).unwrap(), slots).unwrap();
    let at = |x: f64| Trajectory::Static(Position::new(x, 0.0, 1.5));
    let attach = |(i, x): (usize, &f64)| cell.site().attach(&format!("ue/{i}"), ue, at(*x));
    let ids = distances_m.iter().enumerate().map(attach).collect();
    (cell, ids)
}

fn run_to_end(cell: &mut SlotCell) -> Vec<(u64, Box<TransferReport>)> {
    let mut reports = Vec::new();
    while let Some(next) = cell.next_event() {
        reports.extend(cell.advance(next));
    }
    reports
}

fn request(link: LinkId, direction: Direction, bytes: u64) -> TransferRequest {
    TransferRequest { link, direction, bytes }
}

#[test]
fn an_idle_cell_has_no_events_and_an_empty_transfer_ends_at_the_next_slot() {
    let (mut cell, ids) = cell_with(plain("nr_fr1"), &[100.0], |_| ());
    assert_eq!(cell.next_event(), None);
    cell.start(SimTime::from_nanos(700_000), request(ids[0], Direction::Uplink, 0));
    assert_eq!(cell.next_event(), Some(SimTime::from_nanos(1_000_000)));
    let reports = run_to_end(&mut cell);
    assert_eq!((reports[0].1.outcome, reports[0].1.sent_bytes()), (Outcome::Delivered, 0));
    assert_eq!(cell.next_event(), None);
}

#[test]
fn a_small_transfer_takes_one_slot_of_its_direction() {
    for (direction, end_slot) in [(Direction::Downlink, 2), (Direction::Uplink, 4)] {
        let (mut cell, ids) = cell_with(plain("nr_fr1"), &[100.0], |_| ());
        cell.start(SimTime::ZERO, request(ids[0], direction, 100));
        let report = run_to_end(&mut cell).remove(0).1;
        // The first slot after the request is slot 1; DDDSU has its first uplink symbols in slot 3.
        assert_eq!(report.end.as_nanos(), end_slot * 500_000, "{direction:?}");
        let blocks = report.blocks.unwrap();
        assert_eq!((blocks.blocks, blocks.repetitions), (1, 0));
    }
}

#[test]
fn bytes_are_conserved_whatever_fails() {
    for combining in [Combining::None, Combining::Chase, Combining::IncrementalRedundancy] {
        let (mut cell, ids) = cell_with(config("nr_fr1"), &[100.0, 300.0, 700.0, 900.0], |c| {
            c.combining = combining;
            c.max_transmissions = 2;
            c.outer_loop_step_db = 0.0;
            // Rates are chosen too high on purpose.
            c.cqi_delay_slots = 200;
        });
        for (i, id) in ids.iter().enumerate() {
            cell.start(SimTime::from_seconds(0.1 * i as f64), request(*id, Direction::Uplink, 2_000_003));
            cell.start(SimTime::from_seconds(0.1 * i as f64), request(*id, Direction::Downlink, 5_000_001));
        }
        let reports = run_to_end(&mut cell);
        assert_eq!(reports.len(), 8);
        assert!(reports.iter().all(|(_, r)| r.outcome == Outcome::Delivered && r.sent_bytes() == r.bytes));
        let of = |f: fn(&crate::radio::BlockCounts) -> u64| -> u64 {
            reports.iter().filter_map(|(_, r)| r.blocks.as_ref()).map(f).sum()
        };
        assert!(of(|b| b.repetitions) > 0 && of(|b| b.failed_blocks) >= of(|b| b.given_up));
        if combining == Combining::None {
            assert!(of(|b| b.given_up) > 0);
        }
    }
}

#[test]
fn the_outer_loop_holds_its_target() {
    for target in [0.05, 0.1, 0.3] {
        let (mut cell, ids) = cell_with(plain("nr_fr1"), &[4000.0], |c| c.target_bler = target);
        cell.start(SimTime::ZERO, request(ids[0], Direction::Downlink, 60_000_000));
        let report = run_to_end(&mut cell).remove(0).1;
        let blocks = report.blocks.unwrap();
        assert!(blocks.blocks > 1000, "{blocks:?}");
        assert!((blocks.bler() / target - 1.0).abs() < 0.15, "{target}: {blocks:?}");
    }
}

#[test]
fn another_terminal_shifts_no_draw() {
    let of_first = |others: &[f64]| {
        let (mut cell, ids) = cell_with(config("nr_fr1"), &[&[250.0], others].concat(), |_| ());
        cell.start(SimTime::ZERO, request(ids[0], Direction::Downlink, 3_000_000));
        if let Some(other) = ids.get(1) {
            // After the first has ended.
            cell.start(SimTime::from_seconds(5.0), request(*other, Direction::Downlink, 3_000_000));
        }
        run_to_end(&mut cell).remove(0).1
    };
    assert_eq!(of_first(&[]), of_first(&[30.0, 50.0]));
}

#[test]
fn one_long_advance_equals_many_short_ones() {
    let run = |step_seconds: f64| {
        let (mut cell, ids) = cell_with(config("nr_fr1"), &[50.0, 120.0, 400.0], |_| ());
        for id in &ids {
            cell.start(SimTime::ZERO, request(*id, Direction::Uplink, 3_000_000));
        }
        let (mut reports, mut now) = (Vec::new(), 0.0);
        while cell.next_event().is_some() {
            now += step_seconds;
            reports.extend(cell.advance(SimTime::from_seconds(now)));
        }
        reports
    };
    let long = run(1e3);
    assert_eq!(long.len(), 3);
    assert_eq!(long, run(0.0371));
}

#[test]
fn a_hopeless_link_is_reported_not_awaited() {
    let mut config = plain("nr_fr2");
    config.outage_limit = SimDuration::from_seconds(2.0);
    let (mut cell, ids) = cell_with(config, &[200_000.0, 50.0], |_| ());
    cell.start(SimTime::from_seconds(1.0), request(ids[0], Direction::Uplink, 1000));
    cell.start(SimTime::from_seconds(1.0), request(ids[1], Direction::Uplink, 1000));
    let reports = run_to_end(&mut cell);
    let of = |key: u64| &reports.iter().find(|r| r.0 == key).unwrap().1;
    assert_eq!(of(0).outcome, Outcome::Outage { undelivered_bytes: 1000 });
    assert!((of(0).outage_seconds - 2.0).abs() < 1e-3 && of(0).end < SimTime::from_seconds(3.01));
    assert_eq!(of(1).outcome, Outcome::Delivered);
    assert_eq!(cell.next_event(), None);
}

#[test]
fn a_withdrawn_transfer_frees_the_band_and_says_what_it_brought() {
    let (mut cell, ids) = cell_with(plain("nr_fr1"), &[100.0, 100.0], |_| ());
    let first = cell.start(SimTime::ZERO, request(ids[0], Direction::Downlink, 50_000_000));
    cell.start(SimTime::ZERO, request(ids[1], Direction::Downlink, 50_000_000));
    let half = SimTime::from_seconds(0.25);
    assert!(cell.advance(half).is_empty());
    let report = cell.cancel(half, first).unwrap();
    assert!(matches!(report.outcome, Outcome::Withdrawn { .. }) && report.sent_bytes() > 10_000_000);
    assert_eq!(cell.cancel(half, 99), None);
    let rest = run_to_end(&mut cell);
    assert_eq!(rest.len(), 1);
    assert!(rest[0].1.mean_share > 0.6);
}

#[test]
fn too_few_processes_slow_a_transfer_down() {
    let seconds = |processes: u32| {
        let (mut cell, ids) = cell_with(plain("lte"), &[100.0], |c| c.harq_processes = processes);
        cell.start(SimTime::ZERO, request(ids[0], Direction::Downlink, 3_000_000));
        run_to_end(&mut cell).remove(0).1.end.as_seconds()
    };
    // A round trip of 8 slots keeps 8 processes busy.
    assert!((seconds(2) / seconds(8) - 4.0).abs() < 0.1, "{} {}", seconds(2), seconds(8));
    assert_eq!(seconds(8), seconds(16));
}

/// In slots, in flow and in expectation: next to nothing where the delay spread is tiny, a few dB where it is long, and no word of it
/// over links that fade as one.
#[test]
fn every_fidelity_reports_what_the_shape_of_the_band_costs() {
    let cost_db = |model: FadingModel, direction: Direction, fidelity: usize| {
        let mut config = config("nr_fr1");
        (config.los, config.shadowing, config.fading.model) = (LosRule::Never, false, model);
        let slots = SlotConfig::new(config.radio.duplex);
        let ue = UeRadio::from_preset(&config.radio);
        let mut site = Site::new("cell", config, &Streams::new(3, 0)).unwrap();
        let link = site.attach("ue", ue, Trajectory::Static(Position::new(200.0, 0.0, 1.5)));
        let mut cell: Box<dyn FluidModel<Request = TransferRequest, Report = Box<TransferReport>>> = match fidelity {
            0 => Box::new(SlotCell::new(site, slots).unwrap()),
            1 => Box::new(FlowCell::new(site)),
            _ => Box::new(FlowCell::with_link_layer(site, slots).unwrap()),
        };
        cell.start(SimTime::ZERO, request(link, direction, 4_000_000));
        let mut reports = vec![];
        while let Some(next) = cell.next_event() {
            reports.extend(cell.advance(next));
        }
        let report = &reports[0].1;
        assert_eq!(report.outcome, Outcome::Delivered);
        report.link_layer.effective_snr_db.map(|db| report.mean_snr_db - db)
    };
    for direction in [Direction::Downlink, Direction::Uplink] {
        for fidelity in 0..3 {
            let tapped = |delay_spread_s: f64| {
                let model = FadingModel::TappedDelay { profile: DelayProfile::TdlC, delay_spread_s };
                cost_db(model, direction, fidelity).unwrap()
            };
            assert!(tapped(1e-12).abs() < 1e-3, "{direction:?} {fidelity}: {}", tapped(1e-12));
            assert!((1.0..5.0).contains(&tapped(300e-9)), "{direction:?} {fidelity}: {}", tapped(300e-9));
            assert_eq!(cost_db(FadingModel::Rayleigh, direction, fidelity), None);
        }
    }
}
