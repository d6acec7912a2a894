//! Exponential effective SINR mapping: one SNR for a block whose parts see different ones.

use crate::radio::tables::{ModulationTable, Scheme, measured_betas};
use crate::radio::units::{db_to_linear, linear_to_db};

/// -beta ln(mean(exp(-SNR/beta))) of linear SNRs: near the mean for a large beta, near the minimum for a small one.
/// 0 for no SNRs.
pub fn effective_snr(beta: f64, snrs: &[f64]) -> f64 {
    // Taken relative to the smallest, so that no exponential underflows where it matters.
    let smallest = snrs.iter().copied().fold(f64::INFINITY, f64::min);
    if !smallest.is_finite() {
        return 0.0;
    }
    let mean = snrs.iter().map(|snr| ((smallest - snr) / beta).exp()).sum::<f64>() / snrs.len() as f64;
    smallest - beta * mean.ln()
}

/// [`effective_snr`] in dB.
pub fn effective_snr_db(beta: f64, snrs_db: &[f64]) -> f64 {
    let snrs: Vec<f64> = snrs_db.iter().map(|db| db_to_linear(*db)).collect();
    linear_to_db(effective_snr(beta, &snrs))
}

/// Beta of a scheme: measured where tables 1 and 2 have its modulation and rate, interpolated over the rate within the
/// modulation elsewhere. 1024-QAM was not calibrated: it takes 256-QAM's value at its rate times the ratio of squared
/// distances between symbols, (1024 - 1)/(256 - 1) (assumed).
pub fn beta(scheme: &Scheme) -> f64 {
    if scheme.modulation_order == 10 {
        return beta(&Scheme { modulation_order: 8, ..*scheme }) * (1023.0 / 255.0);
    }
    let mut points: Vec<(f64, f64)> = measured_betas()
        .iter()
        .filter_map(|row| {
            let measured = row.table.schemes().iter().find(|s| s.index == row.index)?;
            (measured.modulation_order == scheme.modulation_order).then_some((measured.rate_x1024, row.beta))
        })
        .collect();
    points.sort_by(|a, b| a.partial_cmp(b).expect("tables hold numbers"));
    points.dedup();
    crate::radio::link_adaptation::interpolate(&points, scheme.rate_x1024)
}

/// Beta of an LTE scheme, by modulation and rate: that of the nearest scheme of table 1, whose modulations it shares.
pub(super) fn beta_at(modulation_order: u32, code_rate: f64) -> f64 {
    let reference = ModulationTable::Mcs1.schemes()[0];
    beta(&Scheme { modulation_order, rate_x1024: 1024.0 * code_rate, ..reference })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_channels_keep_their_snr_and_extremes_do_not_overflow() {
        assert!((effective_snr_db(4.71, &[5.0; 4]) - 5.0).abs() < 1e-12);
        let spread = effective_snr_db(1.6, &[0.0, 60.0]);
        assert!((0.0..4.0).contains(&spread), "{spread}");
        assert!((effective_snr(1e9, &[1.0, 3.0]) - 2.0).abs() < 1e-6);
        assert_eq!(effective_snr(1.6, &[]), 0.0);
    }

    #[test]
    fn measured_schemes_keep_their_beta() {
        for row in measured_betas() {
            let scheme = row.table.schemes().iter().find(|s| s.index == row.index).unwrap();
            // Tables 1 and 2 share schemes and agree on them to the printed digits.
            assert!((beta(scheme) - row.beta).abs() < 0.35, "{row:?} {}", beta(scheme));
        }
    }
}
