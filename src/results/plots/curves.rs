//! Accuracy and loss against simulated time.

use super::axes::Frame;
use super::figure::{
    Align, Canvas, Drawn, FIGURE_WIDTH, Figure, GREY, Key, Mark, NOTE_TEXT, PALETTE, pt, save, short_name,
};
use super::scale::{Ticks, padded, time_unit};
use crate::experiment::{Record, RoundRecord};
use crate::results::error::ResultsError;
use crate::results::stats::{CurvePoint, mean_curve};
use crate::results::summary::accuracy_curve;
use plotters::prelude::DrawingBackend;
use std::path::{Path, PathBuf};

/// Lines with more points than this carry marks at some of them only.
const MOST_MARKS: usize = 25;

/// One line of a plot: a mean over replications against simulated seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Shown in the legend, which a lone curve without a label does not have.
    pub label: Option<String>,
    pub points: Vec<CurvePoint>,
    pub replications: usize,
}

impl Curve {
    /// Test accuracy of `record`; `None` where nothing was evaluated.
    pub fn accuracy(record: &Record, label: Option<String>) -> Option<Self> {
        Self::of(record.replications.iter().map(accuracy_curve).collect(), label)
    }

    fn of(curves: Vec<Vec<(f64, f64)>>, label: Option<String>) -> Option<Self> {
        let mut points = mean_curve(&curves);
        // A training that diverged has losses without a place on the plot.
        points.retain(|(_, e)| e.mean.is_finite());
        (!points.is_empty()).then_some(Self { label, points, replications: curves.len() })
    }
}

/// Draws test accuracy against simulated time, one line a run with its 95% confidence band, to `<base>.svg` and
/// `<base>.png`; returns both paths.
///
/// # Errors
/// [`ResultsError::Write`] or [`ResultsError::Plot`].
pub fn accuracy_vs_time(curves: &[Curve], base: &Path) -> Result<[PathBuf; 2], ResultsError> {
    // Only R squared, which stands for accuracy where the task is a regression, can fall below 0.
    let below_zero = curves.iter().flat_map(|c| &c.points).any(|(_, e)| e.mean < 0.0);
    let y_limits = (if below_zero { f64::NEG_INFINITY } else { 0.0 }, 1.0);
    save(&CurvesFigure { curves: curves.to_vec(), y_label: "Test accuracy", y_limits }, base)
}

/// Train and test loss against simulated time; `None` where nothing was trained.
pub(super) fn loss_figure(record: &Record) -> Option<impl Figure> {
    let curve = |label: &str, value: fn(&RoundRecord) -> Option<f64>| {
        let of = |rounds: &[RoundRecord]| rounds.iter().filter_map(|r| Some((r.end_s, value(r)?))).collect();
        Curve::of(record.replications.iter().map(|r| of(&r.rounds)).collect(), Some(label.to_owned()))
    };
    let curves: Vec<Curve> =
        [curve("training", |r| r.train_loss), curve("test", |r| r.test_loss)].into_iter().flatten().collect();
    let y_limits = (0.0, f64::INFINITY);
    (!curves.is_empty()).then_some(CurvesFigure { curves, y_label: "Loss", y_limits })
}

struct CurvesFigure {
    curves: Vec<Curve>,
    y_label: &'static str,
    /// Values that cannot occur lie outside; a confidence band is cut here.
    y_limits: (f64, f64),
}

impl CurvesFigure {
    fn band(&self, (_, e): &CurvePoint) -> (f64, f64) {
        let half = e.half_width_95.unwrap_or(0.0);
        ((e.mean - half).max(self.y_limits.0), (e.mean + half).min(self.y_limits.1))
    }

    /// Smallest and largest value to show.
    fn y_range(&self) -> (f64, f64) {
        let bands = self.curves.iter().flat_map(|c| &c.points).map(|p| self.band(p));
        let (low, high) = bands.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (a, b)| (l.min(a), h.max(b)));
        let (low, high) = padded(low, high, 0.05);
        (low.max(self.y_limits.0), high.min(self.y_limits.1))
    }

    /// What the band means, where there is one.
    fn note(&self) -> Option<String> {
        let counts = self.curves.iter().map(|c| c.replications);
        let (low, high) = (counts.clone().min()?, counts.max().filter(|&n| n > 1)?);
        let count = if low == high { format!("{low}") } else { format!("{low} to {high}") };
        Some(format!("mean of {count} replications, 95% confidence band"))
    }
}

impl Figure for CurvesFigure {
    fn size_pt(&self) -> (f64, f64) {
        let legend_rows = self.curves.len().saturating_sub(1).div_ceil(3);
        (FIGURE_WIDTH, 225.0 + 13.0 * legend_rows as f64)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        let color = |i: usize| PALETTE[i % PALETTE.len()];
        let labelled = self.curves.iter().enumerate().filter_map(|(i, c)| Some((i, short_name(c.label.as_deref()?))));
        let legend: Vec<_> = labelled.map(|(i, label)| (label, Key::Line(color(i), Some(Mark::of(i))))).collect();
        let mut top = canvas.legend(pt(7.0), &legend)?;
        if let Some(note) = self.note() {
            canvas.text(&note, (canvas.width() / 2, top + pt(4.0)), NOTE_TEXT, Align::Middle, GREY)?;
            top += pt(10.0);
        }

        let end_s = self.curves.iter().filter_map(|c| c.points.last()).map(|p| p.0).fold(0.0, f64::max);
        let unit = time_unit(end_s);
        let (x_range, y_range) = ((0.0, (end_s / unit.size).max(1e-9) * 1.015), self.y_range());
        let (x_ticks, y_ticks) = (Ticks::within(x_range.0, x_range.1, 7), Ticks::within(y_range.0, y_range.1, 6));
        let frame = Frame::below(canvas, top + pt(3.0), x_range, y_range, &y_ticks)?;
        frame.y_axis(canvas, &y_ticks, self.y_label)?;
        frame.x_axis(canvas, &x_ticks, &format!("Simulated time ({})", unit.name), true)?;

        let at = |time_s: f64, value: f64| frame.at((time_s / unit.size, value));
        for (i, curve) in self.curves.iter().enumerate() {
            let lower = curve.points.iter().map(|p| at(p.0, self.band(p).0));
            let upper = curve.points.iter().rev().map(|p| at(p.0, self.band(p).1));
            if curve.replications > 1 && curve.points.len() > 1 {
                canvas.area(lower.chain(upper).collect(), color(i), 0.18)?;
            }
        }
        frame.edges(canvas)?;
        for (i, curve) in self.curves.iter().enumerate() {
            let line: Vec<(i32, i32)> = curve.points.iter().map(|(t, e)| at(*t, e.mean)).collect();
            canvas.line(&line, color(i), 1.4)?;
            let every = line.len().div_ceil(MOST_MARKS);
            for (k, &point) in line.iter().enumerate() {
                if k % every == 0 || k + 1 == line.len() {
                    canvas.mark(point, Mark::of(i), 2.2, color(i))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_leaves_out_what_is_no_number() {
        let curve =
            Curve::of(vec![vec![(1.0, 0.5), (2.0, f64::NAN), (3.0, f64::INFINITY), (4.0, 0.25)]], None).unwrap();
        let values: Vec<(f64, f64)> = curve.points.iter().map(|(t, e)| (*t, e.mean)).collect();
        assert_eq!(values, [(1.0, 0.5), (4.0, 0.25)]);
        assert_eq!(Curve::of(vec![vec![(1.0, f64::NAN)]], None), None);
    }
}
