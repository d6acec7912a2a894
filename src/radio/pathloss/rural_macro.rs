use super::{Path, PathLoss, ShadowingLaw};
use crate::radio::units::SPEED_OF_LIGHT_MPS;
use std::f64::consts::PI;
use std::ops::RangeInclusive;

/// Rural macro (RMa), base stations typically at 35 m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuralMacro {
    pub street_width_m: f64,
    pub building_height_m: f64,
}

impl Default for RuralMacro {
    fn default() -> Self {
        Self { street_width_m: 20.0, building_height_m: 5.0 }
    }
}

impl RuralMacro {
    fn breakpoint_m(path: &Path) -> f64 {
        2.0 * PI * path.base_height_m * path.terminal_height_m * path.carrier_ghz * 1e9 / SPEED_OF_LIGHT_MPS
    }

    /// PL1: the loss before the breakpoint, at an antenna distance of `d` metres.
    fn before_breakpoint_db(&self, d: f64, carrier_ghz: f64) -> f64 {
        let h = self.building_height_m;
        20.0 * (40.0 * PI * d * carrier_ghz / 3.0).log10() + (0.03 * h.powf(1.72)).min(10.0) * d.log10()
            - (0.044 * h.powf(1.72)).min(14.77)
            + 0.002 * h.log10() * d
    }
}

impl PathLoss for RuralMacro {
    fn name(&self) -> &'static str {
        "rma"
    }

    fn los_db(&self, path: &Path) -> f64 {
        let (d, breakpoint) = (path.distance_3d_m(), Self::breakpoint_m(path));
        if path.distance_2d_m <= breakpoint {
            self.before_breakpoint_db(d, path.carrier_ghz)
        } else {
            self.before_breakpoint_db(breakpoint, path.carrier_ghz) + 40.0 * (d / breakpoint).log10()
        }
    }

    fn nlos_db(&self, path: &Path) -> f64 {
        let (h, base) = (self.building_height_m, path.base_height_m);
        let nlos = 161.04 - 7.1 * self.street_width_m.log10() + 7.5 * h.log10()
            - (24.37 - 3.7 * (h / base).powi(2)) * base.log10()
            + (43.42 - 3.1 * base.log10()) * (path.distance_3d_m().log10() - 3.0)
            + 20.0 * path.carrier_ghz.log10()
            - (3.2 * (11.75 * path.terminal_height_m).log10().powi(2) - 4.97);
        nlos.max(self.los_db(path))
    }

    fn los_probability(&self, path: &Path) -> f64 {
        (-(path.distance_2d_m - 10.0).max(0.0) / 1000.0).exp()
    }

    fn shadowing(&self, path: &Path, los: bool) -> ShadowingLaw {
        match los {
            true if path.distance_2d_m <= Self::breakpoint_m(path) => {
                ShadowingLaw { sigma_db: 4.0, correlation_distance_m: 37.0 }
            }
            true => ShadowingLaw { sigma_db: 6.0, correlation_distance_m: 37.0 },
            false => ShadowingLaw { sigma_db: 8.0, correlation_distance_m: 120.0 },
        }
    }

    fn indoor_shadowing(&self) -> Option<ShadowingLaw> {
        Some(ShadowingLaw { sigma_db: 8.0, correlation_distance_m: 120.0 })
    }

    fn indoor_reach_m(&self) -> f64 {
        10.0
    }

    fn los_correlation_distance_m(&self) -> f64 {
        60.0
    }

    fn range_2d_m(&self) -> RangeInclusive<f64> {
        10.0..=5000.0
    }
}
