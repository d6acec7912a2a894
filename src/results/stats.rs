//! Statistics over replications: means, Student confidence intervals, step curves on a common time grid.

use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_2_PI;

/// A mean over replications with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub mean: f64,
    /// Sample standard deviation (n - 1); `None` for one value.
    pub std: Option<f64>,
    /// The 95% confidence interval of the mean is `mean` plus or minus this; `None` for one value.
    pub half_width_95: Option<f64>,
    /// Values behind the mean.
    pub count: usize,
}

impl Estimate {
    /// The estimate from `values`, summed in their order; `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            mean: mean(values)?,
            std: sample_std(values),
            half_width_95: half_width_95(values),
            count: values.len(),
        })
    }
}

/// Arithmetic mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation with n - 1 in the denominator; `None` for fewer than two values.
pub fn sample_std(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() >= 2)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Half the width of the 95% confidence interval of the mean of independent normal values: t std / sqrt(n).
pub fn half_width_95(values: &[f64]) -> Option<f64> {
    let std = sample_std(values)?;
    Some(student_t_quantile_975(values.len() - 1) * std / (values.len() as f64).sqrt())
}

/// The 0.975 quantile of Student's t with `degrees_of_freedom` >= 1: 95% of the mass lies within plus or minus it.
pub fn student_t_quantile_975(degrees_of_freedom: usize) -> f64 {
    // The mass within +-t grows with t, and the widest case (one degree of freedom) ends at 12.71.
    let (mut low, mut high) = (0.0, 16.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if student_t_mass_within(middle, degrees_of_freedom) < 0.95 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(|T| <= t) by the finite series of Abramowitz and Stegun 26.7.3 (odd) and 26.7.4 (even degrees of freedom).
fn student_t_mass_within(t: f64, degrees_of_freedom: usize) -> f64 {
    let theta = (t / (degrees_of_freedom as f64).sqrt()).atan();
    let (sin, cos) = theta.sin_cos();
    let odd = degrees_of_freedom % 2 == 1;
    let mut term = if odd { cos } else { 1.0 };
    let (mut sum, mut k) = (0.0, if odd { 1 } else { 0 });
    while k + 2 <= degrees_of_freedom {
        sum += term;
        term *= cos * cos * (k + 1) as f64 / (k + 2) as f64;
        k += 2;
    }
    if odd { FRAC_2_PI * (theta + sin * sum) } else { sin * sum }
}

/// The value of a step curve (sorted by time) at `time`: the last value at or before it, `None` before the first.
pub fn last_value_at(curve: &[(f64, f64)], time: f64) -> Option<f64> {
    let after = curve.partition_point(|&(t, _)| t <= time);
    after.checked_sub(1).map(|i| curve[i].1)
}

/// A point of a mean curve: time and the estimate over the replications' values then.
pub type CurvePoint = (f64, Estimate);

/// The mean of step curves, one a replication, each sorted by time.
///
/// Point k of the common grid is the instant at which every replication has its point k, or has ended. There
/// each curve counts with its last value, so the mean is of values that are all in hand at that time.
pub fn mean_curve(curves: &[Vec<(f64, f64)>]) -> Vec<CurvePoint> {
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let mut points: Vec<CurvePoint> = Vec::with_capacity(longest);
    for k in 0..longest {
        let time = curves.iter().filter_map(|c| c.get(k)).map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        let values: Vec<f64> = curves.iter().filter_map(|c| last_value_at(c, time)).collect();
        if let Some(estimate) = Estimate::of(&values)
            && points.last().is_none_or(|p| p.0 < time)
        {
            points.push((time, estimate));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_quantiles_match_the_published_table() {
        // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, column 0.975.
        let table = [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (29, 2.045)];
        for (df, expected) in table.into_iter().chain([(30, 2.042), (99, 1.984), (100, 1.984)]) {
            assert!((student_t_quantile_975(df) - expected).abs() < 6e-4, "{df}: {}", student_t_quantile_975(df));
        }
        // The normal limit.
        assert!((student_t_quantile_975(5000) - 1.96).abs() < 1e-3);
    }

    #[test]
    fn an_estimate_of_known_values() {
        let e = Estimate::of(&[2.0, 4.0, 6.0]).unwrap();
        assert_eq!((e.mean, e.std, e.count), (4.0, Some(2.0), 3));
        assert!((e.half_width_95.unwrap() - 4.3027 * 2.0 / 3f64.sqrt()).abs() < 1e-3);
        assert_eq!(Estimate::of(&[5.0]), Some(Estimate { mean: 5.0, std: None, half_width_95: None, count: 1 }));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn step_curves_carry_their_last_value() {
        let curve = [(1.0, 0.5), (3.0, 0.7)];
        assert_eq!(last_value_at(&curve, 0.9), None);
        assert_eq!(last_value_at(&curve, 1.0), Some(0.5));
        assert_eq!(last_value_at(&curve, 2.9), Some(0.5));
        assert_eq!(last_value_at(&curve, 9.0), Some(0.7));
    }

    #[test]
    fn a_mean_curve_waits_for_the_slowest_and_keeps_those_that_stopped() {
        let curves = [vec![(1.0, 0.4), (2.0, 0.6), (3.0, 0.8)], vec![(1.5, 0.2), (2.5, 0.4)]];
        let points: Vec<(f64, f64, usize)> = mean_curve(&curves).iter().map(|(t, e)| (*t, e.mean, e.count)).collect();
        let expected = [(1.5, 0.3, 2), (2.5, 0.5, 2), (3.0, 0.6, 2)];
        assert_eq!(points.len(), expected.len());
        for (p, e) in points.iter().zip(expected) {
            assert!(p.0 == e.0 && (p.1 - e.1).abs() < 1e-12 && p.2 == e.2, "{p:?} is not {e:?}");
        }
    }
}
