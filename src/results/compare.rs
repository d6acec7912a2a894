//! Several runs side by side: one accuracy plot, bars of the totals, a table of differences.

use super::error::ResultsError;
use super::files;
use super::folder::RunFolder;
use super::plots::{self, Curve, Panel, Unit};
use super::stats::Estimate;
use super::summary::Summary;
use super::units::Quantity;
use std::path::{Path, PathBuf};

/// What [`compare`] found and wrote.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Runs as they are called in the plots and the table, in the order given.
    pub labels: Vec<String>,
    /// The table of differences, also in `comparison.txt`.
    pub table: String,
    pub written: Vec<PathBuf>,
}

/// Compares runs, the first being the reference: writes `accuracy_vs_time` (where any run was trained) and `totals`,
/// each as SVG and PNG, and `comparison.txt` into `out`.
///
/// # Errors
/// [`ResultsError::TooFewRuns`] for fewer than two runs, those of [`RunFolder::load`] and of writing.
pub fn compare(runs: &[RunFolder], out: &Path) -> Result<Comparison, ResultsError> {
    if runs.len() < 2 {
        return Err(ResultsError::TooFewRuns { found: runs.len() });
    }
    let labels = labels(runs)?;
    let records = runs.iter().map(RunFolder::load).collect::<Result<Vec<_>, _>>()?;
    let summaries: Vec<Summary> = records.iter().map(Summary::of).collect();
    std::fs::create_dir_all(out).map_err(ResultsError::write(out))?;

    let mut written = Vec::new();
    let named = records.iter().zip(&labels);
    let curves: Vec<Curve> = named.filter_map(|(r, label)| Curve::accuracy(r, Some(label.clone()))).collect();
    if !curves.is_empty() {
        written.extend(plots::accuracy_vs_time(&curves, &out.join("accuracy_vs_time"))?);
    }
    written.extend(plots::totals(&labels, &panels(&summaries), &out.join("totals"))?);
    let table = difference_table(&labels, &summaries);
    let path = out.join("comparison.txt");
    files::write_whole(&path, |file| file.write_all(table.as_bytes()))?;
    written.push(path);
    Ok(Comparison { labels, table, written })
}

/// Scenario names, with the id behind those that occur more than once.
fn labels(runs: &[RunFolder]) -> Result<Vec<String>, ResultsError> {
    let manifests = runs.iter().map(RunFolder::manifest).collect::<Result<Vec<_>, _>>()?;
    let label = |m: &super::Manifest| match manifests.iter().filter(|o| o.scenario == m.scenario).count() {
        1 => m.scenario.clone(),
        _ => format!("{} {}", m.scenario, &m.id[..m.id.len().min(6)]),
    };
    Ok(manifests.iter().map(label).collect())
}

fn panels(summaries: &[Summary]) -> Vec<Panel> {
    let panel = |name: &str, value: fn(&Summary) -> Option<Estimate>, unit: fn(f64) -> Unit| {
        let values: Vec<Option<Estimate>> = summaries.iter().map(value).collect();
        let Unit { name: unit, size } = unit(values.iter().flatten().map(|e| e.mean).fold(0.0, f64::max));
        let scale = |e: Estimate| Estimate {
            mean: e.mean / size,
            std: e.std.map(|s| s / size),
            half_width_95: e.half_width_95.map(|h| h / size),
            count: e.count,
        };
        Panel { title: format!("{name} ({unit})"), values: values.into_iter().map(|v| v.map(scale)).collect() }
    };
    vec![
        panel("Simulated time", |s| s.simulated_seconds, plots::time_unit),
        panel("Sent up", |s| s.uplink_bytes, |v| plots::prefixed_unit(v, "B")),
        panel("Device energy", |s| s.device_joules, |v| plots::prefixed_unit(v, "J")),
        panel("Sent down", |s| s.downlink_bytes, |v| plots::prefixed_unit(v, "B")),
    ]
}

/// One line a metric: every run's estimate, and for all but the first the change against the first. A star marks a
/// change whose 95% confidence intervals do not overlap.
fn difference_table(labels: &[String], summaries: &[Summary]) -> String {
    let mut rows: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(labels.iter().cloned()).collect()];
    for (i, metric) in summaries[0].metrics().iter().enumerate() {
        rows.extend(difference_row(metric.name, summaries, metric.quantity, |s| s.metrics()[i].estimate));
    }
    for target in summaries[0].time_to_accuracy_s.keys() {
        let name = format!("time to accuracy {target}");
        rows.extend(difference_row(&name, summaries, Quantity::Seconds, |s| s.time_to_accuracy_s[target]));
    }
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=labels.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, w) in row.iter().zip(&widths).skip(1) {
            line += &format!("   {cell:>w$}");
        }
        text += line.trim_end();
        text.push('\n');
    }
    let several = summaries.iter().filter(|s| s.replications > 1).count() > 1;
    text += &format!("Changes are against {}.", labels[0]);
    if several {
        text += " *: the 95% confidence intervals do not overlap. (k of n): reached by k replications only.";
    }
    text.push('\n');
    text
}

/// `None` for a metric that no run has. Where only some replications have it (they reached an accuracy), their number
/// stands in place of the change: they are the fast ones, and comparing them would mislead.
fn difference_row(
    name: &str,
    summaries: &[Summary],
    quantity: Quantity,
    value: impl Fn(&Summary) -> Option<Estimate>,
) -> Option<Vec<String>> {
    let estimates: Vec<Option<Estimate>> = summaries.iter().map(value).collect();
    let complete = |i: usize| estimates[i].filter(|e| e.count == summaries[i].replications);
    let cell = |i: usize| {
        let Some(e) = estimates[i] else { return "-".to_owned() };
        let own = quantity.show_with_half_width(e.mean, e.half_width_95);
        let note = match (complete(0).filter(|first| i > 0 && first.mean != 0.0), complete(i)) {
            (_, None) => format!("({} of {})", e.count, summaries[i].replications),
            (Some(first), Some(other)) => change(&first, &other),
            (None, _) => String::new(),
        };
        // The reference column has no changes, so it takes no room for them.
        if i == 0 && note.is_empty() { own } else { format!("{own} {note:>10}") }
    };
    estimates.iter().any(Option::is_some).then(|| {
        let cells = (0..summaries.len()).map(cell);
        std::iter::once(name.to_owned()).chain(cells).collect()
    })
}

fn change(first: &Estimate, other: &Estimate) -> String {
    let percent = 100.0 * (other.mean - first.mean) / first.mean.abs();
    let apart =
        first.half_width_95.zip(other.half_width_95).is_some_and(|(a, b)| (other.mean - first.mean).abs() > a + b);
    format!("({percent:+.1}%){}", if apart { "*" } else { " " })
}
