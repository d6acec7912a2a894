//! The radio plane against numbers that this project did not compute: standards as implemented by public packages, and
//! closed forms. `tests/golden/radio/README.md` says where they come from.
//!
//! `DEFT_GOLDEN_RADIO` names another folder to check, for instance one with more rows. A file that nothing here reads
//! fails the test.

use deft::learning::compression;
use deft::radio::aircomp::beam::{Vector, matched, smallest_gain};
use deft::radio::aircomp::misalignment::phase_error_mse;
use deft::radio::aircomp::one_bit::vote_error;
use deft::radio::aircomp::power_control::optimal_power;
use deft::radio::aircomp::uniform_forcing::uniform_forcing;
use deft::radio::aircomp::{
    AirInterface, ChannelState, Divisor, PowerRule, TruncatedInversion, ValuesPerSymbol, expected_mse,
};
use deft::radio::fading::{FadingLaw, LinkFading, coherence_time_s, doppler_hz};
use deft::radio::geometry::{Area, Position};
use deft::radio::link_adaptation::LinkAdaptation;
use deft::radio::mobility::{RandomWaypoint, Trajectory};
use deft::radio::noise::thermal_noise_dbm;
use deft::radio::numerology::{MAX_CODE_RATE, Numerology};
use deft::radio::pathloss::{FreeSpace, Path, PathLoss, by_name};
use deft::radio::placement::Placement;
use deft::radio::shadowing::SpatialField;
use deft::radio::special::exponential_integral_e1;
use deft::radio::tables::{ModulationTable, Scheme};
use deft::radio::transport_block::{Grant, code_blocks, transport_block_size_bits};
use deft::radio::units::db_to_linear;
use deft::radio::uplink_access::{Sender, equal_bandwidths, fdma_seconds, optimal_bandwidths, tdma_seconds};
use deft::radio::{PowerControl, units};
use deft::random::CounterStream;
use deft::sim::SimTime;
use nalgebra::{Complex, DVector};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

/// Other suites read these.
const READ_ELSEWHERE: [&str; 4] = ["README.md", "published_settings.json", "queues.json", "fair_sharing.json"];

/// Rows checked and the largest deviation, as a fraction of what is allowed: at most 1.
#[derive(Default)]
struct Tally {
    rows: usize,
    skipped: usize,
    worst: f64,
}

impl Tally {
    fn check(&mut self, what: &str, got: f64, expected: f64, tolerance: f64) {
        let used = (got - expected).abs() / tolerance;
        assert!(used <= 1.0, "{what}: {got}, expected {expected} within {tolerance}");
        self.rows += 1;
        self.worst = self.worst.max(used);
    }

    fn exact(&mut self, what: &str, got: f64, expected: f64) {
        assert_eq!(got, expected, "{what}");
        self.rows += 1;
    }

    /// A closed form: 1e-9 relative.
    fn closed(&mut self, what: &str, got: f64, expected: f64) {
        self.check(what, got, expected, 1e-9 * expected.abs().max(1e-300));
    }

    /// An own simulation: within four standard errors, or to rounding where all samples are one.
    fn simulated(&mut self, what: &str, samples: impl Iterator<Item = f64>, expected: f64) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for x in samples {
            (n, sum, squares) = (n + 1.0, sum + x, squares + x * x);
        }
        let mean: f64 = sum / n;
        let variance: f64 = squares / n - mean * mean;
        let rounding = (1e-9 * expected.abs()).max(1e-300);
        self.check(what, mean, expected, (4.0 * (variance.max(0.0) / n).sqrt()).max(rounding));
    }
}

type Row = BTreeMap<String, String>;

fn csv_rows(text: &str) -> Vec<Row> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

