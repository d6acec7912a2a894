use super::{Path, PathLoss, ShadowingLaw};
use std::ops::RangeInclusive;

/// Indoor factory (InF): machines as clutter, base stations among them (low) or above them (high).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndoorFactory {
    pub factory: Factory,
    /// Share of the floor that clutter covers, 0 to 1.
    pub clutter_density: f64,
    pub clutter_size_m: f64,
    pub clutter_height_m: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factory {
    SparseLow,
    DenseLow,
    SparseHigh,
    DenseHigh,
}

impl IndoorFactory {
    /// Sparse: a fifth of the floor under clutter of 10 m by 2 m height; dense: three fifths, 2 m by 6 m height. Within
    /// the ranges of TR 38.901 table 7.2-4.
    pub fn new(factory: Factory) -> Self {
        let (clutter_density, clutter_size_m, clutter_height_m) = match factory {
            Factory::SparseLow | Factory::SparseHigh => (0.2, 10.0, 2.0),
            Factory::DenseLow | Factory::DenseHigh => (0.6, 2.0, 6.0),
        };
        Self { factory, clutter_density, clutter_size_m, clutter_height_m }
    }
}

impl PathLoss for IndoorFactory {
    fn name(&self) -> &'static str {
        match self.factory {
            Factory::SparseLow => "inf_sl",
            Factory::DenseLow => "inf_dl",
            Factory::SparseHigh => "inf_sh",
            Factory::DenseHigh => "inf_dh",
        }
    }

    fn los_db(&self, path: &Path) -> f64 {
        31.84 + 21.5 * path.distance_3d_m().log10() + 19.0 * path.carrier_ghz.log10()
    }

    fn nlos_db(&self, path: &Path) -> f64 {
        let (d, f) = (path.distance_3d_m().log10(), 20.0 * path.carrier_ghz.log10());
        let sparse_low = 33.0 + 25.5 * d + f;
        let nlos = match self.factory {
            Factory::SparseLow => sparse_low,
            Factory::DenseLow => (18.6 + 35.7 * d + f).max(sparse_low),
            Factory::SparseHigh => 32.4 + 23.0 * d + f,
            Factory::DenseHigh => 33.63 + 21.9 * d + f,
        };
        nlos.max(self.los_db(path))
    }

    fn los_probability(&self, path: &Path) -> f64 {
        let low = -self.clutter_size_m / (1.0 - self.clutter_density).ln();
        let k = match self.factory {
            Factory::SparseLow | Factory::DenseLow => low,
            Factory::SparseHigh | Factory::DenseHigh => {
                let above = self.clutter_height_m - path.terminal_height_m;
                if above <= 0.0 {
                    return 1.0; // The terminal overlooks the clutter.
                }
                low * (path.base_height_m - path.terminal_height_m) / above
            }
        };
        (-path.distance_2d_m / k).exp()
    }

    fn shadowing(&self, _: &Path, los: bool) -> ShadowingLaw {
        let sigma_db = match self.factory {
            _ if los => 4.3,
            Factory::SparseLow => 5.7,
            Factory::DenseLow => 7.2,
            Factory::SparseHigh => 5.9,
            Factory::DenseHigh => 4.0,
        };
        ShadowingLaw { sigma_db, correlation_distance_m: 10.0 }
    }

    fn los_correlation_distance_m(&self) -> f64 {
        self.clutter_size_m / 2.0
    }

    fn range_2d_m(&self) -> RangeInclusive<f64> {
        1.0..=600.0
    }
}
