//! Path loss: a trait, one model per file.
//!
//! Formulas are those of 3GPP TR 38.901 table 7.4.1-1 (loss), 7.4.2-1 (line-of-sight probability), 7.5-6 (correlation
//! of shadowing) and 7.6.3.1-2 (correlation of the line-of-sight state). Frequencies are in GHz wherever the table says
//! so; every model is checked against two or more independent implementations in `tests/golden_radio.rs`.

mod free_space;
mod indoor_factory;
mod indoor_office;
mod outdoor_to_indoor;
mod rural_macro;
mod urban_macro;
mod urban_micro;

pub use free_space::FreeSpace;
pub use indoor_factory::{Factory, IndoorFactory};
pub use indoor_office::{IndoorOffice, Office};
pub use outdoor_to_indoor::{Building, GlassLoss, OutdoorToIndoor};
pub use rural_macro::RuralMacro;
pub use urban_macro::UrbanMacro;
pub use urban_micro::UrbanMicro;

use super::error::RadioError;
use super::geometry::Position;
use super::units::SPEED_OF_LIGHT_MPS;
use std::ops::RangeInclusive;

/// The geometry that a path-loss model sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    pub carrier_ghz: f64,
    pub distance_2d_m: f64,
    pub base_height_m: f64,
    pub terminal_height_m: f64,
}

impl Path {
    pub fn between(base: &Position, terminal: &Position, carrier_ghz: f64) -> Self {
        Self {
            carrier_ghz,
            distance_2d_m: base.distance_2d_m(terminal),
            base_height_m: base.z_m,
            terminal_height_m: terminal.z_m,
        }
    }

    pub fn distance_3d_m(&self) -> f64 {
        self.distance_2d_m.hypot(self.base_height_m - self.terminal_height_m)
    }

    /// 4 a b f / c: the breakpoint distance for effective antenna heights a and b, metres.
    fn breakpoint_m(&self, base_m: f64, terminal_m: f64) -> f64 {
        4.0 * base_m * terminal_m * self.carrier_ghz * 1e9 / SPEED_OF_LIGHT_MPS
    }
}

/// Spread and correlation distance of log-normal shadowing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShadowingLaw {
    pub sigma_db: f64,
    pub correlation_distance_m: f64,
}

/// A large-scale propagation model between a base station and a terminal.
pub trait PathLoss: std::fmt::Debug + Send + Sync {
    /// The name under which [`by_name`] finds it.
    fn name(&self) -> &'static str;

    /// Mean loss with line of sight, dB, for a path within [`range_2d_m`](Self::range_2d_m).
    fn los_db(&self, path: &Path) -> f64;

    /// Mean loss without line of sight, dB, for a path within [`range_2d_m`](Self::range_2d_m).
    fn nlos_db(&self, path: &Path) -> f64;

    /// Probability of line of sight.
    fn los_probability(&self, path: &Path) -> f64;

    /// Shadowing around the mean loss.
    fn shadowing(&self, path: &Path, los: bool) -> ShadowingLaw;

    /// Shadowing of links into buildings; `None` if the model has no outside.
    fn indoor_shadowing(&self) -> Option<ShadowingLaw> {
        None
    }

    /// Farthest that a terminal stands behind the wall, metres, where the model has an outside (clause 7.4.3).
    fn indoor_reach_m(&self) -> f64 {
        25.0
    }

    /// Distance over which the line-of-sight state decorrelates to 1/e (table 7.6.3.1-2), metres.
    fn los_correlation_distance_m(&self) -> f64;

    /// Ground distances for which the model was fitted, metres.
    fn range_2d_m(&self) -> RangeInclusive<f64>;

    /// Mean loss, dB. A terminal nearer than the model's minimum is taken to stand at the minimum: below it the
    /// formulas would give gains that no measurement supports. Beyond the maximum they are extrapolated as they stand.
    fn loss_db(&self, path: &Path, los: bool) -> f64 {
        let path = Path { distance_2d_m: path.distance_2d_m.max(*self.range_2d_m().start()), ..*path };
        if los { self.los_db(&path) } else { self.nlos_db(&path) }
    }
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 10] =
    ["uma", "umi", "rma", "inh_open", "inh_mixed", "inf_sl", "inf_dl", "inf_sh", "inf_dh", "free_space"];

/// The model called `name`, with the default street, building and clutter parameters of TR 38.901.
///
/// # Errors
/// [`RadioError::UnknownName`] lists the [`NAMES`].
pub fn by_name(name: &str) -> Result<Box<dyn PathLoss>, RadioError> {
    Ok(match name {
        "uma" => Box::new(UrbanMacro),
        "umi" => Box::new(UrbanMicro),
        "rma" => Box::new(RuralMacro::default()),
        "inh_open" => Box::new(IndoorOffice(Office::Open)),
        "inh_mixed" => Box::new(IndoorOffice(Office::Mixed)),
        "inf_sl" => Box::new(IndoorFactory::new(Factory::SparseLow)),
        "inf_dl" => Box::new(IndoorFactory::new(Factory::DenseLow)),
        "inf_sh" => Box::new(IndoorFactory::new(Factory::SparseHigh)),
        "inf_dh" => Box::new(IndoorFactory::new(Factory::DenseHigh)),
        "free_space" => Box::new(FreeSpace),
        _ => {
            return Err(RadioError::UnknownName {
                kind: "path-loss model",
                name: name.to_owned(),
                known: NAMES.join(", "),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_models_name() {
        for name in NAMES {
            assert_eq!(by_name(name).unwrap().name(), name);
        }
        assert!(by_name("uma ").unwrap_err().to_string().contains("inf_dh"));
    }

    #[test]
    fn below_the_minimum_the_loss_is_that_of_the_minimum() {
        for name in NAMES {
            let model = by_name(name).unwrap();
            let at = |d| Path { carrier_ghz: 3.5, distance_2d_m: d, base_height_m: 8.0, terminal_height_m: 1.5 };
            let minimum = *model.range_2d_m().start();
            assert!(model.loss_db(&at(0.0), true).is_finite());
            assert_eq!(model.loss_db(&at(minimum / 2.0), false), model.loss_db(&at(minimum), false));
            // Non-line-of-sight never costs less, and both grow with distance.
            let far = at(4.0 * minimum);
            assert!(model.loss_db(&far, false) >= model.loss_db(&far, true));
            assert!(model.loss_db(&far, true) > model.loss_db(&at(minimum), true));
        }
    }
}