fn get(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

fn json_items(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn field(item: &Value, name: &str) -> f64 {
    let value = &item[name];
    value.as_f64().or_else(|| value["value"].as_f64()).unwrap_or_else(|| panic!("no {name} in {item}"))
}

fn list(item: &Value, name: &str) -> Vec<f64> {
    item[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn model(name: &str) -> Box<dyn PathLoss> {
    let name = match name {
        "InH" | "InH-mixed" => "inh_mixed".to_owned(),
        "InF" => "inf_sl".to_owned(),
        other => other.to_lowercase().replace('-', "_"),
    };
    by_name(&name).unwrap()
}

fn path_of(row: &Row, carrier_ghz: f64) -> Path {
    Path {
        carrier_ghz,
        distance_2d_m: get(row, "d2d_m"),
        base_height_m: get(row, "hbs_m"),
        terminal_height_m: get(row, "hut_m"),
    }
}

fn path_loss(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let model = model(&row["model"]);
        let path = path_of(&row, get(&row, "fc_ghz"));
        tally.check("LOS loss", model.loss_db(&path, true), get(&row, "pl_los_db"), 0.02);
        tally.check("NLOS loss", model.loss_db(&path, false), get(&row, "pl_nlos_db"), 0.02);
        if let Ok(p) = row["p_los"].parse() {
            tally.check("LOS probability", model.los_probability(&path), p, 1e-6);
        }
        for (los, column) in [(true, "sf_los_db"), (false, "sf_nlos_db")] {
            tally.check(column, model.shadowing(&path, los).sigma_db, get(&row, column), 1e-9);
        }
    }
}

fn los_probability(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let p = model(&row["model"]).los_probability(&path_of(&row, 3.5));
        tally.check(&row["model"], p, get(&row, "p_los"), 1e-6);
    }
}

fn shadowing(text: &str, tally: &mut Tally) {
    for item in json_items(text) {
        let state = item["state"].as_str().unwrap();
        if state == "O2I" {
            tally.skipped += 1; // Outdoor-to-indoor links are not modelled.
            continue;
        }
        let far = state.contains("above breakpoint");
        let path = Path {
            carrier_ghz: 2.0,
            distance_2d_m: if far { 9000.0 } else { 50.0 },
            base_height_m: 10.0,
            terminal_height_m: 1.5,
        };
        let law = model(item["model"].as_str().unwrap()).shadowing(&path, state.starts_with("LOS"));
        tally.check("sigma", law.sigma_db, field(&item, "sigma_db"), 1e-9);
        tally.check("distance", law.correlation_distance_m, field(&item, "correlation_distance_m"), 1e-9);
    }
}

const MCS: [ModulationTable; 4] =
    [ModulationTable::Mcs1, ModulationTable::Mcs2, ModulationTable::Mcs3, ModulationTable::Mcs4];
const CQI: [ModulationTable; 3] = [ModulationTable::Cqi1, ModulationTable::Cqi2, ModulationTable::Cqi3];

fn scheme(row: &Row, tables: &[ModulationTable], table: &str, index: &str) -> Scheme {
    let schemes = tables[get(row, table) as usize - 1].schemes();
    *schemes.iter().find(|s| s.index == get(row, index) as u32).unwrap()
}

fn schemes(text: &str, tables: &[ModulationTable], table: &str, index: &str, tally: &mut Tally) {
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

fn transport_blocks(text: &str, tally: &mut Tally) {
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

fn thresholds(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        if get(&row, "cbs_bits") < 1000.0 {
            tally.skipped += 1; // Thresholds are those of large blocks.
            continue;
        }
        let table = MCS[get(&row, "mcs_table") as usize - 1];
        let threshold = LinkAdaptation::new(table, 0.0).threshold_db(get(&row, "mcs") as u32).unwrap();
        tally.check("threshold", threshold, get(&row, "sionna_snr10_db"), 0.8);
    }
}

fn numerologies(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let n = Numerology::from_scs_khz(get(&row, "scs_khz") as u32).unwrap();
        tally.exact("mu", f64::from(n.mu()), get(&row, "mu"));
        tally.exact("slots", f64::from(n.slots_per_frame()), get(&row, "slots_per_frame"));
        tally.closed("slot", n.slot_seconds() * 1e3, get(&row, "slot_ms"));
        // The file prints six decimals.
        tally.check("symbol", n.symbol_seconds() * 1e6, get(&row, "symbol_us_mean"), 6e-7);
    }
}

fn maximum_rates(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let n = Numerology::from_scs_khz(15 << get(&row, "mu") as u32).unwrap();
        let efficiency = get(&row, "layers") * get(&row, "qm") * get(&row, "scaling_f") * MAX_CODE_RATE;
        let rate = n.rate_bps(get(&row, "n_prb"), efficiency, get(&row, "overhead"));
        tally.check("rate", rate / 1e6, get(&row, "max_rate_mbps"), 1e-8 * rate / 1e6);
    }
}

fn link_adaptation(text: &str, tally: &mut Tally) {
    let all: Value = serde_json::from_str(text).unwrap();
    tally.skipped += all["eesm"].as_array().unwrap().len(); // Channels are flat within a block.
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

/// Independent links at one instant: gains under `law`.
fn gains(law: FadingLaw, seed: u64) -> impl Iterator<Item = (f64, f64)> {
    let family = CounterStream::new(seed, 1);
    (0..20_000).map(move |i| LinkFading::new(&family.child(i), 10.0).gain_at(0.7, law))
}

fn powers(law: FadingLaw, seed: u64) -> impl Iterator<Item = f64> {
    gains(law, seed).map(|(re, im)| re * re + im * im)
}

fn fading(text: &str, tally: &mut Tally) {
    const RAYLEIGH: FadingLaw = FadingLaw::Rician { k: 0.0 };
    for (seed, item) in json_items(text).iter().enumerate() {
        let (seed, kind) = (seed as u64, item["kind"].as_str().unwrap());
        let law = item["k_db"].as_f64().map_or(RAYLEIGH, |db| FadingLaw::Rician { k: db_to_linear(db) });
        let value = field(item, "value");
        match kind {
            "rayleigh_ergodic_capacity_bps_hz" => {
                let snr = db_to_linear(field(item, "snr_db"));
                let capacity = std::f64::consts::LOG2_E * (1.0 / snr).exp() * exponential_integral_e1(1.0 / snr);
                tally.closed(kind, capacity, value);
                tally.simulated(kind, powers(law, seed).map(|g| (1.0 + snr * g).log2()), value);
            }
            "rayleigh_power_cdf" | "rician_power_cdf" => {
                let x = field(item, "x");
                tally.closed(kind, 1.0 - law.exceeds(x), value);
                tally.simulated(kind, powers(law, seed).map(|g| f64::from(g <= x)), value);
            }
            "rician_power_mean" => tally.simulated(kind, powers(law, seed), value),
            "rician_power_variance" => tally.simulated(kind, powers(law, seed).map(|g| (g - 1.0).powi(2)), value),
            "rician_mean_amplitude" => tally.simulated(kind, powers(law, seed).map(f64::sqrt), value),
            "clarke_autocorrelation" | "clarke_power_covariance" => {
                let (doppler, lag) = (field(item, "fd_hz"), field(item, "tau_s"));
                let family = CounterStream::new(seed, 2);
                let pairs = (0..20_000).map(|i| {
                    let link = LinkFading::new(&family.child(i), doppler);
                    (link.gain_at(1.3, RAYLEIGH), link.gain_at(1.3 + lag, RAYLEIGH))
                });
                if kind == "clarke_autocorrelation" {
                    tally.simulated(kind, pairs.map(|(a, b)| a.0 * b.0 + a.1 * b.1), value);
                } else {
                    let power = |h: (f64, f64)| h.0 * h.0 + h.1 * h.1;
                    tally.simulated(kind, pairs.map(|(a, b)| (power(a) - 1.0) * (power(b) - 1.0)), value);
                }
            }
            "shadow_autocovariance_db2" => {
                let (sigma, moved) = (field(item, "sigma_db"), field(item, "distance_m"));
                let family = CounterStream::new(seed, 3);
                let products = (0..20_000).map(|i| {
                    let shadow = SpatialField::new(&family.child(i), field(item, "dcorr_m"));
                    let here = Position::new(137.0, -61.0, 1.5);
                    let there = Position::new(137.0 + 0.6 * moved, -61.0 + 0.8 * moved, 1.5);
                    sigma * shadow.at(&here) * sigma * shadow.at(&there)
                });
                tally.simulated(kind, products, value);
            }
            "shadow_linear_mean" => {
                let family = CounterStream::new(seed, 4);
                let here = Position::new(10.0, 20.0, 1.5);
                let gain =
                    |i| db_to_linear(field(item, "sigma_db") * SpatialField::new(&family.child(i), 37.0).at(&here));
                tally.simulated(kind, (0..20_000).map(gain), value);
            }
            "doppler_hz" | "coherence_time_s" => {
                let doppler = doppler_hz(field(item, "v_kmh") / 3.6, field(item, "fc_ghz"));
                tally.closed(kind, if kind == "doppler_hz" { doppler } else { coherence_time_s(doppler) }, value);
            }
            "thermal_noise_dbm" => {
                let noise = thermal_noise_dbm(field(item, "bandwidth_hz"), field(item, "noise_figure_db"));
                tally.closed(kind, noise, value);
            }
            "free_space_path_loss_db" => {
                let path = Path {
                    carrier_ghz: field(item, "fc_ghz"),
                    distance_2d_m: field(item, "distance_m"),
                    base_height_m: 1.5,
                    terminal_height_m: 1.5,
                };
                tally.closed(kind, FreeSpace.loss_db(&path, true), value);
            }
            "rician_nakagami_m"
            | "rayleigh_level_crossing_rate_hz"
            | "rayleigh_average_fade_duration_s"
            | "shannon_gap_rate_bps"
            | "qam_snr_gap_db" => tally.skipped += 1,
            unknown => panic!("fading.json has an unknown kind {unknown}"),
        }
    }
}

fn mobility(text: &str, tally: &mut Tally) {
    let family = CounterStream::new(11, 12);
    let square = |side: f64| Area::Rectangle { centre: Position::default(), width_m: side, depth_m: side };
    let disc = |radius: f64| Area::Annulus { centre: Position::default(), inner_m: 0.0, outer_m: radius };
    let leg = |area: Area, i: u64| {
        let end = |j: u64| area.uniform_point([family.uniform(4 * i + 2 * j), family.uniform(4 * i + 2 * j + 1)], 0.0);
        end(0).distance_2d_m(&end(1))
    };
    for item in json_items(text) {
        let kind = item["kind"].as_str().unwrap();
        let value = || field(&item, "value");
        match kind {
            "square_mean_leg" | "disc_mean_leg" => {
                let area = item["side"].as_f64().map_or_else(|| disc(field(&item, "radius")), square);
                tally.simulated(kind, (0..100_000).map(|i| leg(area, i)), value());
            }
            "disc_drop_mean_distance" => {
                let drop = Placement::Uniform { area: disc(field(&item, "radius")), height_m: 1.5 };
                let distance = |i: u64| drop.position(0, &family.child(i)).unwrap().distance_2d_m(&Position::default());
                tally.simulated(kind, (0..100_000).map(distance), value());
            }
            "rwp_stationary_mean_speed_moving" => {
                // Long after the start, over independent walkers: the speed of a walker seen at a random instant.
                let speeds = (field(&item, "vmin"), field(&item, "vmax"));
                let speed = |i: u64| {
                    let stream = family.child(1_000_000 + i);
                    let start =
                        square(100.0).uniform_point([stream.uniform(1 << 40), stream.uniform((1 << 40) + 1)], 0.0);
                    let walk = RandomWaypoint::new(start, square(100.0), speeds, 0.0, stream).unwrap();
                    let mut walk = Trajectory::RandomWaypoint(walk);
                    let instant = 3000.0;
                    let place = walk.position_at(SimTime::from_seconds(instant));
                    walk.position_at(SimTime::from_seconds(instant + 1e-3)).distance_2d_m(&place) / 1e-3
                };
                tally.simulated(kind, (0..4000).map(speed), value());
            }
            // Gauss-Markov walks and Poisson fields are not modelled; leg times follow from legs and speeds.
            _ => tally.skipped += 1,
        }
    }
}

fn aircomp(text: &str, tally: &mut Tally) {
    for (seed, item) in json_items(text).iter().enumerate() {
        let draws = CounterStream::new(seed as u64, 98);
        match item["kind"].as_str().unwrap() {
            "truncated_inversion" => truncated_inversion(item, seed as u64, tally),
            "optimal_power_control" => {
                let optimum = optimal_power(&list(item, "P"), &list(item, "h"), field(item, "sigma2"));
                tally.closed("eta", optimum.eta, field(item, "eta"));
                tally.closed("mse", optimum.mse, field(item, "mse"));
                for (power, expected) in optimum.powers.iter().zip(list(item, "power")) {
                    tally.closed("power", *power, expected);
                }
                let amplitudes: Vec<f64> = optimum
                    .powers
                    .iter()
                    .zip(list(item, "h"))
                    .map(|(p, h)| p.sqrt() * h / optimum.eta.sqrt())
                    .collect();
                let noise = (field(item, "sigma2") / optimum.eta).sqrt();
                let misfit: Vec<f64> = amplitudes.iter().map(|a| a - 1.0).collect();
                tally.simulated("mse", error_of_mean(&misfit, noise, &draws), field(item, "mse"));
            }
            "one_bit_majority_vote" => {
                let participation = (-field(item, "gth")).exp();
                let snr = field(item, "rho") / field(item, "N0");
                let error = vote_error(field(item, "K") as u32, participation, field(item, "p_correct"), snr);
                tally.closed("vote error", error, field(item, "vote_error"));
                // Every device's true sign is plus; the amplitude of a sign is sqrt(rho/2), the noise N0/2.
                let votes = (0..100_000).map(|round| {
                    let draws = draws.child(round);
                    let sum: f64 = (0..field(item, "K") as u64)
                        .filter(|k| draws.exponential(3 * k) >= field(item, "gth"))
                        .map(|k| if draws.uniform(3 * k + 1) < field(item, "p_correct") { 1.0 } else { -1.0 })
                        .sum();
                    f64::from(sum + draws.normal(1 << 40) / snr.sqrt() < 0.0)
                });
                tally.simulated("vote error", votes, field(item, "vote_error"));
            }
            "analog_round_latency" => {
                let air = AirInterface {
                    subcarriers: field(item, "subcarriers") as u32,
                    symbol_seconds: field(item, "symbol_s"),
                    noise_watts: 1.0,
                    time_share: 1.0,
                };
                let two = field(item, "values_per_complex_symbol") == 2.0;
                let values = if two { ValuesPerSymbol::Two } else { ValuesPerSymbol::One };
                let seconds = air.round_seconds(field(item, "parameters") as u64, values);
                tally.closed("round", seconds, field(item, "seconds"));
            }
            "uniform_forcing_receive_beam" => receive_beam(item, &draws, tally),
            "gaussian_phase_error_real_symbols" => {
                let (devices, s) = (field(item, "K") as u32, field(item, "phase_sigma_rad"));
                let noise = field(item, "N0") / field(item, "rho");
                let mse = phase_error_mse(ValuesPerSymbol::One, devices, s, noise);
                tally.closed("phase error", mse, field(item, "mse"));
                let rounds = (0..100_000).flat_map(|round| {
                    let draws = draws.child(round);
                    let misfit: Vec<f64> = (0..u64::from(devices)).map(|k| (s * draws.normal(k)).cos() - 1.0).collect();
                    error_of_mean(&misfit, (noise / 2.0).sqrt(), &draws.child(1)).take(1).collect::<Vec<f64>>()
                });
                tally.simulated("phase error", rounds, field(item, "mse"));
            }
            unknown => panic!("aircomp.json has an unknown kind {unknown}"),
        }
    }
}

/// Squared errors of a mean whose devices arrive with amplitudes 1 + `misfit`, the sum under noise of this deviation.
fn error_of_mean(misfit: &[f64], noise_std: f64, draws: &CounterStream) -> impl Iterator<Item = f64> {
    let (draws, devices) = (*draws, misfit.len() as u64);
    (0..100_000).map(move |round| {
        let draws = draws.child(round);
        let error: f64 = (0..devices).map(|k| misfit[k as usize] * draws.normal(k)).sum();
        ((error + noise_std * draws.normal(1 << 40)) / devices as f64).powi(2)
    })
}

fn receive_beam(item: &Value, draws: &CounterStream, tally: &mut Tally) {
    let (devices, antennas) = (field(item, "K") as usize, field(item, "N") as usize);
    let (power, noise, shift) = (field(item, "P"), field(item, "sigma2"), field(item, "channel_seed"));
    let channel = |k: usize| -> Vector {
        DVector::from_fn(antennas, |n, _| {
            let t = 0.7 * n as f64 * (k + 1) as f64 + shift;
            Complex::from_polar((1.0 + 0.5 * (3.0 * t).cos()) / 2f64.sqrt(), t + 0.3 * (2.0 * t).sin())
        })
    };
    let channels: Vec<Vector> = (0..devices).map(channel).collect();
    let beam = matched(&channels);
    let sent = uniform_forcing(&vec![power; devices], &channels, &vec![1.0; devices], &beam, noise);
    tally.closed("smallest gain", smallest_gain(&beam, &channels), field(item, "min_effective_gain"));
    tally.closed("eta", sent.eta, field(item, "eta"));
    tally.closed("mse", sent.mse, field(item, "mse"));
    // Through every antenna: what arrives at each, noise and all, and only then the beam. Real symbols of one complex dimension
    // carry the whole unit variance, circular noise its own.
    let rounds = (0..60_000u64).map(|round| {
        let draws = draws.child(round);
        let complex = |i: u64| Complex::new(draws.normal(2 * i), draws.normal(2 * i + 1)) * 0.5f64.sqrt();
        let symbols: Vec<Complex<f64>> = (0..devices as u64).map(complex).collect();
        let heard: Vector = DVector::from_fn(antennas, |n, _| {
            let devices = channels.iter().zip(&sent.factors).zip(&symbols);
            let sum: Complex<f64> = devices.map(|((h, b), x)| h[n] * b * x).sum();
            sum + complex(1000 + n as u64) * noise.sqrt()
        });
        let mean = symbols.iter().sum::<Complex<f64>>() / devices as f64;
        (beam.dotc(&heard) / (devices as f64 * sent.eta.sqrt()) - mean).norm_sqr()
    });
    tally.simulated("mse", rounds, field(item, "mse"));
}

fn compressed(text: &str, tally: &mut Tally) {
    const VALUE_BITS: u64 = 32;
    for (seed, item) in json_items(text).iter().enumerate() {
        let vector = list(item, "vector");
        let squared = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
        let error = |c: &compression::Compression, i: u64| {
            let mut sent = vector.clone();
            c.apply(&mut sent, &CounterStream::new(seed as u64, i));
            squared(&sent.iter().zip(&vector).map(|(a, b)| a - b).collect::<Vec<f64>>())
        };
        let k = || field(item, "k") as usize;
        match item["kind"].as_str().unwrap() {
            "qsgd" => {
                let levels = field(item, "levels") as u32;
                let scheme = compression::Compression::qsgd(levels, vector.len());
                tally.closed("variance", compression::qsgd_variance(&vector, levels), field(item, "variance"));
                let bound = compression::qsgd_relative_bound(vector.len(), levels) * squared(&vector);
                tally.closed("bound", bound, field(item, "bound"));
                tally.exact("bits", scheme.bits(vector.len(), VALUE_BITS) as f64, field(item, "bits_fixed_length"));
                tally.simulated("variance", (0..60_000).map(|i| error(&scheme, i)), field(item, "variance"));
            }
            "top_k" => {
                let scheme = compression::Compression::TopK { kept: k() };
                let kept: Vec<f64> = compression::top_k(&vector, k()).iter().map(|i| *i as f64).collect();
                assert_eq!(kept, list(item, "kept"), "kept");
                tally.check("error", error(&scheme, 0), field(item, "error"), 1e-9 * squared(&vector));
                tally.exact("bits", scheme.bits(vector.len(), VALUE_BITS) as f64, field(item, "bits"));
            }
            "rand_k_unbiased" => {
                let scheme = compression::Compression::rand_k(k(), vector.len());
                let variance = field(item, "variance");
                tally.closed("variance", compression::rand_k_variance(&vector, k()), variance);
                tally.simulated("variance", (0..60_000).map(|i| error(&scheme, i)), variance);
            }
            unknown => panic!("compression.json has an unknown kind {unknown}"),
        }
    }
}

fn uplink_latency(text: &str, tally: &mut Tally) {
    for item in json_items(text) {
        assert_eq!(item["kind"].as_str().unwrap(), "uplink_round_latency", "uplink_latency.json");
        let band = field(&item, "bandwidth_hz");
        let senders: Vec<Sender> = list(&item, "bits")
            .into_iter()
            .zip(list(&item, "snr_hz"))
            .map(|(bits, snr_hz)| Sender { bits, snr_hz })
            .collect();
        let longest = |bandwidths: &[f64]| fdma_seconds(bandwidths, &senders).into_iter().fold(0.0, f64::max);
        let parts = optimal_bandwidths(band, &senders);
        for (what, seconds) in [
            ("tdma_s", tdma_seconds(band, &senders).iter().sum()),
            ("fdma_equal_s", longest(&equal_bandwidths(band, &senders))),
            ("fdma_optimal_s", longest(&parts)),
        ] {
            let expected = field(&item, what);
            tally.check(what, seconds, expected, 1e-6 * expected);
        }
        for (part, expected) in parts.iter().zip(list(&item, "fdma_optimal_bandwidths_hz")) {
            tally.check("bandwidth", *part, expected, 1e-6 * expected);
        }
    }
}

/// Closed forms, then rounds drawn with the scheme itself: K devices at the cell edge, Rayleigh fading.
fn truncated_inversion(item: &Value, seed: u64, tally: &mut Tally) {
    let (devices, threshold, noise) = (field(item, "K") as u32, field(item, "gth"), field(item, "N0"));
    let path_gain = field(item, "r_max").powf(-field(item, "alpha"));
    let subcarriers = 16;
    let air = AirInterface { subcarriers, symbol_seconds: 1e-4, noise_watts: noise, time_share: 1.0 };
    let law = FadingLaw::Rician { k: 0.0 };
    let power_watts = field(item, "P0_over_M") * f64::from(subcarriers);
    let state = |fading_power| ChannelState { fading_power, law, path_gain, power_watts };
    let mut scheme = TruncatedInversion::new(threshold).unwrap();
    scheme.power_rule = PowerRule::CellEdge { path_gain };

    let clear = scheme.realise(&[state(1e3)], &air);
    tally.closed("rho", clear.rho_watts, field(item, "rho"));
    tally.closed("participation", law.exceeds(threshold), field(item, "participation"));
    tally.closed("receive SNR", units::linear_to_db(clear.receive_snr(&air)), field(item, "receive_snr_db"));
    tally.closed("average power", clear.mean_tx_watts[0], field(item, "P0_over_M"));

    let draws = CounterStream::new(seed, 99);
    let spent = (0..200_000).map(|i| {
        let g = draws.exponential(i);
        if g >= threshold { clear.rho_watts / path_gain / g } else { 0.0 }
    });
    tally.simulated("average power", spent, field(item, "P0_over_M"));

    for (divisor, name) in [
        (Divisor::Scheduled, "mse_divide_by_K"),
        (Divisor::ExpectedParticipants, "mse_divide_by_K_times_participation"),
        (Divisor::Participants, "mse_divide_by_active_count"),
    ] {
        let expected = field(item, name);
        let participation = law.exceeds(threshold);
        tally.closed(name, expected_mse(divisor, devices, participation, noise / clear.rho_watts), expected);
        scheme.divisor = divisor;
        let squared_error = |round: u64| {
            let draws = draws.child(round + 1);
            let states: Vec<ChannelState> = (0..u64::from(devices)).map(|k| state(draws.exponential(k))).collect();
            let air_did = scheme.realise(&states, &air);
            let value = |k: usize| draws.normal(1000 + k as u64);
            let mean = (0..states.len()).map(value).sum::<f64>() / f64::from(devices);
            let received = (0..states.len()).filter(|k| air_did.participants[*k]).map(value).sum::<f64>();
            let estimate = air_did.scale * received + air_did.noise_std * draws.normal(5000);
            (estimate - mean).powi(2)
        };
        tally.simulated(name, (0..20_000).map(squared_error), expected);
    }
}

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
        if READ_ELSEWHERE.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let mut tally = Tally::default();
        match name.as_str() {
            "tr38901_pathloss.csv" => path_loss(&text, &mut tally),
            "tr38901_los_probability.csv" => los_probability(&text, &mut tally),
            "tr38901_shadowing.json" => shadowing(&text, &mut tally),
            "nr_mcs_tables.csv" => schemes(&text, &MCS, "mcs_table", "mcs", &mut tally),
            "nr_cqi_tables.csv" => schemes(&text, &CQI, "cqi_table", "cqi", &mut tally),
            "nr_tbs.csv" => transport_blocks(&text, &mut tally),
            "nr_bler_sionna.csv" => thresholds(&text, &mut tally),
            "nr_numerology.csv" => numerologies(&text, &mut tally),
            "nr_max_rate_38306.csv" => maximum_rates(&text, &mut tally),
            "nr_link_adaptation.json" => link_adaptation(&text, &mut tally),
            "fading.json" => fading(&text, &mut tally),
            "mobility.json" => mobility(&text, &mut tally),
            "aircomp.json" => aircomp(&text, &mut tally),
            "compression.json" => compressed(&text, &mut tally),
            "uplink_latency.json" => uplink_latency(&text, &mut tally),
            unknown => panic!("nothing checks {unknown}: teach tests/golden_radio.rs or move the file"),
        }
        assert!(tally.rows > 0, "{name} has no row that is checked");
        println!("golden {name} rows={} worst={:.3} ok (skipped {})", tally.rows, tally.worst, tally.skipped);
    }
}
