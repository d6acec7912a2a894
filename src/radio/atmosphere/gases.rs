//! Absorption by oxygen and water vapour, ITU-R P.676 annex 1: the sum over spectral lines.

use crate::radio::tables::read_embedded;
use serde::Deserialize;
use std::sync::LazyLock;

/// Editions differ in the water lines: 8% at 28 GHz, 10% at 300 GHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// P.676-10 of 2013.
    P676_10,
    /// P.676-12 of 2019.
    P676_12,
}

/// The state of the air.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Air {
    pub dry_pressure_hpa: f64,
    pub temperature_k: f64,
    pub water_vapour_g_per_m3: f64,
}

impl Default for Air {
    /// Sea level at 15 degrees Celsius with 7.5 g/m3 of water.
    fn default() -> Self {
        Self { dry_pressure_hpa: 1013.25, temperature_k: 288.15, water_vapour_g_per_m3: 7.5 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Gas {
    Oxygen,
    Water,
}

/// A spectral line with the six constants of the recommendation's tables 1 (oxygen) and 2 (water).
#[derive(Clone, Copy, Debug, Deserialize)]
struct Line {
    edition: u32,
    gas: Gas,
    ghz: f64,
    c1: f64,
    c2: f64,
    c3: f64,
    c4: f64,
    c5: f64,
    c6: f64,
}

static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| read_embedded(include_str!("p676_lines.csv")));

/// Specific attenuation, dB/km: 0.182 f N''(f), equation 1.
pub fn loss_db_per_km(edition: Edition, carrier_ghz: f64, air: &Air) -> f64 {
    let number = match edition {
        Edition::P676_10 => 10,
        Edition::P676_12 => 12,
    };
    let lines = LINES.iter().filter(|line| line.edition == number);
    let refractivity: f64 = lines.map(|line| line.refractivity(carrier_ghz, air)).sum();
    0.182 * carrier_ghz * (refractivity + dry_continuum(carrier_ghz, air))
}

impl Air {
    /// 300 K over the temperature.
    fn theta(&self) -> f64 {
        300.0 / self.temperature_k
    }

    fn vapour_pressure_hpa(&self) -> f64 {
        self.water_vapour_g_per_m3 * self.temperature_k / 216.7
    }
}

impl Line {
    /// Strength times shape: a term of N''.
    fn refractivity(&self, f: f64, air: &Air) -> f64 {
        let (p, e, theta) = (air.dry_pressure_hpa, air.vapour_pressure_hpa(), air.theta());
        let decay = (self.c2 * (1.0 - theta)).exp();
        let (strength, width, interference) = match self.gas {
            Gas::Oxygen => {
                let width = self.c3 * 1e-4 * (p * theta.powf(0.8 - self.c4) + 1.1 * e * theta);
                let zeeman = (width * width + 2.25e-6).sqrt();
                let interference = (self.c5 + self.c6 * theta) * 1e-4 * (p + e) * theta.powf(0.8);
                (self.c1 * 1e-7 * p * theta.powi(3) * decay, zeeman, interference)
            }
            Gas::Water => {
                let width = self.c3 * 1e-4 * (p * theta.powf(self.c4) + self.c5 * e * theta.powf(self.c6));
                let doppler = (0.217 * width * width + 2.1316e-12 * self.ghz * self.ghz / theta).sqrt();
                (self.c1 * 0.1 * e * theta.powf(3.5) * decay, 0.535 * width + doppler, 0.0)
            }
        };
        let half = |offset: f64| (width - interference * offset) / (offset * offset + width * width);
        strength * f / self.ghz * (half(self.ghz - f) + half(self.ghz + f))
    }
}

/// Debye spectrum of oxygen below 10 GHz and pressure-induced nitrogen above 100 GHz, N''_D.
fn dry_continuum(f: f64, air: &Air) -> f64 {
    let (p, theta) = (air.dry_pressure_hpa, air.theta());
    let d = 5.6e-4 * (p + air.vapour_pressure_hpa()) * theta.powf(0.8);
    let debye = 6.14e-5 / (d * (1.0 + (f / d).powi(2)));
    let nitrogen = 1.4e-12 * p * theta.powf(1.5) / (1.0 + 1.9e-5 * f.powf(1.5));
    f * p * theta * theta * (debye + nitrogen)
}
