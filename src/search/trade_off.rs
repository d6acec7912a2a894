//! The plots that a search asks for: from its trials to lines with confidence bands.

use super::report::cell;
use super::trial::{TrialResult, TrialStatus};
use crate::results::ResultsError;
use crate::results::plots::{Axis, Line, Place, TradeOff, trade_off};
use crate::results::stats::Estimate;
use crate::scenario::{MEASURES, NUMBERS, PlotSpec};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The two numbers of a point, one value a replication each; no `x` where the axis' key is not varied.
#[derive(Default)]
struct Values {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// Draws `plot` over `trials` into `folder`; nothing where no trial has its numbers.
pub(super) fn draw(plot: &PlotSpec, trials: &[TrialResult], folder: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    let by_key = trials.iter().any(|t| t.combination.iter().any(|(key, _)| *key == plot.x));
    let mut words: Vec<String> = vec![];
    let mut lines: Vec<(String, Vec<Values>)> = vec![];
    let mut last = None;
    for trial in trials {
        let TrialStatus::Done(numbers) = &trial.status else { continue };
        let Some(y) = numbers.named(&plot.y) else { continue };
        let at = trial.combination.iter().find(|(key, _)| *key == plot.x);
        // A key whose values are words or maps has its places in the order in which they are tried.
        let place = at.map(|(_, value)| value.as_f64().unwrap_or_else(|| place_of(&mut words, value)));
        let x = if by_key { place } else { numbers.named(&plot.x) };
        if x.is_none() && !by_key {
            continue;
        }
        let name = label(trial, &plot.x, by_key);
        let line = match lines.iter().position(|(known, _)| *known == name) {
            Some(known) => known,
            None => {
                lines.push((name, vec![]));
                lines.len() - 1
            }
        };
        let points = &mut lines[line].1;
        let this = (&trial.variant, &trial.combination);
        if last != Some(this) {
            points.push(Values::default());
            last = Some(this);
        }
        if let Some(values) = points.last_mut() {
            values.y.push(y);
            values.x.extend(x);
        }
    }
    let mut drawn = vec![];
    for (label, points) in lines {
        let mut places = vec![];
        for values in points {
            let Some(y) = Estimate::of(&values.y) else { continue };
            places.push(Place { x: Estimate::of(&values.x), y });
        }
        if by_key {
            places.sort_by(|a, b| a.x.map_or(0.0, |e| e.mean).total_cmp(&b.x.map_or(0.0, |e| e.mean)));
        }
        drawn.push(Line { label, places });
    }
    if drawn.iter().all(|l| l.places.is_empty()) {
        return Ok(vec![]);
    }
    let figure = TradeOff { x: axis(&plot.x, words), y: axis(&plot.y, vec![]), lines: drawn };
    let base = folder.join(format!("{}_vs_{}", file_part(&plot.y), file_part(&plot.x)));
    Ok(trade_off(&figure, &base)?.to_vec())
}

/// The line to which a trial belongs: its variant, and the keys that neither the x axis nor the points of one line vary.
fn label(trial: &TrialResult, x: &str, by_key: bool) -> String {
    let combination = trial.combination.as_slice();
    // Against a number, the last key's values are the points of a line.
    let along = if by_key { None } else { combination.last().map(|(key, _)| key.as_str()) };
    let others = combination.iter().filter(|(key, _)| key != x && Some(key.as_str()) != along);
    let short = |key: &str| key.rsplit('.').next().unwrap_or(key).replace('_', " ");
    // A word explains itself; a number needs its key.
    let words = others.map(|(key, value)| match value {
        Value::String(word) => word.clone(),
        other => format!("{} {}", short(key), cell(other)),
    });
    trial.variant.iter().cloned().chain(words).collect::<Vec<_>>().join(", ")
}

fn place_of(words: &mut Vec<String>, value: &Value) -> f64 {
    let word = cell(value);
    let known = words.iter().position(|w| *w == word);
    known.unwrap_or_else(|| {
        words.push(word);
        words.len() - 1
    }) as f64
}

fn axis(name: &str, words: Vec<String>) -> Axis {
    let known = NUMBERS.iter().chain(MEASURES).find(|(n, _)| *n == name);
    let label = known.map_or_else(|| name.to_owned(), |(_, label)| (*label).to_owned());
    let base_unit = match name {
        _ if known.is_none() => "",
        n if n.ends_with("_seconds") || n.starts_with("seconds_") => "s",
        n if n.ends_with("_bytes") => "B",
        n if n.ends_with("_joules") => "J",
        _ => "",
    };
    // R squared, which a regression has in place of accuracy, is at most 1 too, but may be negative.
    let share = known.is_some() && (name.ends_with("_accuracy") || name.ends_with("_share"));
    Axis { label, base_unit, words, most: share.then_some(1.0) }
}

/// A key as part of a file's name.
fn file_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}
