//! Spatial layers: what two antenna arrays make of the channel matrix between them.
//!
//! With the channel known at both ends, its singular vectors turn it into parallel layers that do not disturb each
//! other; layer i gains the square of singular value i (Telatar 1999). The flow model's layers are the ideal case in which all gains are equal.

use nalgebra::{Complex, DMatrix};

/// Power gains of the layers of a channel (receive by transmit antennas), strongest first.
pub fn layer_gains(channel: &DMatrix<Complex<f64>>) -> Vec<f64> {
    let mut gains: Vec<f64> = channel.singular_values().iter().map(|s| s * s).collect();
    gains.sort_by(|a, b| b.total_cmp(a));
    gains
}

/// SNR of each layer if the power of an SNR of `snr` at unit gain is split evenly over the strongest `layers`.
pub fn layer_snrs(gains: &[f64], snr: f64, layers: usize) -> Vec<f64> {
    gains.iter().take(layers).map(|gain| gain * snr / layers as f64).collect()
}

/// The number of layers, at most `most`, with the highest sum of log2(1 + SNR): the rank that a terminal would report.
pub fn best_rank(gains: &[f64], snr: f64, most: usize) -> usize {
    let capacity = |layers: usize| layer_snrs(gains, snr, layers).iter().map(|snr| (1.0 + snr).log2()).sum::<f64>();
    let highest = most.min(gains.len()).max(1);
    (2..=highest).fold(1, |best, layers| if capacity(layers) > capacity(best) { layers } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    fn rayleigh(receive: usize, transmit: usize, seed: u64) -> DMatrix<Complex<f64>> {
        let draws = CounterStream::new(seed, 3);
        DMatrix::from_fn(receive, transmit, |r, t| {
            let [re, im] = draws.normal_pair((r * transmit + t) as u64);
            Complex::new(re, im) * 0.5f64.sqrt()
        })
    }

    #[test]
    fn layers_share_the_power_of_the_channel() {
        for seed in 0..20 {
            let channel = rayleigh(4, 2, seed);
            let gains = layer_gains(&channel);
            assert!(gains.len() == 2 && gains[0] >= gains[1] && gains[1] > 0.0);
            assert!((gains.iter().sum::<f64>() - channel.norm_squared()).abs() < 1e-9);
        }
        // Independent gains of mean 1: 8 in all on average.
        let mean = (0..4000).map(|s| layer_gains(&rayleigh(4, 2, s)).iter().sum::<f64>()).sum::<f64>() / 4000.0;
        assert!((mean - 8.0).abs() < 4.0 * (8.0f64 / 4000.0).sqrt(), "{mean}");
    }

    #[test]
    fn a_keyhole_has_one_layer_and_a_rich_channel_more_with_more_signal() {
        let (left, right) = (rayleigh(4, 1, 1), rayleigh(1, 4, 2));
        let keyhole = layer_gains(&(left * right));
        assert!(keyhole[1] < 1e-20 && best_rank(&keyhole, 1e4, 4) == 1);
        let rich = layer_gains(&rayleigh(4, 4, 5));
        let ranks: Vec<usize> = [0.01, 1.0, 100.0, 1e6].map(|snr| best_rank(&rich, snr, 4)).to_vec();
        assert!(ranks.is_sorted() && ranks[0] == 1 && ranks[3] == 4, "{ranks:?}");
        assert_eq!(best_rank(&rich, 1e6, 2), 2);
    }
}
