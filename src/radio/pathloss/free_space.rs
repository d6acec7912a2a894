use super::{Path, PathLoss, SPEED_OF_LIGHT_MPS, ShadowingLaw};
use std::f64::consts::PI;
use std::ops::RangeInclusive;

/// Free space (Friis 1946): 20 log10(4 pi d f / c). Always in line of sight, never shadowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeSpace;

impl PathLoss for FreeSpace {
    fn name(&self) -> &'static str {
        "free_space"
    }

    fn los_db(&self, path: &Path) -> f64 {
        20.0 * (4.0 * PI * path.distance_3d_m() * path.carrier_ghz * 1e9 / SPEED_OF_LIGHT_MPS).log10()
    }

    fn nlos_db(&self, path: &Path) -> f64 {
        self.los_db(path)
    }

    fn los_probability(&self, _: &Path) -> f64 {
        1.0
    }

    fn shadowing(&self, _: &Path, _: bool) -> ShadowingLaw {
        ShadowingLaw { sigma_db: 0.0, correlation_distance_m: 1.0 }
    }

    fn los_correlation_distance_m(&self) -> f64 {
        1.0
    }

    fn range_2d_m(&self) -> RangeInclusive<f64> {
        1.0..=f64::INFINITY
    }
}
