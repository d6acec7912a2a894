//! Ways to share a band among devices that each have so many bits to send, in closed form: the digital rivals of
//! over-the-air aggregation. Rates are Shannon's over white noise, R = B log2(1 + snr_hz / B) with snr_hz = P g / N0.

use std::f64::consts::{LN_2, LOG2_E};

/// Halvings of an interval: enough for double precision.
const HALVINGS: u32 = 100;

/// One device's message and link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sender {
    pub bits: f64,
    /// Received power over the noise in one hertz, Hz.
    pub snr_hz: f64,
}

/// Shannon rate over `bandwidth_hz`, bit/s; its limit for wide bands is snr_hz / ln 2.
pub fn shannon_rate_bps(bandwidth_hz: f64, snr_hz: f64) -> f64 {
    bandwidth_hz * (snr_hz / bandwidth_hz).ln_1p() * LOG2_E
}

/// Seconds that each device sends if they take turns, each on the whole band.
pub fn tdma_seconds(bandwidth_hz: f64, senders: &[Sender]) -> Vec<f64> {
    senders.iter().map(|s| s.bits / shannon_rate_bps(bandwidth_hz, s.snr_hz)).collect()
}

/// Seconds that each device sends if all do at once on the bandwidths given.
pub fn fdma_seconds(bandwidths_hz: &[f64], senders: &[Sender]) -> Vec<f64> {
    senders.iter().zip(bandwidths_hz).map(|(s, b)| s.bits / shannon_rate_bps(*b, s.snr_hz)).collect()
}

/// Equal parts of the band.
pub fn equal_bandwidths(bandwidth_hz: f64, senders: &[Sender]) -> Vec<f64> {
    vec![bandwidth_hz / senders.len() as f64; senders.len()]
}

/// The parts of the band with which all devices finish together, and therefore soonest: bisection on the common time, and for each time
/// on each device's band.
pub fn optimal_bandwidths(bandwidth_hz: f64, senders: &[Sender]) -> Vec<f64> {
    let needed = |seconds: f64| senders.iter().map(|s| narrowest(s, seconds, bandwidth_hz)).collect::<Vec<f64>>();
    // Equal parts are enough for the slowest, the whole band for each alone is too little time for all together.
    let slowest = |bandwidths: &[f64]| fdma_seconds(bandwidths, senders).into_iter().fold(0.0, f64::max);
    let mut late = slowest(&equal_bandwidths(bandwidth_hz, senders));
    let mut early = slowest(&vec![bandwidth_hz; senders.len()]);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(early, late);
        if needed(middle).iter().sum::<f64>() > bandwidth_hz {
            early = middle
        } else {
            late = middle
        }
        if late - early <= f64::EPSILON * late {
            break;
        }
    }
    needed(late)
}

/// The narrowest band on which `sender` is done in `seconds`; `widest` if that does not exist or is wider.
fn narrowest(sender: &Sender, seconds: f64, widest: f64) -> f64 {
    let rate = sender.bits / seconds;
    if rate >= sender.snr_hz / LN_2 || shannon_rate_bps(widest, sender.snr_hz) <= rate {
        return widest;
    }
    let (mut low, mut high) = (0.0, widest);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if shannon_rate_bps(middle, sender.snr_hz) < rate {
            low = middle
        } else {
            high = middle
        }
        if high - low <= f64::EPSILON * high {
            break;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(seconds: &[f64]) -> f64 {
        seconds.iter().fold(0.0, |a: f64, b| a.max(*b))
    }

    #[test]
    fn the_optimum_ends_together_and_before_equal_parts() {
        let sender = |bits, snr_hz| Sender { bits, snr_hz };
        for senders in [
            vec![sender(1e6, 3e6), sender(2e6, 1e7), sender(1e6, 8e5)],
            vec![sender(1e6, 1e3), sender(1e6, 1e9)],
            vec![sender(8.0, 1e6)],
            vec![sender(1e6, 1e7); 5],
        ] {
            let parts = optimal_bandwidths(1e6, &senders);
            assert!((parts.iter().sum::<f64>() / 1e6 - 1.0).abs() < 1e-9, "{parts:?}");
            let optimal = fdma_seconds(&parts, &senders);
            let equal = longest(&fdma_seconds(&equal_bandwidths(1e6, &senders), &senders));
            assert!(longest(&optimal) <= equal * (1.0 + 1e-12));
            assert!(optimal.iter().all(|t| (t / optimal[0] - 1.0).abs() < 1e-9), "{optimal:?}");
        }
    }

    #[test]
    fn alone_on_the_band_all_ways_are_one() {
        let one = [Sender { bits: 1e6, snr_hz: 1e7 }];
        let seconds = 1e6 / (2e6 * 6f64.log2());
        for t in [tdma_seconds(2e6, &one), fdma_seconds(&optimal_bandwidths(2e6, &one), &one)] {
            assert!((t[0] / seconds - 1.0).abs() < 1e-12);
        }
        // A narrow trickle of power: the wide-band limit.
        assert!((shannon_rate_bps(1e12, 1.0) * LN_2 - 1.0).abs() < 1e-9);
    }
}
