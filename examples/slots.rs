//! How fast slots are played: one cell, 50 phones that send without pause, 30 kHz subcarriers.
//!
//!     cargo run --release --example slots

use deft::radio::fading::{Fading, FadingModel};
use deft::radio::{
    CellConfig, DelayProfile, Direction, Position, Preset, SchedulerKind, Site, SlotCell, SlotConfig, Trajectory,
    TransferRequest, UeRadio,
};
use deft::random::Streams;
use deft::sim::{FluidModel, SimDuration, SimTime};
use std::time::Instant;

const PHONES: usize = 50;
const SIMULATED_S: f64 = 20.0;
const WAYS: [&[Direction]; 3] =
    [&[Direction::Downlink], &[Direction::Uplink], &[Direction::Downlink, Direction::Uplink]];

fn main() {
    let window_slots = 100.0;
    for scheduler in
        [SchedulerKind::RoundRobin, SchedulerKind::ProportionalFair { window_slots }, SchedulerKind::MaxRate]
    {
        for directions in WAYS {
            let speed = speed(scheduler, FadingModel::Rayleigh, directions);
            println!("{scheduler:?} {directions:?}: {speed:.0} times real time");
        }
    }
    for (profile, nanoseconds) in [(DelayProfile::TdlA, 30.0), (DelayProfile::TdlC, 300.0), (DelayProfile::TdlD, 100.0)]
    {
        let fading = FadingModel::TappedDelay { profile, delay_spread_s: nanoseconds * 1e-9 };
        for directions in WAYS {
            let speed = speed(SchedulerKind::RoundRobin, fading, directions);
            println!("RoundRobin, {profile:?} of {nanoseconds} ns, {directions:?}: {speed:.0} times real time");
        }
    }
}

/// Simulated seconds a second.
fn speed(scheduler: SchedulerKind, fading: FadingModel, directions: &[Direction]) -> f64 {
    let mut config = CellConfig::from_preset(Preset::by_name("nr_fr1").expect("a preset"));
    config.fading = Fading::from_coherence_time(fading, SimDuration::from_seconds(0.02));
    let ue = UeRadio::from_preset(&config.radio);
    let slots = SlotConfig { scheduler, ..SlotConfig::new(config.radio.duplex) };
    let site = Site::new("cell", config, &Streams::new(1, 0)).expect("a cell");
    let mut cell = SlotCell::new(site, slots).expect("a slot cell");
    for phone in 0..PHONES {
        let place = Position::new(40.0 + 5.0 * phone as f64, 20.0, 1.5);
        let link = cell.site().attach(&format!("phone/{phone}"), ue, Trajectory::Static(place));
        for &direction in directions {
            // More than it can send.
            cell.start(SimTime::ZERO, TransferRequest { link, direction, bytes: 1 << 40 });
        }
    }
    let end = SimTime::from_seconds(SIMULATED_S);
    let clock = Instant::now();
    while let Some(next) = cell.next_event().filter(|next| *next <= end) {
        cell.advance(next);
    }
    SIMULATED_S / clock.elapsed().as_secs_f64()
}
