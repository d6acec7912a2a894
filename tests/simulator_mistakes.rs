//! Mistakes that were found in public simulators of radio networks, each with a test that would catch it here.

use deft::radio::link_adaptation::LinkAdaptation;
use deft::radio::pathloss::{Building, FreeSpace, GlassLoss, OutdoorToIndoor, Path, PathLoss, by_name};
use deft::radio::tables::{ModulationTable, lte};
use deft::radio::transport_block::{Grant, transport_block_size_bits};
use deft::radio::{CellConfig, Direction, Position, Preset, Site, Trajectory, UeRadio};
use deft::random::Streams;
use deft::sim::SimTime;

fn path(distance_2d_m: f64, base_height_m: f64, terminal_height_m: f64) -> Path {
    Path { carrier_ghz: 3.5, distance_2d_m, base_height_m, terminal_height_m }
}

fn model(name: &str) -> Box<dyn PathLoss> {
    by_name(name).expect("a model")
}

/// Simu5G has hertz where the rural formula takes gigahertz: 180 dB too much. With line of sight and before the breakpoint, a
/// few decibels separate it from free space.
#[test]
fn rural_loss_takes_gigahertz() {
    for distance_m in [50.0, 300.0, 1000.0] {
        let p = path(distance_m, 35.0, 1.5);
        let above_free_space = model("rma").loss_db(&p, true) - FreeSpace.loss_db(&p, true);
        assert!((-1.0..6.0).contains(&above_free_space), "{above_free_space} dB at {distance_m} m");
    }
}

/// Simu5G drops the factor 0.54 of the open office's line of sight beyond 49 m, where the probability would jump to 1.
#[test]
fn line_of_sight_in_offices_is_continuous() {
    for (name, kinks_m) in [("inh_open", [5.0, 49.0]), ("inh_mixed", [1.2, 6.5])] {
        for kink in kinks_m {
            let at = |d: f64| model(name).los_probability(&path(d, 3.0, 1.0));
            assert!((at(kink - 1e-6) - at(kink + 1e-6)).abs() < 0.01, "{name} at {kink} m");
        }
    }
    let far = model("inh_open").los_probability(&path(100.0, 3.0, 1.0));
    assert!((far - 0.54 * (-51.0f64 / 211.7).exp()).abs() < 1e-9, "{far}");
}

/// Simu5G has exp(+d/150) in the urban macro's correction for high terminals: a probability that grows beyond 1.
#[test]
fn high_terminals_lose_sight_with_distance() {
    for height_m in [1.5, 15.0, 22.0] {
        let at = |d: f64| model("uma").los_probability(&path(d, 25.0, height_m));
        assert!((20..5000).all(|d| (0.0..=1.0).contains(&at(f64::from(d)))));
        assert!(at(5000.0) < at(1000.0) && at(5000.0) < 0.02, "{} at {height_m} m", at(5000.0));
    }
}

/// Simu5G exchanges the two kinds of glass: new buildings would be the more transparent ones.
#[test]
fn reflecting_glass_loses_more() {
    for carrier_ghz in [2.0, 6.0, 28.0, 60.0] {
        for glass in [GlassLoss::Edition16, GlassLoss::Edition19] {
            let wall = |building| OutdoorToIndoor { building, glass, one_wall_below_6_ghz: false }.wall_db(carrier_ghz);
            assert!(wall(Building::HighLoss) > wall(Building::LowLoss) + 8.0);
        }
    }
}

/// py3gpp's rural loss is 48 dB off beyond the breakpoint: the two branches must meet there.
#[test]
fn rural_loss_is_continuous_at_the_breakpoint() {
    let breakpoint_m = 2.0 * std::f64::consts::PI * 35.0 * 1.5 * 3.5e9 / 299_792_458.0;
    let at = |d: f64| model("rma").loss_db(&path(d, 35.0, 1.5), true);
    assert!((at(breakpoint_m + 0.01) - at(breakpoint_m - 0.01)).abs() < 0.01);
    // Beyond it the loss grows with the fourth power: 12 dB for twice the distance.
    assert!((at(2.0 * breakpoint_m) - at(breakpoint_m) - 12.04).abs() < 0.05);
}

/// ns-3 has 88 bits for the 328 of TS 36.213 table 7.1.7.2.1-1 on one resource block.
#[test]
fn one_lte_resource_block_of_size_index_6_carries_328_bits() {
    assert_eq!(lte::transport_block_size_bits(6, 1), Some(328));
}

/// 5G-LENA skips the quantisation of transport block sizes: 38.214 rounds to a table, then to whole code blocks of whole bytes.
#[test]
fn transport_blocks_are_quantised() {
    let scheme = ModulationTable::Mcs1.schemes()[12];
    for resource_blocks in 1..=273 {
        let grant = Grant { resource_blocks, symbols: 14, dmrs_elements: 12, overhead_elements: 0, layers: 1 };
        let bits = transport_block_size_bits(&grant, &scheme);
        let exact = 156.0 * f64::from(resource_blocks) * scheme.spectral_efficiency();
        assert_eq!(bits % 8, 0);
        assert!((bits as f64 / exact - 1.0).abs() < 0.06, "{bits} for {exact}");
    }
    // 156 x 1.6953 = 264.5 bits: the table has 256 and 272.
    let one = Grant { resource_blocks: 1, symbols: 14, dmrs_elements: 12, overhead_elements: 0, layers: 1 };
    assert_eq!(transport_block_size_bits(&one, &scheme), 272);
}

/// Asked of Simu5G: a higher SINR with a lower index, more resource blocks with more loss, more power with less throughput.
#[test]
fn more_signal_power_or_band_never_costs_throughput() {
    for table in ModulationTable::ALL {
        let adaptation = LinkAdaptation::new(table, 3.0);
        let efficiency = |snr_db: f64| adaptation.select(snr_db).map_or(0.0, |s| s.spectral_efficiency());
        assert!((-200..400).all(|i| efficiency(0.1 * f64::from(i + 1)) >= efficiency(0.1 * f64::from(i))), "{table:?}");
    }
    let rate = |power_dbm: f64, share: f64, direction| {
        let mut config = CellConfig::from_preset(Preset::by_name("nr_fr1").expect("a preset"));
        config.radio.gnb_power_dbm = power_dbm + 20.0;
        let mut site = Site::new("gnb", config, &Streams::new(4, 0)).expect("a cell");
        let ue = UeRadio { power_dbm, ..UeRadio::from_preset(&site.config().radio) };
        let link = site.attach("phone", ue, Trajectory::Static(Position::new(900.0, 100.0, 1.5)));
        site.rate_now(SimTime::ZERO, link, direction, share).0.rate_bps
    };
    for direction in [Direction::Uplink, Direction::Downlink] {
        for step in 0..60 {
            let power = -20.0 + f64::from(step);
            assert!(rate(power + 1.0, 0.5, direction) >= rate(power, 0.5, direction));
            assert!(rate(power, 1.0, direction) >= rate(power, 0.5, direction));
        }
    }
}
