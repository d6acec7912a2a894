//! The flow model against a slow oracle and against what it promises.

use super::*;
use crate::radio::fading::{Fading, FadingModel};
use crate::radio::geometry::{Area, Position};
use crate::radio::mobility::{RandomWaypoint, Trajectory};
use crate::radio::presets::{Preset, presets};
use crate::random::Streams;
use crate::sim::{FluidModel, SimDuration};

/// Requests take effect a nanosecond after they are made.
const ADMISSION: SimDuration = SimDuration::from_nanos(1);

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

fn at(x_m: f64) -> Trajectory {
    Trajectory::Static(Position::new(x_m, 0.0, 1.5))
}

/// A cell with terminals at the given distances.
fn cell_with(config: CellConfig, distances_m: &[f64]) -> (FlowCell, Vec<LinkId>) {
    let ue = UeRadio::from_preset(&config.radio);
    let mut cell = FlowCell::new(Site::new("cell", config, &Streams::new(7, 0)).unwrap());
    let ids = distances_m.iter().enumerate().map(|(i, x)| cell.site().attach(&format!("ue/{i}"), ue, at(*x))).collect();
    (cell, ids)
}

fn run_to_end(cell: &mut FlowCell) -> Vec<(u64, Box<TransferReport>)> {
    let mut reports = Vec::new();
    while let Some(next) = cell.next_event() {
        reports.extend(cell.advance(next));
    }
    reports
}

fn up(link: LinkId, bytes: u64) -> TransferRequest {
    TransferRequest { link, direction: Direction::Uplink, bytes }
}

fn down(link: LinkId, bytes: u64) -> TransferRequest {
    TransferRequest { link, direction: Direction::Downlink, bytes }
}

#[test]
fn a_lone_transfer_takes_bits_over_rate() {
    for preset in presets() {
        for direction in [Direction::Uplink, Direction::Downlink] {
            let (mut cell, ids) = cell_with(plain(&preset.name), &[40.0]);
            let now = SimTime::from_seconds(0.5);
            let (allocation, budget) = cell.site().rate_now(now, ids[0], direction, 1.0);
            assert!(allocation.rate_bps > 1e6, "{} {direction:?}", preset.name);
            assert!((budget.snr_db - (budget.received_dbm() - budget.noise_dbm)).abs() < 1e-9);
            assert!((budget.snr_db - allocation.snr_db).abs() < 1e-9);
            cell.start(now, TransferRequest { link: ids[0], direction, bytes: 1_000_000 });
            let (_, report) = run_to_end(&mut cell).remove(0);
            let expected = SimDuration::from_seconds(8e6 / allocation.rate_bps);
            assert_eq!(report.end - report.start, expected + ADMISSION);
            assert_eq!((report.outcome, report.budget), (Outcome::Delivered, budget));
            let mcs_error = report.mean_mcs.unwrap() - f64::from(allocation.mcs.unwrap());
            assert!(mcs_error.abs() < 1e-9);
            assert!((report.mean_snr_db - allocation.snr_db).abs() < 1e-9 && report.mean_share == 1.0);
        }
    }
}

/// A neighbour disturbs as one that never sends while it has nothing to send, and as one that always does while it has.
#[test]
fn neighbours_disturb_while_they_have_traffic() {
    let east = Sending::default();
    let sends = [None, Some(&east)];
    let config = |load: f64, sends: Option<&Sending>| {
        let position = Position::new(400.0, 0.0, 25.0);
        let neighbour = Neighbour { name: "east".to_owned(), position, load, sends: sends.cloned() };
        CellConfig { neighbours: vec![neighbour], ..plain("nr_fr1") }
    };
    let rate = |load: f64, sends: Option<&Sending>| {
        let (mut cell, ids) = cell_with(config(load, sends), &[200.0]);
        cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Downlink, 1.0).0.rate_bps
    };
    let (free, disturbed) = (rate(0.0, None), rate(1.0, None));
    assert!(disturbed < 0.7 * free, "{disturbed} of {free} bit/s");
    assert_eq!(rate(1.0, sends[1]), free);

    // The neighbour itself says when it sends.
    let ue = UeRadio::from_preset(&plain("nr_fr1").radio);
    let there = Position::new(400.0, 0.0, 25.0);
    let own = CellConfig { position: there, sending: east.clone(), ..plain("nr_fr1") };
    let mut neighbour = FlowCell::new(Site::new("east", own, &Streams::new(7, 0)).unwrap());
    let link = neighbour.site().attach("ue", ue, at(450.0));
    let (mut cell, ids) = cell_with(config(1.0, Some(&east)), &[200.0]);
    let request = down(link, 50_000_000);
    neighbour.start(SimTime::ZERO, request);
    neighbour.advance(SimTime::ZERO + ADMISSION);
    assert_eq!(rate(1.0, Some(&east)), disturbed);
    // A transfer that begins under it speeds up once it ends, at the next coherence block.
    let bytes = (free / 8.0 * 2.0) as u64;
    cell.start(SimTime::ZERO, down(ids[0], bytes));
    cell.advance(SimTime::ZERO + ADMISSION);
    let quiet = neighbour.next_event().unwrap();
    neighbour.advance(quiet);
    assert!(!east.is_on());
    let (_, report) = run_to_end(&mut cell).remove(0);
    let seconds = (report.end - report.start).as_seconds();
    let block = plain("nr_fr1").fading.block.as_seconds();
    // The whole of it at the slow rate, or all but one block at the fast one.
    let bits = bytes as f64 * 8.0;
    assert!(seconds < bits / free + 2.0 * block && seconds >= bits / free, "{seconds} s");
}

