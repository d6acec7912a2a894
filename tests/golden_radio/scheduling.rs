//! Scheduling, retransmission, interference and power control in closed form, met by draws of our own fading and placement.

use crate::tally::{Tally, field, json_items, list};
use deft::radio::PowerControl;
use deft::radio::fading::{FadingLaw, LinkFading};
use deft::radio::geometry::{Area, Position};
use deft::radio::special::{exponential_integral_e1, poisson_cdf};
use deft::radio::units::db_to_linear;
use deft::random::CounterStream;
use std::f64::consts::LOG2_E;

const RAYLEIGH: FadingLaw = FadingLaw::Rician { k: 0.0 };
const DRAWS: u64 = 20_000;

/// Power gain of link `k` in draw `i`.
fn gain(family: &CounterStream, i: u64, k: u64) -> f64 {
    let (re, im) = LinkFading::new(&family.child(i).child(k), 10.0).gain_at(0.7, RAYLEIGH);
    re * re + im * im
}

pub fn scheduling(text: &str, tally: &mut Tally) {
    for (seed, item) in json_items(text).iter().enumerate() {
        let family = CounterStream::new(seed as u64, 7);
        let kind = item["kind"].as_str().unwrap();
        match kind {
            "proportional_fair_cell_rate_bps_hz" | "round_robin_cell_rate_bps_hz" => {
                let (users, snr) = (field(item, "users") as u64, db_to_linear(field(item, "mean_snr_db")));
                let fair = kind.starts_with("proportional");
                let term = |k: f64| (k / snr).exp() * exponential_integral_e1(k / snr);
                let closed = if fair {
                    let mut choose = 1.0;
                    let terms = (1..=users).map(|k| {
                        choose *= (users - k + 1) as f64 / k as f64;
                        (if k % 2 == 1 { choose } else { -choose }) * term(k as f64)
                    });
                    LOG2_E * terms.sum::<f64>()
                } else {
                    LOG2_E * term(1.0)
                };
                tally.closed(kind, closed, field(item, "value"));
                // Symmetric users and a long window: proportional fairness serves whoever is best against the own mean.
                let served = |i: u64| {
                    let gains = (0..if fair { users } else { 1 }).map(|k| gain(&family, i, k));
                    (1.0 + snr * gains.fold(0.0, f64::max)).log2()
                };
                tally.simulated(kind, (0..DRAWS).map(served), closed);
            }
            "harq_chase_residual_outage" => {
                let tries = field(item, "transmissions") as u64;
                let needed = field(item, "threshold_snr") / db_to_linear(field(item, "mean_snr_db"));
                let closed = 1.0 - poisson_cdf(tries as u32 - 1, needed);
                tally.closed(kind, closed, field(item, "value"));
                let failed = |i: u64| f64::from((0..tries).map(|k| gain(&family, i, k)).sum::<f64>() < needed);
                tally.simulated(kind, (0..DRAWS).map(failed), closed);
            }
            "harq_independent_tries" => {
                let (p, tries) = (field(item, "bler"), field(item, "max_transmissions") as u64);
                let sent = |i: u64| {
                    let draws = family.child(i);
                    1 + (0..tries - 1).take_while(|k| draws.uniform(*k) < p).count() as u64
                };
                tally.simulated(kind, (0..100_000).map(|i| sent(i) as f64), field(item, "mean_transmissions"));
                let lost = |i: u64| f64::from((0..tries).all(|k| family.child(i).uniform(k) < p));
                tally.simulated(kind, (0..400_000).map(lost), field(item, "residual"));
            }
            "rayleigh_sir_coverage" => {
                let threshold = db_to_linear(field(item, "threshold_db"));
                let ratios = list(item, "interferer_to_signal_mean_power");
                let closed: f64 = ratios.iter().map(|r| 1.0 / (1.0 + threshold * r)).product();
                tally.closed(kind, closed, field(item, "value"));
                let covered = |i: u64| {
                    let noise: f64 = (1..).zip(&ratios).map(|(k, r)| r * gain(&family, i, k)).sum();
                    f64::from(gain(&family, i, 0) > threshold * noise)
                };
                tally.simulated(kind, (0..DRAWS).map(covered), closed);
            }
            "poisson_downlink_coverage_alpha4_no_noise" => {
                let threshold = db_to_linear(field(item, "threshold_db"));
                let root = threshold.sqrt();
                let closed = 1.0 / (1.0 + root * root.atan());
                tally.closed(kind, closed, field(item, "value"));
                tally.simulated(kind, (0..10_000).map(|i| covered_in_the_field(&family.child(i), threshold)), closed);
            }
            "fractional_power_control" => {
                let control = PowerControl { p0_dbm: field(item, "p0_dbm"), alpha: field(item, "alpha") };
                let (blocks, loss) = (field(item, "n_prb"), field(item, "pathloss_db"));
                let sent = control.transmit_dbm(blocks, 0, loss, field(item, "pmax_dbm"));
                tally.check("transmit power", sent, field(item, "tx_dbm"), 1e-9);
                let received = sent - 10.0 * blocks.log10() - loss;
                tally.check("received power", received, field(item, "rx_per_prb_dbm"), 1e-9);
            }
            unknown => panic!("scheduling_interference.json has an unknown kind {unknown}"),
        }
    }
}

/// Whether a terminal at the origin hears the nearest of Poisson base stations, path loss d^-4, above all others.
fn covered_in_the_field(draws: &CounterStream, threshold: f64) -> f64 {
    const MEAN_STATIONS: f64 = 500.0;
    let disc = Area::Annulus { centre: Position::default(), inner_m: 0.0, outer_m: 1000.0 };
    // A Poisson number as arrivals before the mean.
    let mut clock = 0.0;
    let stations = (0..).take_while(|i| {
        clock += draws.exponential(1_000_000 + i);
        clock < MEAN_STATIONS
    });
    let heard = stations.map(|i| {
        let place = disc.uniform_point([draws.uniform(4 * i), draws.uniform(4 * i + 1)], 0.0);
        let mean = place.distance_2d_m(&Position::default()).powi(-4);
        (mean, mean * draws.exponential(4 * i + 2))
    });
    let heard: Vec<(f64, f64)> = heard.collect();
    let Some((_, signal)) = heard.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)) else { return 0.0 };
    let total: f64 = heard.iter().map(|h| h.1).sum();
    f64::from(signal > threshold * (total - signal))
}
