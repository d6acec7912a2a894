//! The sidelink against closed forms.

use super::*;
use crate::radio::fading::FadingModel;
use crate::sim::{SimDuration, SimTime};

fn sidelink(environment: Environment) -> Sidelink {
    Sidelink::new(SidelinkConfig {
        environment,
        carrier_ghz: 5.9,
        bandwidth_mhz: 20.0,
        antenna_gain_dbi: 0.0,
        noise_figure_db: 9.0,
        implementation_loss_db: 3.0,
    })
    .unwrap()
}

fn fading(model: FadingModel) -> Fading {
    Fading::from_coherence_time(model, SimDuration::from_seconds(0.02))
}

fn at(x_m: f64) -> Position {
    Position::new(x_m, 0.0, 1.5)
}

#[test]
fn line_of_sight_follows_the_table() {
    let p = |e: Environment, d| e.los_probability(d);
    assert_eq!((p(Environment::Urban, 0.0), p(Environment::Highway, 5.0)), (1.0, 1.0));
    assert!((p(Environment::Urban, 100.0) - 1.05 * (-1.14f64).exp()).abs() < 1e-12);
    assert!((p(Environment::Highway, 300.0) - 0.608417).abs() < 1e-9);
    assert!((p(Environment::Highway, 475.0) - p(Environment::Highway, 475.1)).abs() < 0.01, "the pieces meet");
    assert_eq!(p(Environment::Highway, 2000.0), 0.0);
    let link = sidelink(Environment::Urban);
    let seen = (0..4000).filter(|i| {
        let pair = CounterStream::new(*i, 3);
        link.channel(&pair, &at(0.0), &at(100.0), &fading(FadingModel::None)).los
    });
    let share = seen.count() as f64 / 4000.0;
    assert!((share - p(Environment::Urban, 100.0)).abs() < 4.0 * (0.25f64 / 4000.0).sqrt(), "{share}");
}

#[test]
fn a_pair_has_one_channel_in_both_directions() {
    let (link, pair) = (sidelink(Environment::Urban), CounterStream::new(5, 6));
    let there = link.channel(&pair, &at(0.0), &at(70.0), &fading(FadingModel::Rayleigh));
    assert_eq!(there, link.channel(&pair, &at(70.0), &at(0.0), &fading(FadingModel::Rayleigh)));
    let budget = link.budget(&there, 23.0, 1.0, 1.0);
    // 51 blocks of 360 kHz.
    let expected = 23.0 - there.path_loss_db - there.shadowing_db - (-174.0 + 10.0 * (51.0 * 360e3f64).log10() + 9.0);
    assert!((budget.snr_db - expected).abs() < 1e-9 && (link.mean_snr_db(&there, 23.0) - expected).abs() < 1e-9);
}

#[test]
fn the_range_is_where_the_last_block_of_the_band_falls_silent() {
    for environment in [Environment::Urban, Environment::Highway] {
        let link = sidelink(environment);
        // All power in one resource block, and the scheme that needs least.
        let threshold = link.adaptation.threshold_db(0).unwrap();
        let blocked = |power: f64, luck: f64| {
            let allowed = power + 4.0 * luck - (thermal_noise_dbm(360e3, 9.0) + threshold);
            10f64.powf((allowed - 36.85 - 18.9 * 5.9f64.log10()) / 30.0)
        };
        // A strong sender is heard beyond where line of sight ends.
        let range = link.range_m(23.0, 4.0);
        assert!((range / blocked(23.0, 4.0) - 1.0).abs() < 1e-6, "{environment}: {range} m");
        // A weak one is heard in line of sight only, and there as far as there is one.
        let (fixed, slope, ends) = match environment {
            Environment::Urban => (38.77 + 18.2 * 5.9f64.log10(), 16.7, (1.05f64 / RARE).ln() / 0.0114),
            Environment::Highway => (32.4 + 20.0 * 5.9f64.log10(), 20.0, 1015.0 - 1e3 * RARE),
        };
        for power in [-20.0, -5.0] {
            let open = 10f64.powf((power - thermal_noise_dbm(360e3, 9.0) - threshold - fixed) / slope).min(ends);
            let expected = open.max(blocked(power, 0.0));
            let range = link.range_m(power, 0.0);
            assert!((range / expected - 1.0).abs() < 1e-6, "{environment}: {range} m, expected {expected} m");
        }
        assert!(link.range_m(20.0, 4.0) <= range && link.range_m(23.0, 0.0) <= range);
    }
}

#[test]
fn a_message_over_a_still_channel_takes_bits_over_rate() {
    let (link, still) = (sidelink(Environment::Highway), fading(FadingModel::None));
    let channel = link.channel(&CounterStream::new(1, 1), &at(0.0), &at(30.0), &still);
    let rate = link.rate(&channel, 23.0, 1.0).unwrap().rate_bps;
    let crossing = link.cross(&channel, &still, 23.0, 1_000_000, SimTime::from_nanos(12_345));
    assert!(crossing.delivered);
    assert!((crossing.duration.as_seconds() - 8e6 / rate).abs() < 1e-9);
    assert!((crossing.tx_joules - 0.199_526_231 * 8e6 / rate).abs() < 1e-6, "23 dBm are 0.2 W");
    assert_eq!(link.cross(&channel, &still, 23.0, 0, SimTime::ZERO).duration, SimDuration::ZERO);
}

#[test]
fn fading_blocks_add_up_and_a_dead_link_is_given_up() {
    let (link, fading) = (sidelink(Environment::Urban), fading(FadingModel::Rayleigh));
    let channel = link.channel(&CounterStream::new(9, 1), &at(0.0), &at(60.0), &fading);
    let start = SimTime::from_nanos(7_000_000);
    let crossing = link.cross(&channel, &fading, 23.0, 2_000_000, start);
    assert!(crossing.delivered && crossing.duration > fading.block);
    // The same, by hand: seconds of each block times its rate.
    let (mut bits, mut now, end) = (0.0, start.as_seconds(), start.as_seconds() + crossing.duration.as_seconds());
    while now < end - 1e-12 {
        let block = (now / 0.02 + 1e-9).floor();
        let until = end.min((block + 1.0) * 0.02);
        let power = channel.fading.block_power(&fading, block as u64, fading.model.law(channel.los));
        bits += link.rate(&channel, 23.0, power).map_or(0.0, |r| r.rate_bps) * (until - now);
        now = until;
    }
    assert!((bits / 16e6 - 1.0).abs() < 1e-6, "{bits} bits");

    let gone = link.cross(&channel, &fading, -90.0, 10, start);
    assert!(!gone.delivered && gone.mean_mcs.is_none() && gone.tx_joules == 0.0);
    assert!((gone.duration.as_seconds() - 10.0).abs() < 1e-6);
}
