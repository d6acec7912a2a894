//! One number of a search against another, or against a key: a line a variant with its confidence band.

use super::axes::Frame;
use super::figure::{
    Align, Canvas, Drawn, FIGURE_WIDTH, Figure, GREY, Key, Mark, NOTE_TEXT, PALETTE, pt, save, short_name,
};
use super::scale::{Ticks, Unit, padded, prefixed_unit, time_unit};
use crate::results::error::ResultsError;
use crate::results::stats::Estimate;
use plotters::prelude::DrawingBackend;
use std::path::{Path, PathBuf};

/// Positive values over more than this factor are drawn on a logarithmic axis.
const LINEAR_SPAN: f64 = 30.0;

/// More lines than this have bars only.
const MOST_BANDS: usize = 4;

/// What an axis shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    pub label: String,
    /// `s`, `B`, `J`, or empty for a number without unit or with its unit in the label.
    pub base_unit: &'static str,
    /// Names of the places 0, 1, ... where values are words.
    pub words: Vec<String>,
    /// No value can be larger: an interval ends here.
    pub most: Option<f64>,
}

/// One point: a mean over replications in each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// `None` for a value that holds everywhere: a baseline that the axis' key does not concern.
    pub x: Option<Estimate>,
    pub y: Estimate,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub label: String,
    pub places: Vec<Place>,
}

/// A plot of lines that are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// Draws `figure` to `<base>.svg` and `<base>.png` and returns both paths.
///
/// # Errors
/// [`ResultsError::Write`] or [`ResultsError::Plot`].
pub fn trade_off(figure: &TradeOff, base: &Path) -> Result<[PathBuf; 2], ResultsError> {
    save(figure, base)
}

/// Linear or logarithmic positions of one axis.
struct Scale {
    logarithmic: bool,
    unit: Unit,
    range: (f64, f64),
}

impl Scale {
    /// For values that lie between the smallest and the largest of `values`, some of them band edges.
    fn of(axis: &Axis, values: &[f64], may_be_logarithmic: bool) -> Self {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let unit = match axis.base_unit {
            "" => Unit { name: String::new(), size: 1.0 },
            "s" => time_unit(high),
            unit => prefixed_unit(high, unit),
        };
        let logarithmic = may_be_logarithmic && axis.words.is_empty() && low > 0.0 && high / low > LINEAR_SPAN;
        let of = |v: f64| if logarithmic { (v / unit.size).log10() } else { v / unit.size };
        Self { range: padded(of(low), of(high), 0.05), logarithmic, unit }
    }

    fn at(&self, value: f64) -> f64 {
        let value = value / self.unit.size;
        if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }

    fn ticks(&self, axis: &Axis, count: usize) -> Ticks {
        if !axis.words.is_empty() {
            return Ticks::named(axis.words.iter().map(|w| short_name(w)).collect());
        }
        if self.logarithmic {
            Ticks::powers(self.range.0, self.range.1)
        } else {
            Ticks::within(self.range.0, self.range.1, count)
        }
    }

    fn label(&self, axis: &Axis) -> String {
        if self.unit.name.is_empty() { axis.label.clone() } else { format!("{} ({})", axis.label, self.unit.name) }
    }
}

fn band(e: &Estimate, axis: &Axis) -> (f64, f64) {
    let half = e.half_width_95.unwrap_or(0.0);
    (e.mean - half, (e.mean + half).min(axis.most.unwrap_or(f64::INFINITY)))
}

impl TradeOff {
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.lines.iter().flat_map(|l| &l.places)
    }

    fn note(&self) -> Option<String> {
        let counts = || self.places().map(|p| p.y.count);
        let (low, high) = (counts().min()?, counts().max().filter(|&n| n > 1)?);
        let count = if low == high { format!("{low}") } else { format!("{low} to {high}") };
        Some(format!("mean of {count} replications, 95% confidence interval"))
    }
}

impl Figure for TradeOff {
    fn size_pt(&self) -> (f64, f64) {
        let legend_rows = self.lines.len().saturating_sub(1).div_ceil(2);
        (FIGURE_WIDTH, 230.0 + 13.0 * legend_rows as f64)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        let color = |i: usize| PALETTE[i % PALETTE.len()];
        let named = self.lines.iter().enumerate().filter(|(_, l)| !l.label.is_empty());
        let legend: Vec<_> = named.map(|(i, l)| (cut(&l.label), Key::Line(color(i), Some(Mark::of(i))))).collect();
        let mut top = canvas.legend(pt(7.0), &legend)?;
        if let Some(note) = self.note() {
            canvas.text(&note, (canvas.width() / 2, top + pt(4.0)), NOTE_TEXT, Align::Middle, GREY)?;
            top += pt(10.0);
        }
        let xs: Vec<f64> = self.places().filter_map(|p| p.x.map(|e| e.mean)).collect();
        let ys: Vec<f64> = self.places().flat_map(|p| <[f64; 2]>::from(band(&p.y, &self.y))).collect();
        let (x_scale, y_scale) = (Scale::of(&self.x, &xs, true), Scale::of(&self.y, &ys, false));
        let (x_ticks, y_ticks) = (x_scale.ticks(&self.x, 7), y_scale.ticks(&self.y, 6));
        let frame = Frame::below(canvas, top + pt(3.0), x_scale.range, y_scale.range, &y_ticks)?;
        frame.y_axis(canvas, &y_ticks, &y_scale.label(&self.y))?;
        frame.x_axis(canvas, &x_ticks, &x_scale.label(&self.x), true)?;

        let spots: Vec<Vec<Spot>> =
            self.lines.iter().map(|l| spots(l, &self.y, &frame, (&x_scale, &y_scale))).collect();
        // Many bands on one another are mud; the bars say the same.
        let few = self.lines.len() <= MOST_BANDS;
        for (i, line) in spots.iter().enumerate().filter(|(_, line)| few && line.len() > 1) {
            let lower = line.iter().map(|s| (s.x, s.low));
            let upper = line.iter().rev().map(|s| (s.x, s.high));
            canvas.area(lower.chain(upper).collect(), color(i), 0.15)?;
        }
        frame.edges(canvas)?;
        for (i, line) in spots.iter().enumerate() {
            canvas.line(&line.iter().map(|s| (s.x, s.y)).collect::<Vec<_>>(), color(i), 1.4)?;
            for s in line.iter().filter(|s| !s.everywhere) {
                canvas.line(&[(s.x, s.low), (s.x, s.high)], color(i), 0.9)?;
                canvas.mark((s.x, s.y), Mark::of(i), 2.6, color(i))?;
            }
        }
        Ok(())
    }
}

