//! Access to the uplink, and the sidelink.

use crate::tally::{Tally, field, json_items, list};
use deft::radio::sidelink::Environment;
use deft::radio::uplink_access::{Sender, equal_bandwidths, fdma_seconds, optimal_bandwidths, tdma_seconds};

pub fn uplink_latency(text: &str, tally: &mut Tally) {
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

pub fn sidelink(text: &str, tally: &mut Tally) {
    for item in &json_items(text) {
        let environment = match item["environment"].as_str() {
            Some("urban") => Environment::Urban,
            Some("highway") => Environment::Highway,
            other => panic!("sidelink_tr37885.json has an unknown environment {other:?}"),
        };
        for (los, name) in [(true, "tr37885_los_db"), (false, "tr37885_nlos_db")] {
            let loss = environment.loss_db(field(item, "d_m"), field(item, "f_ghz"), los);
            tally.check(name, loss, field(item, name), 1e-4);
        }
    }
}
