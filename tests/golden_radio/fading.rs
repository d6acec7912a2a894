//! Small-scale fading, shadowing and noise against closed forms.

use crate::tally::{Tally, field, json_items};
use deft::radio::fading::{FadingLaw, LinkFading, coherence_time_s, doppler_hz};
use deft::radio::geometry::Position;
use deft::radio::noise::thermal_noise_dbm;
use deft::radio::pathloss::{FreeSpace, Path, PathLoss};
use deft::radio::shadowing::SpatialField;
use deft::radio::special::exponential_integral_e1;
use deft::radio::units::db_to_linear;
use deft::random::CounterStream;

/// Independent links at one instant: gains under `law`.
fn gains(law: FadingLaw, seed: u64) -> impl Iterator<Item = (f64, f64)> {
    let family = CounterStream::new(seed, 1);
    (0..20_000).map(move |i| LinkFading::new(&family.child(i), 10.0).gain_at(0.7, law))
}

fn powers(law: FadingLaw, seed: u64) -> impl Iterator<Item = f64> {
    gains(law, seed).map(|(re, im)| re * re + im * im)
}

pub fn fading(text: &str, tally: &mut Tally) {
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
