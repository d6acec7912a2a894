use super::{Path, PathLoss, ShadowingLaw};
use std::ops::RangeInclusive;

/// Urban macro (UMa), base stations above the roofs, typically at 25 m.
///
/// The effective environment height is 1 m, as the standard has it for terminals up to 13 m; for higher ones it draws
/// the height at random, which this model leaves out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UrbanMacro;

const ENVIRONMENT_HEIGHT_M: f64 = 1.0;

impl PathLoss for UrbanMacro {
    fn name(&self) -> &'static str {
        "uma"
    }

    fn los_db(&self, path: &Path) -> f64 {
        let (base, terminal) = (path.base_height_m, path.terminal_height_m);
        let breakpoint = path.breakpoint_m(base - ENVIRONMENT_HEIGHT_M, terminal - ENVIRONMENT_HEIGHT_M);
        let (d, f) = (path.distance_3d_m().log10(), path.carrier_ghz.log10());
        if path.distance_2d_m <= breakpoint {
            28.0 + 22.0 * d + 20.0 * f
        } else {
            28.0 + 40.0 * d + 20.0 * f - 9.0 * (breakpoint.powi(2) + (base - terminal).powi(2)).log10()
        }
    }

    fn nlos_db(&self, path: &Path) -> f64 {
        let nlos = 13.54 + 39.08 * path.distance_3d_m().log10() + 20.0 * path.carrier_ghz.log10()
            - 0.6 * (path.terminal_height_m - 1.5);
        nlos.max(self.los_db(path))
    }

    fn los_probability(&self, path: &Path) -> f64 {
        let d = path.distance_2d_m;
        if d <= 18.0 {
            return 1.0;
        }
        let street = 18.0 / d + (-d / 63.0).exp() * (1.0 - 18.0 / d);
        // Table 7.4.2-1 note: C' = 0 up to 13 m, defined up to 23 m.
        let height = ((path.terminal_height_m.min(23.0) - 13.0) / 10.0).max(0.0).powf(1.5);
        street * (1.0 + height * 1.25 * (d / 100.0).powi(3) * (-d / 150.0).exp())
    }

    fn shadowing(&self, _: &Path, los: bool) -> ShadowingLaw {
        if los {
            ShadowingLaw { sigma_db: 4.0, correlation_distance_m: 37.0 }
        } else {
            ShadowingLaw { sigma_db: 6.0, correlation_distance_m: 50.0 }
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
