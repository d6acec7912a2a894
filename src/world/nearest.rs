//! The nearest of many places, found by looking into the squares of a grid around the question.

/// Places sorted into the squares of a grid, about one a square.
#[derive(Debug)]
pub(super) struct NearestPlace {
    places: Vec<[f64; 2]>,
    corner: [f64; 2],
    side: f64,
    columns: usize,
    rows: usize,
    /// Places by square, in ascending order.
    squares: Vec<Vec<u32>>,
}

impl NearestPlace {
    pub fn new(places: Vec<[f64; 2]>) -> Self {
        let bound = |axis: usize, start: f64, of: fn(f64, f64) -> f64| places.iter().map(|p| p[axis]).fold(start, of);
        let corner = [0, 1].map(|axis| bound(axis, f64::INFINITY, f64::min));
        let extent = [0, 1].map(|axis| bound(axis, f64::NEG_INFINITY, f64::max) - corner[axis]);
        let count = places.len().max(1) as f64;
        // A line of places has no area: then as many squares along it as the square root of their number.
        let side = (extent[0] * extent[1] / count).sqrt().max(extent[0].max(extent[1]) / count.sqrt() / 4.0);
        let side = if side > 0.0 { side } else { 1.0 };
        let along = |length: f64| (length / side) as usize + 1;
        let (columns, rows) = (along(extent[0]), along(extent[1]));
        let mut grid = Self { places, corner, side, columns, rows, squares: vec![vec![]; columns * rows] };
        for i in 0..grid.places.len() {
            let [column, row] = grid.square_at(grid.places[i]);
            grid.squares[row * columns + column].push(i as u32);
        }
        grid
    }

    /// The number of the place nearest to `point`, the lowest of equals.
    ///
    /// # Panics
    /// If there are no places.
    pub fn to(&self, point: [f64; 2]) -> usize {
        let [column, row] = self.square_at(point);
        let mut nearest: Option<(f64, u32)> = None;
        for ring in 0..self.columns.max(self.rows) {
            // What lies beyond `ring` squares is at least as many minus one sides away.
            if nearest.is_some_and(|(distance, _)| distance < (ring as f64 - 1.0) * self.side) {
                break;
            }
            let (low, high) = (row.saturating_sub(ring), (row + ring).min(self.rows - 1));
            for r in low..=high {
                let whole = r.abs_diff(row) == ring;
                let step = if whole || ring == 0 { 1 } else { 2 * ring };
                let left = column as i64 - ring as i64;
                for c in (left..=(column + ring) as i64).step_by(step) {
                    if let Ok(c) = usize::try_from(c)
                        && c < self.columns
                    {
                        for &place in &self.squares[r * self.columns + c] {
                            let candidate = (self.distance(place, point), place);
                            nearest = Some(nearest.map_or(candidate, |n| if candidate < n { candidate } else { n }));
                        }
                    }
                }
            }
        }
        nearest.expect("there is at least one place").1 as usize
    }

    fn distance(&self, place: u32, [x, y]: [f64; 2]) -> f64 {
        let [px, py] = self.places[place as usize];
        (px - x).hypot(py - y)
    }

    /// Column and row of the square that holds `point`, or of the one nearest to it.
    fn square_at(&self, point: [f64; 2]) -> [usize; 2] {
        let at = |axis: usize, squares: usize| {
            (((point[axis] - self.corner[axis]) / self.side).max(0.0) as usize).min(squares - 1)
        };
        [at(0, self.columns), at(1, self.rows)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    #[test]
    fn agrees_with_a_look_at_every_place() {
        for case in 0..200 {
            let draws = CounterStream::new(17, 19).child(case);
            let count = 1 + draws.bits(0) % 60;
            // Some cases on a line, some on a coarse lattice with many equal distances, some all in one place.
            let shape = [[1000.0, 1000.0], [5000.0, 0.0], [3.0, 4.0], [0.0, 0.0], [10.0, 9000.0]][case as usize % 5];
            let lattice = case % 5 == 2;
            let point = |n: u64| {
                let at = |axis: usize| shape[axis] * draws.uniform(10 * n + axis as u64 + 1);
                [0, 1].map(|axis| if lattice { at(axis).round() } else { at(axis) })
            };
            let places: Vec<[f64; 2]> = (0..count).map(point).collect();
            let grid = NearestPlace::new(places.clone());
            for n in 100..160 {
                // Far outside of the places, too.
                let [x, y] = point(n);
                let question = if n % 4 == 0 { [3.0 * x - 2000.0, 5.0 * y - 70.0] } else { [x, y] };
                let distance = |p: &[f64; 2]| (p[0] - question[0]).hypot(p[1] - question[1]);
                let expected = (0..places.len())
                    .min_by(|a, b| distance(&places[*a]).total_cmp(&distance(&places[*b])))
                    .expect("a place");
                assert_eq!(grid.to(question), expected, "case {case}, point {n}");
            }
        }
    }
}
