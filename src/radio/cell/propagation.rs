//! From a place to large-scale loss: path loss, line of sight, shadowing, walls and air of one base station, and how loud
//! its neighbours are there.

use super::config::{CellConfig, Indoor, LosRule, Sending};
use crate::radio::error::RadioError;
use crate::radio::geometry::Position;
use crate::radio::pathloss::{self, OutdoorToIndoor, Path, PathLoss};
use crate::radio::shadowing::SpatialField;
use crate::radio::special::normal_cdf;
use crate::radio::units::db_to_linear;
use crate::random::Streams;

/// A base station's surroundings: a pure function of position.
#[derive(Debug)]
pub(super) struct Propagation {
    own: Station,
    neighbours: Vec<Disturber>,
    /// Whether some of them send only at times.
    pub is_coupled: bool,
}

/// Another cell that is heard here.
#[derive(Debug)]
struct Disturber {
    /// Share of resource blocks on which it sends.
    load: f64,
    sends: Option<Sending>,
    station: Station,
}

/// One base station and what stands around it.
#[derive(Debug)]
struct Station {
    model: Box<dyn PathLoss>,
    base: Position,
    carrier_ghz: f64,
    los_rule: LosRule,
    los_state: SpatialField,
    /// For links without and with line of sight; `None` without shadowing.
    shadows: Option<[SpatialField; 2]>,
    /// For links into buildings, where the model has an outside.
    indoor_shadow: Option<SpatialField>,
    way_in: OutdoorToIndoor,
    air_db_per_km: f64,
}

/// What a place costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LargeScale {
    pub distance_2d_m: f64,
    pub distance_m: f64,
    pub los: bool,
    pub path_loss_db: f64,
    pub shadowing_db: f64,
    /// Through the wall and behind it; 0 outdoors.
    pub indoor_loss_db: f64,
    pub air_loss_db: f64,
    /// By people in the way, now.
    pub blockage_db: f64,
    /// Path gains of the neighbours times their loads, summed; 0 without neighbours.
    pub neighbours_gain: f64,
}

impl LargeScale {
    /// All of it, dB.
    pub fn total_db(&self) -> f64 {
        self.path_loss_db + self.shadowing_db + self.indoor_loss_db + self.air_loss_db + self.blockage_db
    }
}

impl Propagation {
    pub fn new(config: &CellConfig, cell: &str, streams: &Streams) -> Result<Self, RadioError> {
        let loaded = config.neighbours.iter().filter(|n| n.load > 0.0);
        let neighbours = loaded.map(|n| {
            let station = Station::new(config, n.position, &n.name, streams)?;
            Ok(Disturber { load: n.load, sends: n.sends.clone(), station })
        });
        let neighbours = neighbours.collect::<Result<Vec<_>, RadioError>>()?;
        Ok(Self {
            own: Station::new(config, config.position, cell, streams)?,
            is_coupled: neighbours.iter().any(|n| n.sends.is_some()),
            neighbours,
        })
    }

    /// All loss to the own base station, dB.
    pub fn own_loss_db(&self, terminal: &Position, indoor: Option<&Indoor>) -> f64 {
        self.own.at(terminal, indoor).total_db()
    }

    /// For a terminal there; a building stands in the way of neighbours as well.
    pub fn at(&self, terminal: &Position, indoor: Option<&Indoor>) -> LargeScale {
        let neighbours_gain = self.gains(terminal, indoor).sum();
        LargeScale { neighbours_gain, ..self.own.at(terminal, indoor) }
    }

    /// Of each neighbour, path gain there times load.
    pub fn gains(&self, terminal: &Position, indoor: Option<&Indoor>) -> impl Iterator<Item = f64> {
        self.neighbours.iter().map(move |n| n.load * db_to_linear(-n.station.at(terminal, indoor).total_db()))
    }

    /// The sum of `gains` over those that send now.
    pub fn heard_now(&self, gains: &[f64]) -> f64 {
        let sends = |n: &Disturber| n.sends.as_ref().is_none_or(Sending::is_on);
        self.neighbours.iter().zip(gains).filter(|(n, _)| sends(n)).map(|(_, gain)| gain).sum()
    }
}

impl Station {
    fn new(config: &CellConfig, base: Position, name: &str, streams: &Streams) -> Result<Self, RadioError> {
        let model = pathloss::by_name(&config.radio.path_loss)?;
        let nominal = Path {
            carrier_ghz: config.radio.carrier_ghz,
            distance_2d_m: *model.range_2d_m().start(),
            base_height_m: base.z_m,
            terminal_height_m: config.radio.ue_height_m,
        };
        let field = |purpose: &str, distance_m: f64| SpatialField::new(&streams.counter(name, purpose), distance_m);
        let shadow = |los: bool, purpose: &str| field(purpose, model.shadowing(&nominal, los).correlation_distance_m);
        let shadows = config.shadowing.then(|| [shadow(false, "shadowing nlos"), shadow(true, "shadowing los")]);
        let indoor_law = model.indoor_shadowing().filter(|_| config.shadowing);
        Ok(Self {
            base,
            carrier_ghz: config.radio.carrier_ghz,
            los_rule: config.los,
            los_state: field("line of sight", model.los_correlation_distance_m()),
            shadows,
            indoor_shadow: indoor_law.map(|law| field("shadowing indoors", law.correlation_distance_m)),
            way_in: OutdoorToIndoor {
                building: config.building,
                glass: config.glass,
                one_wall_below_6_ghz: matches!(model.name(), "uma" | "umi"),
            },
            air_db_per_km: config.atmosphere.loss_db_per_km(config.radio.carrier_ghz),
            model,
        })
    }