#[test]
fn a_lone_downlink_is_resource_elements_times_bits() {
    let (mut cell, ids) = cell_with(plain("nr_fr1"), &[40.0]);
    let (allocation, _) = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Downlink, 1.0);
    // Top of MCS table 2, 4 layers: 273 blocks x 12 subcarriers x 28,000 symbols/s x 7.40625 bits x 4 x 0.86 x 0.9 x
    // 52/70.
    assert_eq!((allocation.mcs, allocation.layers), (Some(27), 4));
    let expected = 273.0 * 12.0 * 28_000.0 * 8.0 * 948.0 / 1024.0 * 4.0 * 0.86 * 0.9 * 52.0 / 70.0;
    assert!((allocation.rate_bps / expected - 1.0).abs() < 1e-9);
}

#[test]
fn downlinks_share_evenly_and_uplinks_gain_from_concentrated_power() {
    let (mut cell, ids) = cell_with(plain("nr_fr1"), &[2500.0, 2500.0]);
    let alone = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Downlink, 1.0).0.rate_bps;
    let half = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Downlink, 0.5).0.rate_bps;
    assert!((half / alone - 0.5).abs() < 1e-12);
    let alone = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Uplink, 1.0).0;
    let half = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Uplink, 0.5).0;
    assert!(half.rate_bps > 0.55 * alone.rate_bps && half.rate_bps < alone.rate_bps);

    for link in &ids {
        cell.start(SimTime::ZERO, down(*link, 1_000_000));
    }
    let reports = run_to_end(&mut cell);
    assert_eq!(reports.iter().map(|r| r.0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(reports[0].1.end, reports[1].1.end);
    assert!((reports[0].1.mean_share - 0.5).abs() < 1e-12);
    assert_eq!(reports[0].1.tx_energy_joules, 0.0);
}

/// The same arrivals by brute force: fixed small steps within which rates are asked for afresh.
fn by_small_steps(cell: &mut FlowCell, requests: &[(SimTime, TransferRequest)], step_ns: u64) -> Vec<f64> {
    let mut left: Vec<f64> = requests.iter().map(|(_, r)| r.bytes as f64 * 8.0).collect();
    let mut ends = vec![f64::NAN; requests.len()];
    let mut now = SimTime::ZERO;
    while ends.iter().any(|e| e.is_nan()) {
        let live: Vec<usize> = (0..requests.len()).filter(|i| requests[*i].0 <= now && left[*i] > 0.0).collect();
        let rates: Vec<f64> = live
            .iter()
            .map(|i| {
                let request = requests[*i].1;
                let sharing = live.iter().filter(|j| requests[**j].1.direction == request.direction).count();
                cell.site().rate_now(now, request.link, request.direction, 1.0 / sharing as f64).0.rate_bps
            })
            .collect();
        let step = SimDuration::from_nanos(step_ns);
        for (i, rate) in live.into_iter().zip(rates) {
            if rate > 0.0 && left[i] <= rate * step.as_seconds() {
                ends[i] = now.as_seconds() + left[i] / rate;
                left[i] = 0.0;
            } else {
                left[i] -= rate * step.as_seconds();
            }
        }
        now += step;
    }
    ends
}

#[test]
fn events_agree_with_small_steps_under_fading_and_mobility() {
    let make = || {
        let mut config = config("nr_fr1");
        config.fading = Fading::from_coherence_time(FadingModel::Rician { k_db: 6.0 }, SimDuration::from_seconds(0.01));
        let ue = UeRadio::from_preset(&config.radio);
        let mut cell = FlowCell::new(Site::new("cell", config, &Streams::new(3, 1)).unwrap());
        let ids: Vec<LinkId> = (0..4)
            .map(|i| {
                let area = Area::Annulus { centre: Position::default(), inner_m: 10.0, outer_m: 250.0 };
                let start = Position::new(60.0 + 50.0 * f64::from(i), 10.0, 1.5);
                let stream = Streams::new(3, 1).counter(&format!("ue/{i}"), "mobility");
                let walk = RandomWaypoint::new(start, area, (5.0, 30.0), 0.0, stream).unwrap();
                cell.site().attach(&format!("ue/{i}"), ue, Trajectory::RandomWaypoint(walk))
            })
            .collect();
        (cell, ids)
    };
    let (mut cell, ids) = make();
    let requests = [
        (SimTime::ZERO, up(ids[0], 400_000)),
        (SimTime::ZERO, up(ids[1], 900_000)),
        (SimTime::from_seconds(0.02), down(ids[2], 9_000_000)),
        (SimTime::from_seconds(0.033), up(ids[3], 300_000)),
    ];
    let mut reports = Vec::new();
    for (time, request) in &requests {
        reports.extend(cell.advance(*time));
        cell.start(*time, *request);
    }
    reports.extend(run_to_end(&mut cell));
    reports.sort_by_key(|r| r.0);

    let step_ns = 10_000;
    let slow = by_small_steps(&mut make().0, &requests, step_ns);
    for ((_, report), slow_end) in reports.iter().zip(slow) {
        // The oracle notices departures up to a step late.
        assert!((report.end.as_seconds() - slow_end).abs() < 4.0 * step_ns as f64 * 1e-9, "{report:?} {slow_end}");
        let bits = report.mean_rate_bps * (report.end - report.start).as_seconds();
        assert!((bits / 8.0 - report.bytes as f64).abs() < 1.0);
    }
}

#[test]
fn one_long_advance_equals_many_short_ones() {
    let run = |step_seconds: f64| {
        let (mut cell, ids) = cell_with(config("nr_fr1"), &[50.0, 120.0, 200.0]);
        for id in &ids {
            cell.start(SimTime::ZERO, up(*id, 3_000_000));
        }
        let mut reports = Vec::new();
        let mut now = 0.0;
        while cell.next_event().is_some() {
            now += step_seconds;
            reports.extend(cell.advance(SimTime::from_seconds(now)));
        }
        reports.into_iter().map(|(key, r)| (key, r.end.as_nanos(), r.outcome)).collect::<Vec<_>>()
    };
    let (long, short) = (run(1e4), run(0.0371));
    assert_eq!(long.len(), 3);
    for (a, b) in long.iter().zip(&short) {
        assert!(a.0 == b.0 && a.2 == b.2 && a.1.abs_diff(b.1) <= 1000, "{a:?} {b:?}");
    }
}

#[test]
fn a_hopeless_link_is_reported_not_awaited() {
    let mut config = plain("nr_fr2");
    config.outage_limit = SimDuration::from_seconds(2.0);
    let (mut cell, ids) = cell_with(config, &[200_000.0, 50.0]);
    cell.start(SimTime::from_seconds(1.0), up(ids[0], 1000));
    cell.start(SimTime::from_seconds(1.0), up(ids[0], 0));
    cell.start(SimTime::from_seconds(1.0), up(ids[1], 1000));
    let reports = run_to_end(&mut cell);
    let of = |key: u64| &reports.iter().find(|r| r.0 == key).unwrap().1;
    assert_eq!(of(0).outcome, Outcome::Outage { undelivered_bytes: 1000 });
    assert_eq!(of(0).end, SimTime::from_seconds(3.0) + ADMISSION);
    assert_eq!((of(0).outage_seconds, of(0).on_air_seconds, of(0).mean_mcs), (2.0, 0.0, None));
    assert_eq!((of(1).mean_share, of(1).mean_rate_bps), (1.0 / 3.0, 0.0));
    assert_eq!((of(1).outcome, of(1).end), (Outcome::Delivered, SimTime::from_seconds(1.0) + ADMISSION));
    assert_eq!(of(2).outcome, Outcome::Delivered);
    assert_eq!(cell.next_event(), None);
}

#[test]
fn cancelling_frees_the_band() {
    let (mut cell, ids) = cell_with(plain("lte"), &[100.0, 100.0]);
    let whole = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Downlink, 1.0).0.rate_bps;
    let first = cell.start(SimTime::ZERO, down(ids[0], 5_000_000));
    let second = cell.start(SimTime::ZERO, down(ids[1], 5_000_000));
    let quarter = SimTime::from_seconds(0.25);
    assert!(cell.advance(quarter).is_empty());
    cell.cancel(quarter, first);
    cell.cancel(quarter, 99);
    let reports = run_to_end(&mut cell);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].0, second);
    let expected = 0.25 + (40e6 - 0.25 * whole / 2.0) / whole;
    assert!((reports[0].1.end.as_seconds() - expected).abs() < 1e-8);
}

