//! Totals of several runs side by side: a small panel of bars for each metric.

use super::axes::Frame;
use super::figure::{
    Align, Canvas, Drawn, FIGURE_WIDTH, Figure, GREY, GRID, INK, LABEL_TEXT, NOTE_TEXT, PALETTE, TICK_TEXT, pt, save,
    short_name,
};
use super::scale::Ticks;
use crate::results::error::ResultsError;
use crate::results::stats::Estimate;
use crate::results::units::significant;
use plotters::prelude::DrawingBackend;
use std::path::{Path, PathBuf};

const ROW_PT: f64 = 13.0;
const COLUMNS: usize = 2;
/// Title above a panel, numbers below it.
const PANEL_EXTRA_PT: f64 = 38.0;
/// The value axis ends this much beyond the longest bar, which leaves room for its number.
const STRETCH: f64 = 1.32;

/// One metric of all runs.
pub(in crate::results) struct Panel {
    /// Name and unit.
    pub title: String,
    /// One a run, in the unit of `title`; `None` where the run has no such number.
    pub values: Vec<Option<Estimate>>,
}

/// Draws the panels to `<base>.svg` and `<base>.png` and returns both paths.
pub(in crate::results) fn totals(runs: &[String], panels: &[Panel], base: &Path) -> Result<[PathBuf; 2], ResultsError> {
    let runs: Vec<String> = runs.iter().map(|name| short_name(name)).collect();
    save(&Totals { runs: &runs, panels }, base)
}

struct Totals<'a> {
    runs: &'a [String],
    panels: &'a [Panel],
}

impl Totals<'_> {
    fn panel_height(&self) -> f64 {
        PANEL_EXTRA_PT + ROW_PT * self.runs.len() as f64
    }

    fn draw_panel<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>, panel: &Panel, frame: Frame, names: bool) -> Drawn {
        canvas.text(&panel.title, (frame.left, frame.top - pt(8.0)), LABEL_TEXT, Align::Left, INK)?;
        let ticks = Ticks::within(frame.x.0, frame.x.1, 4);
        for (value, text) in ticks.values.iter().zip(ticks.labels()) {
            let x = frame.x_at(*value);
            canvas.line(&[(x, frame.top), (x, frame.bottom)], GRID, 0.5)?;
            canvas.text(&text, (x, frame.bottom + pt(7.0)), NOTE_TEXT, Align::Middle, INK)?;
        }
        let half = pt(ROW_PT * 0.35);
        for (row, (run, value)) in self.runs.iter().zip(&panel.values).enumerate() {
            let y = frame.y_at(row as f64);
            if names {
                canvas.text(run, (frame.left - pt(5.0), y), TICK_TEXT, Align::Right, INK)?;
            }
            let Some(e) = value else {
                canvas.text("none", (frame.left + pt(3.0), y), NOTE_TEXT, Align::Left, GREY)?;
                continue;
            };
            let end = frame.x_at(e.mean);
            canvas.rect([(frame.left, y - half), (end.max(frame.left), y + half)], PALETTE[row % PALETTE.len()])?;
            let mut after = end;
            if let Some(h) = e.half_width_95.filter(|&h| h > 0.0) {
                let (from, to) = (frame.x_at((e.mean - h).max(0.0)), frame.x_at(e.mean + h));
                canvas.line(&[(from, y), (to, y)], INK, 0.8)?;
                canvas.line(&[(from, y - half / 2), (from, y + half / 2)], INK, 0.8)?;
                canvas.line(&[(to, y - half / 2), (to, y + half / 2)], INK, 0.8)?;
                after = to;
            }
            canvas.text(&significant(e.mean, 3), (after + pt(3.0), y), NOTE_TEXT, Align::Left, INK)?;
        }
        canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], INK, 0.7)
    }
}

impl Figure for Totals<'_> {
    fn size_pt(&self) -> (f64, f64) {
        (FIGURE_WIDTH, 4.0 + self.panel_height() * self.panels.len().div_ceil(COLUMNS) as f64)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        // Names stand once, left of the first column.
        let names = canvas.widest(self.runs.iter().map(String::as_str), TICK_TEXT)? + pt(14.0);
        let gap = pt(16.0);
        let width = (canvas.width() - names - gap * COLUMNS as i32) / COLUMNS as i32;
        for (k, panel) in self.panels.iter().enumerate() {
            let (row, column) = (k / COLUMNS, k % COLUMNS);
            let left = names + column as i32 * (width + gap);
            let top = pt(8.0 + self.panel_height() * row as f64 + 18.0);
            let ends = panel.values.iter().flatten().map(|e| e.mean + e.half_width_95.unwrap_or(0.0));
            let longest = ends.fold(0.0, f64::max).max(1e-12);
            let bottom = top + pt(ROW_PT * self.runs.len() as f64);
            let y = (self.runs.len() as f64 - 0.5, -0.5);
            let frame = Frame { left, top, right: left + width, bottom, x: (0.0, longest * STRETCH), y };
            self.draw_panel(canvas, panel, frame, column == 0)?;
        }
        Ok(())
    }
}
