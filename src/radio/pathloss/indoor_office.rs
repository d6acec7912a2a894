use super::{Path, PathLoss, ShadowingLaw};
use std::ops::RangeInclusive;

/// Indoor hotspot office (InH), base stations on the ceiling at 3 m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndoorOffice(pub Office);

/// How much stands in the way: it changes the probability of line of sight only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Office {
    Open,
    Mixed,
}

impl PathLoss for IndoorOffice {
    fn name(&self) -> &'static str {
        match self.0 {
            Office::Open => "inh_open",
            Office::Mixed => "inh_mixed",
        }
    }

    fn los_db(&self, path: &Path) -> f64 {
        32.4 + 17.3 * path.distance_3d_m().log10() + 20.0 * path.carrier_ghz.log10()
    }

    fn nlos_db(&self, path: &Path) -> f64 {
        let nlos = 17.3 + 38.3 * path.distance_3d_m().log10() + 24.9 * path.carrier_ghz.log10();
        nlos.max(self.los_db(path))
    }

    fn los_probability(&self, path: &Path) -> f64 {
        let d = path.distance_2d_m;
        match self.0 {
            Office::Open if d <= 5.0 => 1.0,
            Office::Open if d <= 49.0 => (-(d - 5.0) / 70.8).exp(),
            Office::Open => 0.54 * (-(d - 49.0) / 211.7).exp(),
            Office::Mixed if d <= 1.2 => 1.0,
            Office::Mixed if d < 6.5 => (-(d - 1.2) / 4.7).exp(),
            Office::Mixed => 0.32 * (-(d - 6.5) / 32.6).exp(),
        }
    }

    fn shadowing(&self, _: &Path, los: bool) -> ShadowingLaw {
        if los {
            ShadowingLaw { sigma_db: 3.0, correlation_distance_m: 10.0 }
        } else {
            ShadowingLaw { sigma_db: 8.03, correlation_distance_m: 6.0 }
        }
    }

    fn los_correlation_distance_m(&self) -> f64 {
        10.0
    }

    fn range_2d_m(&self) -> RangeInclusive<f64> {
        1.0..=150.0
    }
}
