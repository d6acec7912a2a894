//! Trials of a search as points, and the Pareto front through the best of them.

use super::axes::Frame;
use super::figure::{
    Align, Canvas, Drawn, FIGURE_WIDTH, Figure, GREY, GRID, INK, Key, Mark, NOTE_TEXT, PALETTE, pt, save,
};
use super::scale::{Ticks, padded, time_unit};
use crate::results::error::ResultsError;
use plotters::prelude::DrawingBackend;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Points off the front are labelled too where there are no more than this.
const MOST_LABELS: usize = 12;

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct ParetoPoint {
    /// Short text beside the point; may be empty.
    pub label: String,
    /// Simulated seconds (to the target accuracy, or in total): smaller is better.
    pub seconds: f64,
    /// Final accuracy: larger is better.
    pub accuracy: f64,
    /// Value of the key that colours the points; empty for one colour.
    pub category: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParetoOptions {
    /// What `seconds` is, without its unit: `Time to accuracy 0.70`.
    pub time_label: String,
    /// The key behind `category`, shown before the legend's values; empty for none.
    pub category_label: String,
}

/// Draws `points` and their front to `<base>.svg` and `<base>.png` and returns both paths; `None` without a point
/// whose numbers are finite.
///
/// # Errors
/// [`ResultsError::Write`] or [`ResultsError::Plot`].
pub fn pareto(
    points: &[ParetoPoint],
    options: &ParetoOptions,
    base: &Path,
) -> Result<Option<[PathBuf; 2]>, ResultsError> {
    let points: Vec<ParetoPoint> =
        points.iter().filter(|p| p.seconds.is_finite() && p.accuracy.is_finite()).cloned().collect();
    if points.is_empty() {
        return Ok(None);
    }
    let front = pareto_front(&points);
    save(&ParetoFigure { points, front, options }, base).map(Some)
}

/// Indices of the points that no other beats in both time and accuracy, from the fastest to the most accurate.
///
/// Of points that are equal in both the first is taken. O(n log n).
pub fn pareto_front(points: &[ParetoPoint]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&points[a], &points[b]);
        a.seconds.total_cmp(&b.seconds).then(b.accuracy.total_cmp(&a.accuracy))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = points[i].accuracy > best;
        best = best.max(points[i].accuracy);
        better
    });
    order
}

struct ParetoFigure<'a> {
    points: Vec<ParetoPoint>,
    front: Vec<usize>,
    options: &'a ParetoOptions,
}

impl ParetoFigure<'_> {
    /// The distinct categories, numbers by value and words by name.
    fn categories(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.points.iter().map(|p| p.category.as_str()).collect();
        names.sort_by(|a, b| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => x.total_cmp(&y),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        });
        names.dedup();
        names
    }

    /// The corners of the front's step line: what is reached stays reached until something better is.
    fn front_steps(&self, frame: &Frame, at: &[(i32, i32)]) -> Vec<(i32, i32)> {
        let mut steps: Vec<(i32, i32)> = Vec::new();
        for &i in &self.front {
            let from = steps.last().map_or(frame.bottom, |&(_, y)| y);
            steps.extend([(at[i].0, from), at[i]]);
        }
        steps.extend(steps.last().map(|&(_, y)| (frame.right, y)));
        steps
    }

    /// Labels of the front, then of the others while there are few, each where it covers nothing.
    fn draw_labels<B: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, B>,
        frame: &Frame,
        at: &[(i32, i32)],
        steps: &[(i32, i32)],
    ) -> Drawn {
        let all = self.points.len() <= MOST_LABELS;
        let others = (0..self.points.len()).filter(|i| all && !self.front.contains(i));
        let r = pt(3.0);
        let points = at.iter().map(|&(x, y)| Bounds { x: (x - r, x + r), y: (y - r, y + r) });
        let lines = steps.windows(2).map(|s| Bounds {
            x: (s[0].0.min(s[1].0) - pt(1.0), s[0].0.max(s[1].0) + pt(1.0)),
            y: (s[0].1.min(s[1].1) - pt(1.0), s[0].1.max(s[1].1) + pt(1.0)),
        });
        let mut taken: Vec<Bounds> = points.chain(lines).collect();
        for i in self.front.iter().copied().chain(others) {
            let label = &self.points[i].label;
            let (width, half) = (canvas.text_width(label, NOTE_TEXT)?, pt(NOTE_TEXT * 0.55));
            let (x, y) = at[i];
            // Above and left of a point of the front lies nothing, as nothing is better.
            let (near, far) = (pt(4.0), pt(8.0));
            let (left, below) = (-width - near, half + near);
            let places =
                [(left, -near), (left, 0), (near, below), (near, -far), (left, below), (left, -far), (near, 0)];
            let more =
                [(-width, -far), (-width / 2, below + near), (-width / 2, -far - near), (-width / 4, -far - near)];
            let free = places.into_iter().chain(more).find_map(|(dx, dy)| {
                let bounds = Bounds { x: (x + dx, x + dx + width), y: (y + dy - half, y + dy + half) };
                (bounds.inside(frame) && !taken.iter().any(|t| t.overlaps(&bounds))).then_some(bounds)
            });
            if let Some(bounds) = free {
                let middle = (bounds.y.0 + bounds.y.1) / 2;
                canvas.text(label, (bounds.x.0, middle), NOTE_TEXT, Align::Left, INK)?;
                taken.push(bounds);
            }
        }
        Ok(())
    }
}

