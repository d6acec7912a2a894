//! Points and areas in metres; z is the height above ground.

use super::error::{RadioError, require};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    pub x_m: f64,
    pub y_m: f64,
    pub z_m: f64,
}

impl Position {
    pub const fn new(x_m: f64, y_m: f64, z_m: f64) -> Self {
        Self { x_m, y_m, z_m }
    }

    /// Distance on the ground, metres: `d_2D` of TR 38.901 figure 7.4.1-1.
    pub fn distance_2d_m(&self, other: &Self) -> f64 {
        (self.x_m - other.x_m).hypot(self.y_m - other.y_m)
    }

    /// Distance between antennas, metres: `d_3D` of TR 38.901 figure 7.4.1-1.
    pub fn distance_3d_m(&self, other: &Self) -> f64 {
        self.distance_2d_m(other).hypot(self.z_m - other.z_m)
    }

    /// The point at `fraction` of the way to `other`.
    pub fn towards(&self, other: &Self, fraction: f64) -> Self {
        let mix = |a: f64, b: f64| a + fraction * (b - a);
        Self::new(mix(self.x_m, other.x_m), mix(self.y_m, other.y_m), mix(self.z_m, other.z_m))
    }
}

/// A part of the ground in which terminals are dropped or roam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// Between two radii around a centre; an inner radius of 0 is a disc.
    Annulus { centre: Position, inner_m: f64, outer_m: f64 },
    /// An axis-parallel rectangle around a centre.
    Rectangle { centre: Position, width_m: f64, depth_m: f64 },
}

impl Area {
    pub fn validate(&self) -> Result<(), RadioError> {
        match *self {
            Self::Annulus { inner_m, outer_m, .. } => {
                require("inner radius (m)", inner_m, inner_m >= 0.0, "0 or more")?;
                require("outer radius (m)", outer_m, outer_m > inner_m, "more than the inner radius")?;
            }
            Self::Rectangle { width_m, depth_m, .. } => {
                require("area width (m)", width_m, width_m > 0.0, "a positive length")?;
                require("area depth (m)", depth_m, depth_m > 0.0, "a positive length")?;
            }
        }
        Ok(())
    }

    /// A uniform point at `height_m` from two uniform draws in (0, 1).
    pub fn uniform_point(&self, draws: [f64; 2], height_m: f64) -> Position {
        match *self {
            Self::Annulus { centre, inner_m, outer_m } => {
                let radius = (inner_m.powi(2) + draws[0] * (outer_m.powi(2) - inner_m.powi(2))).sqrt();
                let (sin, cos) = (std::f64::consts::TAU * draws[1]).sin_cos();
                Position::new(centre.x_m + radius * cos, centre.y_m + radius * sin, height_m)
            }
            Self::Rectangle { centre, width_m, depth_m } => Position::new(
                centre.x_m + (draws[0] - 0.5) * width_m,
                centre.y_m + (draws[1] - 0.5) * depth_m,
                height_m,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_follow_pythagoras() {
        let (a, b) = (Position::new(0.0, 0.0, 25.0), Position::new(3.0, 4.0, 13.0));
        assert_eq!(a.distance_2d_m(&b), 5.0);
        assert_eq!(a.distance_3d_m(&b), 13.0);
        assert_eq!(a.towards(&b, 0.5), Position::new(1.5, 2.0, 19.0));
    }

    #[test]
    fn an_annulus_keeps_its_minimum_distance() {
        let centre = Position::new(10.0, -5.0, 25.0);
        let ring = Area::Annulus { centre, inner_m: 35.0, outer_m: 250.0 };
        for draws in [[1e-9, 0.1], [0.5, 0.7], [1.0 - 1e-9, 0.99]] {
            let d = ring.uniform_point(draws, 1.5).distance_2d_m(&centre);
            assert!((35.0..=250.0).contains(&d), "{d}");
        }
        assert!(Area::Annulus { centre, inner_m: 50.0, outer_m: 50.0 }.validate().is_err());
    }
}
