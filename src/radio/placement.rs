//! Where terminals stand at the start.

use super::error::RadioError;
use super::geometry::{Area, Position};
use crate::random::CounterStream;

/// A rule that gives terminal number `index` its place, whatever the number of terminals.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// Uniform over an area, at a common height.
    Uniform { area: Area, height_m: f64 },
    /// As listed.
    Fixed(Vec<Position>),
    /// Row by row, centred on `centre`, whose height the terminals share.
    Grid { centre: Position, columns: usize, rows: usize, spacing_m: f64 },
}

impl Placement {
    /// The place of terminal `index`. `stream` belongs to that terminal: one more terminal moves no other.
    ///
    /// # Errors
    /// [`RadioError::PlacementExhausted`] beyond the end of a list or grid; an area's own refusals.
    pub fn position(&self, index: usize, stream: &CounterStream) -> Result<Position, RadioError> {
        match self {
            Self::Uniform { area, height_m } => {
                area.validate()?;
                Ok(area.uniform_point([stream.uniform(0), stream.uniform(1)], *height_m))
            }
            Self::Fixed(list) => {
                list.get(index).copied().ok_or(RadioError::PlacementExhausted { index, available: list.len() })
            }
            Self::Grid { centre, columns, rows, spacing_m } => {
                let available = columns * rows;
                if index >= available {
                    return Err(RadioError::PlacementExhausted { index, available });
                }
                let offset = |i: usize, n: usize| (i as f64 - (n as f64 - 1.0) / 2.0) * spacing_m;
                let (row, column) = (index / columns, index % columns);
                Ok(Position::new(centre.x_m + offset(column, *columns), centre.y_m + offset(row, *rows), centre.z_m))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_centred_and_ends() {
        let grid = Placement::Grid { centre: Position::new(0.0, 0.0, 1.5), columns: 3, rows: 2, spacing_m: 10.0 };
        let s = CounterStream::new(1, 2);
        assert_eq!(grid.position(0, &s).unwrap(), Position::new(-10.0, -5.0, 1.5));
        assert_eq!(grid.position(5, &s).unwrap(), Position::new(10.0, 5.0, 1.5));
        assert_eq!(grid.position(6, &s), Err(RadioError::PlacementExhausted { index: 6, available: 6 }));
    }

    #[test]
    fn a_terminal_keeps_its_place_whatever_its_number() {
        let area = Area::Annulus { centre: Position::default(), inner_m: 10.0, outer_m: 100.0 };
        let placement = Placement::Uniform { area, height_m: 1.5 };
        let s = CounterStream::new(5, 6);
        assert_eq!(placement.position(0, &s).unwrap(), placement.position(9, &s).unwrap());
        assert_ne!(placement.position(0, &s).unwrap(), placement.position(0, &s.child(1)).unwrap());
    }
}