/// A line's name; longer than other plots', since it may hold a value beside the variant.
fn cut(label: &str) -> String {
    const MOST: usize = 44;
    if label.chars().count() <= MOST {
        label.to_owned()
    } else {
        label.chars().take(MOST - 1).chain(['\u{2026}']).collect()
    }
}

/// A point on the canvas with its interval.
struct Spot {
    x: i32,
    y: i32,
    low: i32,
    high: i32,
    /// Part of a line across the whole plot.
    everywhere: bool,
}

fn spots(line: &Line, y_axis: &Axis, frame: &Frame, (x_scale, y_scale): (&Scale, &Scale)) -> Vec<Spot> {
    let spot = |x: i32, place: &Place, everywhere: bool| {
        let y = |v: f64| frame.y_at(y_scale.at(v));
        let (low, high) = band(&place.y, y_axis);
        Spot { x, y: y(place.y.mean), low: y(low), high: y(high), everywhere }
    };
    let across = |p: &Place| vec![spot(frame.left, p, true), spot(frame.right, p, true)];
    let each = |p: &Place| match p.x {
        Some(x) => vec![spot(frame.x_at(x_scale.at(x.mean)), p, false)],
        None => across(p),
    };
    line.places.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(mean: f64) -> Estimate {
        Estimate { mean, std: Some(0.1), half_width_95: Some(0.05), count: 3 }
    }

    #[test]
    fn wide_positive_values_get_a_logarithmic_axis_with_a_unit() {
        let bytes = Axis { label: "Traffic".into(), base_unit: "B", ..Axis::default() };
        let scale = Scale::of(&bytes, &[1e4, 3e6], true);
        assert!(scale.logarithmic);
        assert_eq!(scale.label(&bytes), "Traffic (MB)");
        assert!((scale.at(1e6) - 0.0).abs() < 1e-12);
        assert!(!Scale::of(&bytes, &[1e6, 3e6], true).logarithmic);
        assert!(!Scale::of(&bytes, &[0.0, 3e6], true).logarithmic);
    }

    #[test]
    fn a_baseline_without_a_place_goes_across() {
        let line = Line { label: "b".into(), places: vec![Place { x: None, y: estimate(0.5) }] };
        let frame = Frame { left: 10, top: 0, right: 90, bottom: 100, x: (0.0, 1.0), y: (0.0, 1.0) };
        let scale = Scale::of(&Axis::default(), &[0.0, 1.0], false);
        let spots = spots(&line, &Axis::default(), &frame, (&scale, &scale));
        assert_eq!(spots.iter().map(|s| s.x).collect::<Vec<_>>(), [10, 90]);
        assert!(spots.iter().all(|s| s.everywhere && s.high < s.y && s.y < s.low));
    }

    #[test]
    fn an_interval_ends_at_the_largest_possible_value() {
        let shares = Axis { most: Some(1.0), ..Axis::default() };
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-12 && (b - d).abs() < 1e-12;
        assert!(near(band(&estimate(0.98), &shares), (0.93, 1.0)));
        assert!(near(band(&estimate(0.98), &Axis::default()), (0.93, 1.03)));
    }

    #[test]
    fn a_plot_of_words_numbers_and_baselines_is_drawn() {
        let place = |x: f64, y: f64| Place { x: Some(estimate(x)), y: estimate(y) };
        let lines = vec![
            Line { label: "one".into(), places: vec![place(0.0, 0.6), place(1.0, 0.7)] },
            Line { label: "base".into(), places: vec![Place { x: None, y: estimate(0.65) }] },
        ];
        let x = Axis { label: "method".into(), base_unit: "", words: vec!["a".into(), "b".into()], most: None };
        let figure = TradeOff { x, y: Axis { label: "Test accuracy".into(), ..Axis::default() }, lines };
        let folder = tempfile::tempdir().unwrap();
        for path in trade_off(&figure, &folder.path().join("plot")).unwrap() {
            assert!(std::fs::metadata(path).unwrap().len() > 1000);
        }
    }
}
