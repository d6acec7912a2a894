//! Loss on the way into a building, TR 38.901 clause 7.4.3.

/// What the outer wall is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Building {
    /// Standard multi-pane glass (30%) and concrete (70%).
    LowLoss,
    /// Infrared-reflecting glass (70%) and concrete (30%), as in new buildings.
    HighLoss,
}

/// Which edition's loss of infrared-reflecting glass holds: they differ by 9 dB at 60 GHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlassLoss {
    /// Edition 16.1 and before: 23 + 0.3 f (f in GHz).
    Edition16,
    /// Edition 19.2: 25.4 + 0.11 f.
    Edition19,
}

/// The wall between a base station outside and a terminal inside. The way in front of the wall is the path-loss model's,
/// over the whole distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutdoorToIndoor {
    pub building: Building,
    pub glass: GlassLoss,
    /// Urban cells below 6 GHz keep the wall of TR 36.873: 20 dB whatever it is made of, without a random part.
    pub one_wall_below_6_ghz: bool,
}

impl OutdoorToIndoor {
    /// Mean loss through the wall, PL_tw of table 7.4.3-2, dB.
    pub fn wall_db(&self, carrier_ghz: f64) -> f64 {
        if self.is_old_wall(carrier_ghz) {
            return 20.0;
        }
        let concrete_db = 5.0 + 4.0 * carrier_ghz;
        let (glass_share, glass_db) = match (self.building, self.glass) {
            (Building::LowLoss, _) => (0.3, 2.0 + 0.2 * carrier_ghz),
            (Building::HighLoss, GlassLoss::Edition16) => (0.7, 23.0 + 0.3 * carrier_ghz),
            (Building::HighLoss, GlassLoss::Edition19) => (0.7, 25.4 + 0.11 * carrier_ghz),
        };
        let passes = |share: f64, db: f64| share * 10f64.powf(-db / 10.0);
        5.0 - 10.0 * (passes(glass_share, glass_db) + passes(1.0 - glass_share, concrete_db)).log10()
    }

    /// Deviation of the wall's loss from building to building, sigma_P, dB.
    pub fn wall_sigma_db(&self, carrier_ghz: f64) -> f64 {
        match self.building {
            _ if self.is_old_wall(carrier_ghz) => 0.0,
            Building::LowLoss => 4.4,
            Building::HighLoss => 6.5,
        }
    }

    /// Mean loss through the wall and over `distance_m` on the ground behind it, dB.
    pub fn mean_db(&self, carrier_ghz: f64, distance_m: f64) -> f64 {
        self.wall_db(carrier_ghz) + 0.5 * distance_m
    }

    fn is_old_wall(&self, carrier_ghz: f64) -> bool {
        self.one_wall_below_6_ghz && carrier_ghz < 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_glass_costs_more_and_its_editions_cross() {
        let wall = |building, glass, f| OutdoorToIndoor { building, glass, one_wall_below_6_ghz: false }.wall_db(f);
        for f in [0.7, 3.5, 28.0, 60.0] {
            let low = wall(Building::LowLoss, GlassLoss::Edition16, f);
            assert_eq!(low, wall(Building::LowLoss, GlassLoss::Edition19, f));
            assert!(wall(Building::HighLoss, GlassLoss::Edition19, f) > low + 5.0);
        }
        let rise =
            |f| wall(Building::HighLoss, GlassLoss::Edition19, f) - wall(Building::HighLoss, GlassLoss::Edition16, f);
        assert!(rise(6.0) > 0.0 && rise(60.0) < -8.0);
    }
}
