//! The two fidelities of a cell against each other: under round robin, slots must carry what the flow model says they
//! carry on the average, and rounds must take about as long.
//!
//! Both cells have the same terminals, places and fades, so that what differs is the link layer alone. What a synchronous round
//! waits for, the last of all transfers, is compared. The mean time of single transfers that arrive at random compares two queues as
//! well: near saturation a difference of two hundredths in rate is one of a fifth in waiting.

use deft::radio::{
    CellConfig, Direction, Fading, FadingModel, FlowCell, LinkId, Position, Preset, Site, SlotCell, SlotConfig,
    Trajectory, TransferReport, TransferRequest, UeRadio,
};
use deft::random::Streams;
use deft::sim::{FluidModel, SimDuration, SimTime};

const PHONES: usize = 10;
const PRESETS: [&str; 2] = ["nr_fr1", "lte"];
const DIRECTIONS: [Direction; 2] = [Direction::Downlink, Direction::Uplink];

trait Cell: FluidModel<Request = TransferRequest, Report = Box<TransferReport>> {}
impl<T: FluidModel<Request = TransferRequest, Report = Box<TransferReport>>> Cell for T {}

/// Ten phones at 35 to 250 m; Rayleigh fading of 50 ms coherence.
fn site(preset: &str, seed: u64) -> (Site, CellConfig, Vec<LinkId>) {
    let mut config = CellConfig::from_preset(Preset::by_name(preset).expect("a preset"));
    config.fading = Fading::from_coherence_time(FadingModel::Rayleigh, SimDuration::from_seconds(0.05));
    let ue = UeRadio::from_preset(&config.radio);
    let mut site = Site::new("cell", config.clone(), &Streams::new(seed, 0)).expect("a cell");
    let at = |i: usize| Trajectory::Static(Position::new(35.0 + 215.0 * i as f64 / (PHONES - 1) as f64, 0.0, 1.5));
    let links = (0..PHONES).map(|i| site.attach(&format!("phone/{i}"), ue, at(i))).collect();
    (site, config, links)
}

/// What `measure` says of the flow model and of the slots.
fn both(preset: &str, seed: u64, measure: impl Fn(&mut dyn Cell, &[LinkId]) -> f64) -> (f64, f64) {
    let (flow, _, links) = site(preset, seed);
    let of_flow = measure(&mut FlowCell::new(flow), &links);
    let (slots, config, links) = site(preset, seed);
    let slots = SlotCell::new(slots, SlotConfig::new(config.radio.duplex)).expect("slots");
    let mut slots = slots;
    (of_flow, measure(&mut slots, &links))
}

/// Plays what lies before `until`.
fn play(cell: &mut dyn Cell, until: SimTime) -> Vec<(u64, Box<TransferReport>)> {
    let mut reports = vec![];
    while let Some(next) = cell.next_event().filter(|next| *next <= until) {
        reports.extend(cell.advance(next));
    }
    reports
}

/// Bits a second that all phones together get if none ever falls silent.
fn saturated_bps(cell: &mut dyn Cell, links: &[LinkId], direction: Direction) -> f64 {
    let all = |&link: &LinkId| cell.start(SimTime::ZERO, TransferRequest { link, direction, bytes: 1 << 40 });
    let keys: Vec<u64> = links.iter().map(all).collect();
    let end = SimTime::from_seconds(20.0);
    play(cell, end);
    let withdraw = |key: u64| cell.cancel(end, key).expect("under way").mean_rate_bps;
    keys.into_iter().map(withdraw).sum()
}

/// Mean seconds until the last of all phones has sent its bytes, over rounds that begin `interval_s` apart.
fn round_seconds(cell: &mut dyn Cell, links: &[LinkId], direction: Direction, interval_s: f64) -> f64 {
    const BYTES: u64 = 400_000;
    const ROUNDS: usize = 30;
    let begin = |round: usize| SimTime::from_seconds(round as f64 * interval_s + 0.000_123);
    let mut reports = vec![];
    for round in 0..ROUNDS {
        reports.extend(play(cell, begin(round)));
        for &link in links {
            cell.start(begin(round), TransferRequest { link, direction, bytes: BYTES });
        }
    }
    reports.extend(play(cell, SimTime::MAX));
    let ends = |round: usize| {
        let of_round = reports.iter().filter(|(key, _)| *key as usize / PHONES == round);
        of_round.map(|(_, r)| r.end).max().expect("a round has transfers")
    };
    (0..ROUNDS).map(|round| (ends(round) - begin(round)).as_seconds()).sum::<f64>() / ROUNDS as f64
}

/// The flow model loses a tenth of all blocks on every link. In slots the outer loop holds that share too, except where the highest
/// scheme has SNR to spare: there hardly a block fails, and up to 1 / (1 - 0.1) of the flow model's rate gets through.
#[test]
fn near_the_base_station_slots_carry_what_flow_says_or_the_tenth_more_that_it_gives_up() {
    for preset in PRESETS {
        for direction in DIRECTIONS {
            let (flow, slots) = both(preset, 1, |cell, links| saturated_bps(cell, links, direction));
            let ratio = slots / flow;
            println!(
                "{preset} {direction:?}: {:.1} Mbit/s in flow, {:+.1}% in slots",
                flow / 1e6,
                (ratio - 1.0) * 100.0
            );
            assert!(
                (0.98..1.0 / 0.9 + 0.01).contains(&ratio),
                "{preset} {direction:?}: {flow} bit/s, {slots} in slots"
            );
        }
    }
}

#[test]
fn rounds_near_the_base_station_take_as_long_in_slots_as_in_flow_at_every_load() {
    for preset in PRESETS {
        for direction in DIRECTIONS {
            let apart = |seconds: f64| both(preset, 2, |cell, links| round_seconds(cell, links, direction, seconds));
            let (alone, _) = apart(60.0);
            for load in [0.1, 0.3, 0.5, 0.7, 0.9] {
                let (flow, slots) = apart(alone / load);
                let more = slots / flow - 1.0;
                println!("{preset} {direction:?}, load {load}: {flow:.4} s in flow, {:+.1}% in slots", more * 100.0);
                assert!(more.abs() < 0.1, "{preset} {direction:?} at {load}: {flow} s, {slots} s in slots");
            }
        }
    }
}
