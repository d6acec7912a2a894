//! Loss, line of sight and shadowing between vehicles, 3GPP TR 37.885 clause 6.2.1.

use std::fmt;

/// What surrounds the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A grid of streets between buildings.
    Urban,
    /// Open, as along a motorway.
    Highway,
}

/// Antennas nearer than this are taken to be this far apart, metres. Assumed: the formulas were made for cars.
const NEAREST_M: f64 = 1.0;

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Urban => "urban",
            Self::Highway => "highway",
        })
    }
}

impl Environment {
    /// Mean loss between two antennas, dB (table 6.2.1-1).
    pub fn loss_db(self, distance_m: f64, carrier_ghz: f64, los: bool) -> f64 {
        let (d, f) = (distance_m.max(NEAREST_M).log10(), carrier_ghz.log10());
        match (los, self) {
            (true, Self::Urban) => 38.77 + 16.7 * d + 18.2 * f,
            (true, Self::Highway) => 32.4 + 20.0 * d + 20.0 * f,
            (false, _) => 36.85 + 30.0 * d + 18.9 * f,
        }
    }

    /// Probability of line of sight at a distance on the ground (table 6.2-1).
    pub fn los_probability(self, distance_2d_m: f64) -> f64 {
        let d = distance_2d_m;
        let p = match self {
            Self::Urban => 1.05 * (-0.0114 * d).exp(),
            Self::Highway if d <= 475.0 => 2.1013e-6 * d * d - 0.002 * d + 1.0193,
            Self::Highway => 0.54 - 0.001 * (d - 475.0),
        };
        p.clamp(0.0, 1.0)
    }

    /// Standard deviation of shadowing, dB.
    pub fn shadowing_sigma_db(self, los: bool) -> f64 {
        if los { 3.0 } else { 4.0 }
    }
}
