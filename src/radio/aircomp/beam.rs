//! Receive beams: how N antennas listen to K devices at once, so that the weakest of them is heard as well as can be.
//!
//! In uniform-forcing transmission every device inverts the channel f^H h_k that the beam f leaves, so the common received power is
//! set by the weakest, min_k |f^H h_k|^2 (Chen, Zhao, Letaief 2018, "A uniform-forcing transceiver design for
//! over-the-air function computation", doi:10.1109/LWC.2018.2840157). Maximising it over unit beams is not convex.

use nalgebra::{Complex, DMatrix, DVector};

/// One complex gain an antenna.
pub type Vector = DVector<Complex<f64>>;

/// Rounds of the outer loop of [`optimised`] at most.
const LINEARISATIONS: usize = 100;
/// Relative gain below which a round was the last one.
const SMALLEST_GAIN: f64 = 1e-9;
/// Moves of the inner loop at most, and its relative duality gap.
const MOVES: usize = 2000;
const SMALLEST_GAP: f64 = 1e-10;
/// Regularisation of least squares, relative to the mean diagonal entry.
const RIDGE: f64 = 1e-9;

/// min_k |f^H h_k|^2.
pub fn smallest_gain(beam: &Vector, channels: &[Vector]) -> f64 {
    channels.iter().map(|h| beam.dotc(h).norm_sqr()).fold(f64::INFINITY, f64::min)
}

/// Along the sum of all channels, of unit norm.
pub fn matched(channels: &[Vector]) -> Vector {
    unit(channels.iter().skip(1).fold(channels[0].clone(), |sum, h| sum + h), channels)
}

/// The beam for which all f^H h_k are equal, of unit norm; with more devices than antennas the one that comes closest in
/// the sense of least squares: f is along (H H^H)^-1 H 1.
pub fn zero_forcing(channels: &[Vector]) -> Vector {
    let h = DMatrix::from_columns(channels);
    let mut gram = &h * h.adjoint();
    let ridge = RIDGE * gram.trace().re / gram.nrows() as f64;
    for i in 0..gram.nrows() {
        gram[(i, i)] += Complex::from(ridge);
    }
    let sum = channels.iter().skip(1).fold(channels[0].clone(), |sum, h| sum + h);
    match gram.lu().solve(&sum) {
        Some(beam) => unit(beam, channels),
        None => matched(channels),
    }
}

/// A beam that maximises min_k |f^H h_k|^2, at least locally: the best of successive convex approximations from the matched
/// and the zero-forcing beam, the dominant singular vector and the weakest device's own channel.
///
/// Around a beam f0 the amplitude |f^H h_k| is at least Re(f^H v_k), v_k = h_k e^(-j arg f0^H h_k), with equality at f0. The
/// unit beam that maximises min_k Re(f^H v_k) points to the point of the convex hull of the v_k nearest to the origin.
/// So no step makes the weakest device weaker, and the outcome is never worse than any of the starts.
pub fn optimised(channels: &[Vector]) -> Vector {
    let weakest = channels.iter().min_by(|a, b| a.norm_squared().total_cmp(&b.norm_squared())).unwrap_or(&channels[0]);
    let starts = [matched(channels), zero_forcing(channels), dominant(channels), unit(weakest.clone(), channels)];
    let mut best: Option<(f64, Vector)> = None;
    for start in starts {
        let beam = ascend(start, channels);
        let gain = smallest_gain(&beam, channels);
        if best.as_ref().is_none_or(|(best, _)| gain > *best) {
            best = Some((gain, beam));
        }
    }
    best.map_or_else(|| matched(channels), |(_, beam)| beam)
}

/// The dominant left singular vector of the channels: most power over all devices.
fn dominant(channels: &[Vector]) -> Vector {
    let h = DMatrix::from_columns(channels);
    let scale = h.norm();
    let eigen = (&h * h.adjoint()).unscale(scale * scale).symmetric_eigen();
    unit(eigen.eigenvectors.column(eigen.eigenvalues.imax()).into_owned(), channels)
}

fn ascend(mut beam: Vector, channels: &[Vector]) -> Vector {
    let mut gain = smallest_gain(&beam, channels);
    for _ in 0..LINEARISATIONS {
        let turned: Vec<Vector> = channels.iter().map(|h| h * unit_phase(beam.dotc(h)).conj()).collect();
        let next = unit(nearest_to_origin(&turned), channels);
        let reached = smallest_gain(&next, channels);
        let enough = reached <= gain * (1.0 + SMALLEST_GAIN);
        if reached > gain {
            (gain, beam) = (reached, next);
        }
        if enough {
            break;
        }
    }
    beam
}

