//! Over-the-air aggregation against closed forms, and rounds drawn with the schemes themselves.

use crate::tally::{Tally, field, json_items, list};
use deft::radio::aircomp::beam::{Vector, matched, smallest_gain};
use deft::radio::aircomp::misalignment::phase_error_mse;
use deft::radio::aircomp::one_bit::vote_error;
use deft::radio::aircomp::power_control::optimal_power;
use deft::radio::aircomp::uniform_forcing::uniform_forcing;
use deft::radio::aircomp::{
    AirInterface, ChannelState, Divisor, PowerRule, TruncatedInversion, ValuesPerSymbol, expected_mse,
};
use deft::radio::fading::FadingLaw;
use deft::radio::units;
use deft::random::CounterStream;
use nalgebra::{Complex, DVector};
use serde_json::Value;

pub fn aircomp(text: &str, tally: &mut Tally) {
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