#[test]
fn uplink_energy_is_power_times_time_on_the_air() {
    let (mut cell, ids) = cell_with(plain("nr_fr1"), &[300.0]);
    cell.start(SimTime::ZERO, up(ids[0], 10_000_000));
    let (_, report) = run_to_end(&mut cell).remove(0);
    let on_air = (report.end - report.start).as_seconds() * cell.site().config().radio.uplink_share;
    assert!((report.on_air_seconds / on_air - 1.0).abs() < 1e-6);
    let watts = 10f64.powf((23.0 - 30.0) / 10.0);
    assert!((report.tx_energy_joules / (watts * on_air) - 1.0).abs() < 1e-6);

    let mut controlled = plain("nr_fr1");
    controlled.power_control = Some(PowerControl { p0_dbm: -100.0, alpha: 1.0 });
    let (mut cell, ids) = cell_with(controlled, &[300.0]);
    let (allocation, budget) = cell.site().rate_now(SimTime::ZERO, ids[0], Direction::Uplink, 1.0);
    // With alpha = 1 each 15 kHz resource block arrives with P0, 30 kHz ones with twice that.
    let per_block = budget.received_dbm() - 10.0 * (273.0f64 * 2.0).log10();
    assert!((per_block + 100.0).abs() < 1e-9, "{per_block}");
    assert!(allocation.tx_power_watts < watts);
}