struct Bounds {
    x: (i32, i32),
    y: (i32, i32),
}

impl Bounds {
    fn overlaps(&self, other: &Self) -> bool {
        self.x.0 < other.x.1 && other.x.0 < self.x.1 && self.y.0 < other.y.1 && other.y.0 < self.y.1
    }

    fn inside(&self, frame: &Frame) -> bool {
        self.x.0 >= frame.left && self.x.1 <= frame.right && self.y.0 >= frame.top && self.y.1 <= frame.bottom
    }
}

impl Figure for ParetoFigure<'_> {
    fn size_pt(&self) -> (f64, f64) {
        let legend_rows = self.categories().len().div_ceil(5);
        (FIGURE_WIDTH, 230.0 + 13.0 * legend_rows as f64)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        let categories = self.categories();
        let style = |k: usize| (PALETTE[k % PALETTE.len()], Mark::of(k));
        let mut legend: Vec<_> = Vec::new();
        if !self.options.category_label.is_empty() {
            legend.push((format!("{}:", self.options.category_label), Key::Heading));
        }
        for (k, name) in categories.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            legend.push((name.to_string(), Key::Point(style(k).0, style(k).1)));
        }
        legend.push(("Pareto front".to_owned(), Key::Line(GREY, None)));
        let top = canvas.legend(pt(7.0), &legend)? + pt(3.0);

        let range = |value: fn(&ParetoPoint) -> f64, margin: f64| {
            let values = self.points.iter().map(value);
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            padded(low, high, margin)
        };
        let unit = time_unit(self.points.iter().map(|p| p.seconds).fold(0.0, f64::max));
        let (x, y) = (range(|p| p.seconds, 0.2), range(|p| p.accuracy, 0.08));
        // Room for labels on the left, where the best points are.
        let x = (x.0.max(0.0) / unit.size, range(|p| p.seconds, 0.06).1 / unit.size);
        let (x_ticks, y_ticks) = (Ticks::within(x.0, x.1, 7), Ticks::within(y.0, y.1, 6));
        let frame = Frame::below(canvas, top, x, y, &y_ticks)?;
        frame.y_axis(canvas, &y_ticks, "Final accuracy")?;
        frame.x_axis(canvas, &x_ticks, &format!("{} ({})", self.options.time_label, unit.name), true)?;

        let at: Vec<(i32, i32)> = self.points.iter().map(|p| frame.at((p.seconds / unit.size, p.accuracy))).collect();
        let steps = self.front_steps(&frame, &at);
        canvas.line(&steps, GREY, 1.0)?;
        frame.edges(canvas)?;
        for (i, point) in self.points.iter().enumerate() {
            let (color, mark) = style(categories.iter().position(|c| *c == point.category).unwrap_or(0));
            let radius = if self.front.contains(&i) { 3.2 } else { 2.2 };
            canvas.mark(at[i], mark, radius + 0.6, if self.front.contains(&i) { INK } else { GRID })?;
            canvas.mark(at[i], mark, radius, color)?;
        }
        self.draw_labels(canvas, &frame, &at, &steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: f64, accuracy: f64) -> ParetoPoint {
        ParetoPoint { label: String::new(), seconds, accuracy, category: String::new() }
    }

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let points =
            [point(3.0, 0.8), point(1.0, 0.5), point(2.0, 0.5), point(2.5, 0.7), point(3.0, 0.9), point(1.0, 0.4)];
        assert_eq!(pareto_front(&points), [1, 3, 4]);
        let twins = [point(1.0, 0.5), point(1.0, 0.5)];
        assert_eq!(pareto_front(&twins), [0]);
        // The definition, pair by pair.
        let beaten = |a: &ParetoPoint| {
            let beats = |b: &ParetoPoint| b.seconds <= a.seconds && b.accuracy >= a.accuracy && b != a;
            points.iter().any(beats)
        };
        let mut oracle: Vec<usize> = (0..points.len()).filter(|&i| !beaten(&points[i])).collect();
        oracle.sort_by(|&a, &b| points[a].seconds.total_cmp(&points[b].seconds));
        assert_eq!(pareto_front(&points), oracle);
    }
}
