//! Plots for papers: each as SVG and PNG, in a font that ships with the program.
//!
//! A plot is a [`Figure`](figure::Figure) that draws itself once for both formats. `figure` holds what all plots
//! share (font, palette, legend), `axes` the coordinate system; the other files are one plot each.

mod axes;
mod curves;
mod devices;
mod figure;
mod latency;
mod pareto;
mod scale;
mod totals;
mod trade_off;

pub use curves::{Curve, accuracy_vs_time};
pub use pareto::{ParetoOptions, ParetoPoint, pareto, pareto_front};
pub(super) use scale::{Unit, prefixed_unit, time_unit};
pub(super) use totals::{Panel, totals};
pub use trade_off::{Axis, Line, Place, TradeOff, trade_off};

use super::error::ResultsError;
use crate::experiment::Record;
use figure::save;
use std::path::{Path, PathBuf};

/// Draws every plot that `record` has numbers for into `folder` and returns the files written.
///
/// `latency_breakdown` needs a round, `device_time` a device; `accuracy_vs_time` and `loss_vs_time` need training.
///
/// # Errors
/// [`ResultsError::Write`] or [`ResultsError::Plot`] naming the file.
pub fn draw_all(record: &Record, folder: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    std::fs::create_dir_all(folder).map_err(ResultsError::write(folder))?;
    let mut written = Vec::new();
    if let Some(curve) = Curve::accuracy(record, None) {
        written.extend(accuracy_vs_time(&[curve], &folder.join("accuracy_vs_time"))?);
    }
    if let Some(figure) = curves::loss_figure(record) {
        written.extend(save(&figure, &folder.join("loss_vs_time"))?);
    }
    if let Some(figure) = latency::LatencyBreakdown::of(record) {
        written.extend(save(&figure, &folder.join("latency_breakdown"))?);
    }
    if let Some(figure) = devices::DeviceTime::of(record) {
        written.extend(save(&figure, &folder.join("device_time"))?);
    }
    Ok(written)
}