    /// Without the neighbours.
    fn at(&self, terminal: &Position, indoor: Option<&Indoor>) -> LargeScale {
        let path = Path::between(&self.base, terminal, self.carrier_ghz);
        // What can be in sight is the wall: d_2D-out of figure 7.4.3-1.
        let inside_m = indoor.map_or(0.0, |i| i.distance_m);
        let outside = Path { distance_2d_m: (path.distance_2d_m - inside_m).max(0.0), ..path };
        let los = match self.los_rule {
            LosRule::Always => true,
            LosRule::Never => false,
            // A uniform field, as clause 7.6.3.3 of TR 38.901 has it, from the Gaussian one.
            LosRule::Drawn => normal_cdf(self.los_state.at(terminal)) < self.model.los_probability(&outside),
        };
        let (law, field) = match (indoor, self.model.indoor_shadowing()) {
            (Some(_), Some(law)) => (law, self.indoor_shadow.as_ref()),
            _ => (self.model.shadowing(&path, los), self.shadows.as_ref().map(|f| &f[usize::from(los)])),
        };
        LargeScale {
            distance_2d_m: path.distance_2d_m,
            distance_m: path.distance_3d_m(),
            los,
            path_loss_db: self.model.loss_db(&path, los),
            shadowing_db: field.map_or(0.0, |field| law.sigma_db * field.at(terminal)),
            indoor_loss_db: indoor.map_or(0.0, |i| {
                self.way_in.mean_db(self.carrier_ghz, i.distance_m)
                    + self.way_in.wall_sigma_db(self.carrier_ghz) * i.wall_deviation
            }),
            air_loss_db: self.air_db_per_km * path.distance_3d_m() / 1e3,
            blockage_db: 0.0,
            neighbours_gain: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::atmosphere::{Atmosphere, gases::Edition};
    use crate::radio::cell::config::Neighbour;
    use crate::radio::presets::Preset;

    #[test]
    fn line_of_sight_is_drawn_with_its_probability() {
        let config = CellConfig::from_preset(Preset::by_name("nr_fr1").unwrap());
        let place = Position::new(100.0, 0.0, 1.5);
        let trials = 2000;
        let seen = (0..trials)
            .filter(|r| Propagation::new(&config, "cell", &Streams::new(1, *r)).unwrap().at(&place, None).los)
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
        let open = Propagation::new(&config, "cell", &streams).unwrap().at(&place, None);
        config.los = LosRule::Never;
        let hidden = Propagation::new(&config, "cell", &streams).unwrap().at(&place, None);
        assert!(open.los && !hidden.los && open.path_loss_db < hidden.path_loss_db);
        assert_eq!((open.shadowing_db, hidden.shadowing_db), (0.0, 0.0));
    }

    #[test]
    fn walls_and_air_add_up() {
        let mut config = CellConfig::from_preset(Preset::by_name("nr_fr2").unwrap());
        config.shadowing = false;
        config.los = LosRule::Never;
        config.atmosphere = Atmosphere { gases: Some(Edition::P676_12), rain_mm_per_h: 25.0 };
        let surroundings = Propagation::new(&config, "cell", &Streams::new(1, 0)).unwrap();
        let place = Position::new(100.0, 0.0, 10.0);
        let indoor = Indoor { distance_m: 10.0, wall_deviation: 2.0 };
        let (outside, inside) = (surroundings.at(&place, None), surroundings.at(&place, Some(&indoor)));
        // P.676-12 and P.838 at 28 GHz: 0.102 and 4.248 dB/km, over 100 m.
        assert!((outside.air_loss_db - 0.435).abs() < 0.001 && outside.indoor_loss_db == 0.0);
        // TR 38.901 low-loss wall at 28 GHz and 10 m: 22.83 dB, deviation 4.4 dB.
        assert!((inside.indoor_loss_db - 22.828_787 - 8.8).abs() < 1e-4);
        assert!((inside.total_db() - outside.total_db() - inside.indoor_loss_db).abs() < 1e-9);
    }

    #[test]
    fn a_neighbour_is_as_loud_as_its_own_terminals_hear_it() {
        let mut config = CellConfig::from_preset(Preset::by_name("nr_fr1").unwrap());
        let streams = Streams::new(3, 0);
        let there = Position::new(600.0, 0.0, 25.0);
        let place = Position::new(250.0, 40.0, 1.5);
        config.neighbours = vec![Neighbour { name: "east".to_owned(), position: there, load: 0.5, sends: None }];
        let west = Propagation::new(&config, "west", &streams).unwrap().at(&place, None);
        let own = CellConfig { position: there, neighbours: vec![], ..config };
        let east = Propagation::new(&own, "east", &streams).unwrap().at(&place, None);
        assert!((west.neighbours_gain / (0.5 * db_to_linear(-east.total_db())) - 1.0).abs() < 1e-12);
        assert_eq!(east.neighbours_gain, 0.0);
    }
}