#[test]
fn a_channel_does_not_depend_on_who_else_is_there_or_on_the_band() {
    let gains = |preset_change: fn(&mut CellConfig), others: &[f64]| {
        let mut config = config("nr_fr1");
        preset_change(&mut config);
        let (mut cell, ids) = cell_with(config, &[&[90.0], others].concat());
        let at = |ms: u64| SimTime::from_nanos(ms * 1_000_000);
        (0..20)
            .map(|i| cell.site().rate_now(at(i * 50), ids[0], Direction::Uplink, 1.0).1.fading_db)
            .collect::<Vec<_>>()
    };
    let alone = gains(|_| (), &[]);
    assert_eq!(alone, gains(|_| (), &[10.0, 500.0]));
    assert_eq!(alone, gains(|c| c.radio.bandwidth_mhz = 20.0, &[]));
    assert_ne!(alone[0], alone[1]);
}

#[test]
fn the_air_sees_the_same_channel_as_the_rate() {
    let (mut cell, ids) = cell_with(config("nr_fr1"), &[90.0, 150.0]);
    let now = SimTime::from_seconds(0.3);
    let states = cell.site().air_state(&ids, now);
    let (_, budget) = cell.site().rate_now(now, ids[1], Direction::Uplink, 1.0);
    let from_state = 10.0 * (states[1].path_gain * states[1].fading_power * states[1].power_watts * 1e3).log10();
    assert!((from_state - budget.received_dbm()).abs() < 1e-9);
    let air = cell.site().air_interface();
    assert_eq!(air.subcarriers, 3276);
    // Noise of one 30 kHz subcarrier against that of the part of the band that the rate uses.
    let per_hz_dbm = 10.0 * (air.noise_watts * 1e3 / 30e3).log10();
    assert!((per_hz_dbm - (budget.noise_dbm - 10.0 * budget.bandwidth_hz.log10())).abs() < 1e-9);
}

#[test]
fn a_burst_of_arrivals_is_one_change() {
    let (mut cell, ids) = cell_with(plain("nr_fr1"), &[100.0; 50]);
    for id in &ids {
        assert!(cell.advance(SimTime::ZERO).is_empty());
        cell.start(SimTime::ZERO, down(*id, 100_000));
        assert_eq!(cell.next_event(), Some(SimTime::ZERO + ADMISSION));
    }
    assert_eq!(cell.active(Direction::Downlink), 50);
    cell.advance(SimTime::ZERO + ADMISSION);
    cell.cancel(SimTime::from_nanos(5), 0);
    let reports = run_to_end(&mut cell);
    assert_eq!(reports.iter().map(|r| r.0).collect::<Vec<_>>(), (1..50).collect::<Vec<_>>());
}

#[test]
fn a_channel_that_stands_still_never_changes() {
    let mut config = config("nr_fr1");
    config.fading = Fading::from_speed(FadingModel::Rayleigh, 0.0, config.radio.carrier_ghz);
    let (mut cell, ids) = cell_with(config, &[60.0]);
    let mut at = |s: f64| cell.site().rate_now(SimTime::from_seconds(s), ids[0], Direction::Downlink, 1.0).1.fading_db;
    assert_eq!(at(0.0), at(1e6));
}
