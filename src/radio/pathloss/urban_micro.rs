use super::{Path, PathLoss, ShadowingLaw};
use std::ops::RangeInclusive;

/// Urban micro street canyon (UMi), base stations below the roofs, typically at 10 m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UrbanMicro;

const ENVIRONMENT_HEIGHT_M: f64 = 1.0;

impl PathLoss for UrbanMicro {
    fn name(&self) -> &'static str {
        "umi"
    }

    fn los_db(&self, path: &Path) -> f64 {
        let (base, terminal) = (path.base_height_m, path.terminal_height_m);
        let breakpoint = path.breakpoint_m(base - ENVIRONMENT_HEIGHT_M, terminal - ENVIRONMENT_HEIGHT_M);
        let (d, f) = (path.distance_3d_m().log10(), path.carrier_ghz.log10());
        if path.distance_2d_m <= breakpoint {
            32.4 + 21.0 * d + 20.0 * f
        } else {
            32.4 + 40.0 * d + 20.0 * f - 9.5 * (breakpoint.powi(2) + (base - terminal).powi(2)).log10()
        }
    }

    fn nlos_db(&self, path: &Path) -> f64 {
        let nlos = 22.4 + 35.3 * path.distance_3d_m().log10() + 21.3 * path.carrier_ghz.log10()
            - 0.3 * (path.terminal_height_m - 1.5);
        nlos.max(self.los_db(path))
    }

    fn los_probability(&self, path: &Path) -> f64 {
        let d = path.distance_2d_m;
        if d <= 18.0 { 1.0 } else { 18.0 / d + (-d / 36.0).exp() * (1.0 - 18.0 / d) }
    }

    fn shadowing(&self, _: &Path, los: bool) -> ShadowingLaw {
        if los {
            ShadowingLaw { sigma_db: 4.0, correlation_distance_m: 10.0 }
        } else {
            ShadowingLaw { sigma_db: 7.82, correlation_distance_m: 13.0 }
        }
    }

    fn indoor_shadowing(&self) -> Option<ShadowingLaw> {
        Some(ShadowingLaw { sigma_db: 7.0, correlation_distance_m: 7.0 })
    }

    fn los_correlation_distance_m(&self) -> f64 {
        50.0
    }

    fn range_2d_m(&self) -> RangeInclusive<f64> {
        10.0..=5000.0
    }
}
