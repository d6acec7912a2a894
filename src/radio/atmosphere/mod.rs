//! What the air itself takes from a wave: gases ([`gases`]) and rain ([`rain`]), in dB per kilometre.
//!
//! Matters from tens of GHz up: 15 dB/km of oxygen at 60 GHz, half a dB/km between the lines at 100 GHz.

pub mod gases;
pub mod rain;

use gases::{Air, Edition};

/// The air over a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Atmosphere {
    /// `None`: gases take nothing.
    pub gases: Option<Edition>,
    /// 0 is dry.
    pub rain_mm_per_h: f64,
}

impl Atmosphere {
    /// Loss on a level path through standard air and steady rain with a wave polarised at 45 degrees, dB/km.
    pub fn loss_db_per_km(&self, carrier_ghz: f64) -> f64 {
        let gases = self.gases.map_or(0.0, |edition| gases::loss_db_per_km(edition, carrier_ghz, &Air::default()));
        let rain = if self.rain_mm_per_h > 0.0 {
            rain::loss_db_per_km(carrier_ghz, self.rain_mm_per_h, 0.0, 45.0)
        } else {
            0.0
        };
        gases + rain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_and_clear_dry_air_takes_nothing() {
        let both = Atmosphere { gases: Some(Edition::P676_12), rain_mm_per_h: 25.0 };
        let rain = Atmosphere { gases: None, ..both };
        let gas = Atmosphere { rain_mm_per_h: 0.0, ..both };
        assert_eq!(both.loss_db_per_km(140.0), rain.loss_db_per_km(140.0) + gas.loss_db_per_km(140.0));
        assert_eq!(Atmosphere::default().loss_db_per_km(60.0), 0.0);
        // The oxygen complex around 60 GHz and the water line at 183 GHz stand out.
        assert!(gas.loss_db_per_km(60.0) > 20.0 * gas.loss_db_per_km(80.0));
        assert!(gas.loss_db_per_km(183.3) > 10.0 * gas.loss_db_per_km(140.0));
    }
}
