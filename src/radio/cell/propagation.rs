//! From a place to large-scale loss: path loss, line of sight and shadowing of one base station.

use super::config::{CellConfig, LosRule};
use crate::radio::error::RadioError;
use crate::radio::geometry::Position;
use crate::radio::pathloss::{self, Path, PathLoss};
use crate::radio::shadowing::SpatialField;
use crate::radio::special::normal_cdf;
use crate::random::Streams;

/// A base station's surroundings: a pure function of position.
#[derive(Debug)]
pub(super) struct Propagation {
    model: Box<dyn PathLoss>,
    base: Position,
    carrier_ghz: f64,
    los_rule: LosRule,
    los_state: SpatialField,
    /// For links without and with line of sight; `None` without shadowing.
    shadows: Option<[SpatialField; 2]>,
}

/// What a place costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LargeScale {
    pub distance_2d_m: f64,
    pub distance_m: f64,
    pub los: bool,
    pub path_loss_db: f64,
    pub shadowing_db: f64,
}

impl Propagation {
    pub fn new(config: &CellConfig, cell: &str, streams: &Streams) -> Result<Self, RadioError> {
        let model = pathloss::by_name(&config.radio.path_loss)?;
        let nominal = Path {
            carrier_ghz: config.radio.carrier_ghz,
            distance_2d_m: *model.range_2d_m().start(),
            base_height_m: config.position.z_m,
            terminal_height_m: config.radio.ue_height_m,
        };
        let shadow = |los: bool, purpose: &str| {
            SpatialField::new(&streams.counter(cell, purpose), model.shadowing(&nominal, los).correlation_distance_m)
        };
        let shadows = config.shadowing.then(|| [shadow(false, "shadowing nlos"), shadow(true, "shadowing los")]);
        let los_state = SpatialField::new(&streams.counter(cell, "line of sight"), model.los_correlation_distance_m());
        Ok(Self {
            model,
            base: config.position,
            carrier_ghz: config.radio.carrier_ghz,
            los_rule: config.los,
            los_state,
            shadows,
        })
    }

    pub fn at(&self, terminal: &Position) -> LargeScale {
        let path = Path::between(&self.base, terminal, self.carrier_ghz);
        let los = match self.los_rule {
            LosRule::Always => true,
            LosRule::Never => false,
            // A uniform field, as clause 7.6.3.3 of TR 38.901 has it, from the Gaussian one.
            LosRule::Drawn => normal_cdf(self.los_state.at(terminal)) < self.model.los_probability(&path),
        };
        let law = self.model.shadowing(&path, los);
        LargeScale {
            distance_2d_m: path.distance_2d_m,
            distance_m: path.distance_3d_m(),
            los,
            path_loss_db: self.model.loss_db(&path, los),
            shadowing_db: self.shadows.as_ref().map_or(0.0, |f| law.sigma_db * f[usize::from(los)].at(terminal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::presets::Preset;

    #[test]
    fn line_of_sight_is_drawn_with_its_probability() {
        let config = CellConfig::from_preset(Preset::by_name("nr_fr1").unwrap());
        let place = Position::new(100.0, 0.0, 1.5);
        let trials = 2000;
        let seen = (0..trials)
            .filter(|r| Propagation::new(&config, "cell", &Streams::new(1, *r)).unwrap().at(&place).los)
            .count() as f64
            / trials as f64;
        let p = 0.34767084; // TR 38.901 UMa at 100 m
        assert!((seen - p).abs() < 4.0 * (p * (1.0 - p) / trials as f64).sqrt(), "{seen}");
    }

    #[test]
    fn rules_and_switches_are_obeyed() {
        let mut config = CellConfig::from_preset(Preset::by_name("nr_fr2").unwrap());
        config.shadowing = false;
        let streams = Streams::new(1, 0);
        let place = Position::new(80.0, 30.0, 1.5);
        config.los = LosRule::Always;
        let open = Propagation::new(&config, "cell", &streams).unwrap().at(&place);
        config.los = LosRule::Never;
        let hidden = Propagation::new(&config, "cell", &streams).unwrap().at(&place);
        assert!(open.los && !hidden.los && open.path_loss_db < hidden.path_loss_db);
        assert_eq!((open.shadowing_db, hidden.shadowing_db), (0.0, 0.0));
    }
}