/// The point of the convex hull of `points` nearest to the origin (Mitchell, Dem'yanov, Malozemov 1974: weight moves
/// from the point farthest along the present answer to the least far one).
fn nearest_to_origin(points: &[Vector]) -> Vector {
    let n = points.len();
    let gram = DMatrix::from_fn(n, n, |i, j| points[i].dotc(&points[j]).re);
    let first = (0..n).min_by(|&a, &b| gram[(a, a)].total_cmp(&gram[(b, b)])).unwrap_or(0);
    let mut weights = vec![0.0; n];
    weights[first] = 1.0;
    let mut along: Vec<f64> = (0..n).map(|i| gram[(i, first)]).collect();
    for _ in 0..MOVES {
        let near = (0..n).min_by(|&a, &b| along[a].total_cmp(&along[b])).unwrap_or(first);
        let held = (0..n).filter(|&i| weights[i] > 0.0);
        let far = held.max_by(|&a, &b| along[a].total_cmp(&along[b])).unwrap_or(first);
        let gap = along[far] - along[near];
        let squared: f64 = weights.iter().zip(&along).map(|(w, a)| w * a).sum();
        if gap <= SMALLEST_GAP * squared {
            break;
        }
        let curvature = gram[(near, near)] + gram[(far, far)] - 2.0 * gram[(near, far)];
        let step = (gap / curvature).min(weights[far]);
        weights[near] += step;
        weights[far] = if step < weights[far] { weights[far] - step } else { 0.0 };
        for (i, a) in along.iter_mut().enumerate() {
            *a += step * (gram[(i, near)] - gram[(i, far)]);
        }
    }
    let sum = DVector::zeros(points[0].len());
    weights.iter().zip(points).fold(sum, |sum, (w, p)| sum + p.scale(*w))
}

fn unit_phase(z: Complex<f64>) -> Complex<f64> {
    let amplitude = z.norm();
    if amplitude > 0.0 { z / amplitude } else { Complex::from(1.0) }
}

/// `v` with norm 1. Channels may cancel out in a sum: then the first device's channel stands in, or one antenna.
fn unit(v: Vector, channels: &[Vector]) -> Vector {
    let of = |v: &Vector| Some(v.norm()).filter(|norm| *norm > 0.0 && norm.is_finite()).map(|norm| v.unscale(norm));
    of(&v).or_else(|| of(&channels[0])).unwrap_or_else(|| {
        let mut one = DVector::zeros(channels[0].len());
        one[0] = Complex::from(1.0);
        one
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    fn drawn(antennas: usize, devices: usize, seed: u64) -> Vec<Vector> {
        let s = CounterStream::new(seed, 3);
        let entry = |k: usize, n: usize| {
            let i = 2 * (k * antennas + n) as u64;
            // Devices at different distances.
            Complex::new(s.normal(i), s.normal(i + 1)) * (0.3 + k as f64)
        };
        (0..devices).map(|k| DVector::from_fn(antennas, |n, _| entry(k, n))).collect()
    }

    #[test]
    fn every_beam_has_unit_norm_and_the_optimised_one_hears_the_weakest_best() {
        for seed in 0..20 {
            for (antennas, devices) in [(1, 3), (2, 2), (4, 3), (4, 10), (16, 8)] {
                let channels = drawn(antennas, devices, seed);
                let best = smallest_gain(&optimised(&channels), &channels);
                for beam in [matched, zero_forcing, optimised] {
                    let beam = beam(&channels);
                    assert!((beam.norm() - 1.0).abs() < 1e-12);
                    assert!(smallest_gain(&beam, &channels) <= best * (1.0 + 1e-12), "{antennas} x {devices}");
                }
            }
        }
    }

    #[test]
    fn one_device_is_heard_with_all_antennas() {
        let channels = drawn(8, 1, 1);
        let all = channels[0].norm_squared();
        for beam in [matched, zero_forcing, optimised] {
            assert!((smallest_gain(&beam(&channels), &channels) / all - 1.0).abs() < 1e-6);
        }
        assert!((optimised(&channels) - matched(&channels)).norm() < 1e-12);
    }

    #[test]
    fn zero_forcing_equalises_where_there_are_enough_antennas() {
        let channels = drawn(6, 4, 2);
        let beam = zero_forcing(&channels);
        let first = beam.dotc(&channels[0]);
        for h in &channels {
            assert!((beam.dotc(h) - first).norm() < 1e-6 * first.norm());
        }
    }

    /// Two antennas have two real parameters: f = (cos t, e^(jp) sin t).
    #[test]
    fn no_beam_of_a_fine_grid_is_better() {
        for seed in 0..10 {
            let channels = drawn(2, 3, 100 + seed);
            let found = smallest_gain(&optimised(&channels), &channels);
            let mut best = 0.0f64;
            for i in 0..=300 {
                for j in 0..600 {
                    let (t, p) = (f64::from(i) / 300.0 * 1.570_796, f64::from(j) / 600.0 * std::f64::consts::TAU);
                    let f = DVector::from_vec(vec![Complex::from(t.cos()), Complex::from_polar(t.sin(), p)]);
                    best = best.max(smallest_gain(&f, &channels));
                }
            }
            assert!(found >= best * (1.0 - 1e-3), "seed {seed}: {found} {best}");
        }
    }

    #[test]
    fn the_nearest_point_of_a_triangle_is_known() {
        let point = |x: f64, y: f64| DVector::from_vec(vec![Complex::new(x, y)]);
        // The edge between the first two is x = 2; the third lies behind it.
        let nearest = nearest_to_origin(&[point(2.0, -1.0), point(2.0, 3.0), point(5.0, 0.0)]);
        assert!((nearest[0] - Complex::from(2.0)).norm() < 1e-9);
    }
}
