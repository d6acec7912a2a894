//! Spatially correlated Gaussian fields: shadowing and the line-of-sight state as functions of position.
//!
//! A field belongs to a cell, not to a terminal: two terminals at one place see the same value, and a terminal that
//! moves by d metres sees an autocorrelation of exp(-d / d_corr) (TR 38.901 clause 7.4.4), in whatever order it is
//! asked.

use super::geometry::Position;
use super::special::sin_cos_turns;
use crate::random::CounterStream;
use std::f64::consts::TAU;

/// Plane waves in the sum; the marginal law is Gaussian up to an excess kurtosis of -1.5 / WAVES.
const WAVES: u64 = 128;

/// A standard Gaussian field over the ground, as a sum of plane waves with random directions, lengths and phases.
///
/// The spectrum of exp(-d / D) in two dimensions is D^2 / (2 pi (1 + (k D)^2)^(3/2)); its radial distribution function
/// 1 - (1 + (k D)^2)^(-1/2) is inverted in closed form. The autocorrelation holds in the mean over streams.
#[derive(Clone, Debug, PartialEq)]
pub struct SpatialField {
    waves: Vec<Wave>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Wave {
    x_turns_per_m: f64,
    y_turns_per_m: f64,
    phase_turns: f64,
}

impl SpatialField {
    pub fn new(stream: &CounterStream, correlation_distance_m: f64) -> Self {
        let wave = |i: u64| {
            let draw = |j: u64| stream.uniform(3 * i + j);
            let length = ((1.0 - draw(0)).powi(-2) - 1.0).sqrt() / (TAU * correlation_distance_m);
            let (sin, cos) = (TAU * draw(1)).sin_cos();
            Wave { x_turns_per_m: length * cos, y_turns_per_m: length * sin, phase_turns: draw(2) }
        };
        Self { waves: (0..WAVES).map(wave).collect() }
    }

    /// The field at a place: zero mean, unit variance. Height does not matter.
    pub fn at(&self, position: &Position) -> f64 {
        let wave =
            |w: &Wave| sin_cos_turns(w.x_turns_per_m * position.x_m + w.y_turns_per_m * position.y_m + w.phase_turns).1;
        (2.0 / WAVES as f64).sqrt() * self.waves.iter().map(wave).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn co_located_terminals_agree_and_distant_ones_do_not() {
        let field = SpatialField::new(&CounterStream::new(8, 9), 50.0);
        let here = Position::new(120.0, -40.0, 1.5);
        assert_eq!(field.at(&here), field.at(&Position { z_m: 20.0, ..here }));
        let far = |i: i32| field.at(&Position::new(f64::from(i) * 500.0, 0.0, 1.5));
        let mean_square = (0..2000).map(|i| far(i).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean_square - 1.0).abs() < 0.2, "{mean_square}");
    }
}
