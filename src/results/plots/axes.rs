//! A rectangle of the canvas with a linear coordinate system, its ticks, grid and labels.

use super::figure::{Align, Canvas, Drawn, GRID, INK, LABEL_TEXT, TICK_TEXT, pt};
use super::scale::Ticks;
use plotters::prelude::DrawingBackend;

/// Space below a frame for tick labels and the axis label, and right of it.
pub(super) const BELOW: f64 = 31.0;
pub(super) const RIGHT: f64 = 12.0;

/// The data area: pixel edges and the values at them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Frame {
    /// The frame from `top` (below the legend) to the bottom of the canvas, with room for the labels around it.
    pub fn below<B: DrawingBackend>(
        canvas: &Canvas<'_, B>,
        top: i32,
        x: (f64, f64),
        y: (f64, f64),
        y_ticks: &Ticks,
    ) -> Drawn<Self> {
        let labels = y_ticks.labels();
        let left = pt(5.0 + LABEL_TEXT + 10.0) + canvas.widest(labels.iter().map(String::as_str), TICK_TEXT)?;
        let (right, bottom) = (canvas.width() - pt(RIGHT), canvas.height() - pt(BELOW));
        Ok(Self { left, top, right, bottom, x, y })
    }

    pub fn x_at(&self, value: f64) -> i32 {
        let share = (value - self.x.0) / (self.x.1 - self.x.0);
        self.left + (share * f64::from(self.right - self.left)).round() as i32
    }

    pub fn y_at(&self, value: f64) -> i32 {
        let share = (value - self.y.0) / (self.y.1 - self.y.0);
        self.bottom - (share * f64::from(self.bottom - self.top)).round() as i32
    }

    pub fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (self.x_at(x), self.y_at(y))
    }

    /// Horizontal grid lines with numbers, and the label of the vertical axis.
    pub fn y_axis<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>, ticks: &Ticks, label: &str) -> Drawn {
        for (value, text) in ticks.values.iter().zip(ticks.labels()) {
            let y = self.y_at(*value);
            canvas.line(&[(self.left, y), (self.right, y)], GRID, 0.5)?;
            canvas.line(&[(self.left - pt(3.0), y), (self.left, y)], INK, 0.6)?;
            canvas.text(&text, (self.left - pt(5.0), y), TICK_TEXT, Align::Right, INK)?;
        }
        let middle = (self.top + self.bottom) / 2;
        canvas.upward_text(label, (pt(5.0 + LABEL_TEXT / 2.0), middle), LABEL_TEXT, INK)
    }

    /// Tick marks with numbers below the frame (`grid`: and vertical lines), and the label of the horizontal axis.
    pub fn x_axis<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>, ticks: &Ticks, label: &str, grid: bool) -> Drawn {
        for (value, text) in ticks.values.iter().zip(ticks.labels()) {
            let x = self.x_at(*value);
            if grid {
                canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 0.5)?;
            }
            canvas.line(&[(x, self.bottom), (x, self.bottom + pt(3.0))], INK, 0.6)?;
            canvas.text(&text, (x, self.bottom + pt(9.5)), TICK_TEXT, Align::Middle, INK)?;
        }
        canvas.text(label, ((self.left + self.right) / 2, self.bottom + pt(22.0)), LABEL_TEXT, Align::Middle, INK)
    }

    /// The left and lower edge, drawn last so that data does not cover them.
    pub fn edges<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        canvas.line(&[(self.left, self.top), (self.left, self.bottom)], INK, 0.7)?;
        canvas.line(&[(self.left, self.bottom), (self.right, self.bottom)], INK, 0.7)
    }
}
