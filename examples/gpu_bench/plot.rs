//! The tables of `scripts/gpu_check.sh` as plots: products and attention of each model, and training, beside torch where it was
//! there.

use deft::results::plots::{Axis, Line, Place, TradeOff, trade_off};
use deft::results::stats::Estimate;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Deserialize)]
struct Row {
    what: String,
    model: String,
    shape: String,
    tflop_per_second: f64,
    tokens_per_second: f64,
}

/// Whose figures a table has, and what they are called.
const TABLES: [(&str, &str); 3] = [("kernels.csv", "deft"), ("training.csv", "deft"), ("torch.csv", "torch")];

/// Draws what the tables of `folder` hold, as SVG and PNG beside them.
///
/// # Errors
/// If a table cannot be read or a plot not be written.
pub fn draw(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut rows: Vec<(&str, Row)> = vec![];
    for (file, who) in TABLES {
        let path = folder.join(file);
        if path.exists() {
            for row in csv::Reader::from_path(path)?.deserialize() {
                rows.push((who, row?));
            }
        }
    }
    let (training, kernels): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, row)| row.what.starts_with("training"));
    let models: BTreeSet<String> = kernels.iter().map(|(_, row)| row.model.clone()).collect();
    let mut drawn = vec![];
    for model in models {
        let of_model: Vec<_> = kernels.iter().filter(|(_, row)| row.model == model).cloned().collect();
        let figure = compared(&of_model, &model, "TFLOP/s", |row| (place(row), row.tflop_per_second));
        drawn.extend(trade_off(&figure, &folder.join(format!("kernels_{model}")))?);
    }
    if !training.is_empty() {
        let name = |row: &Row| match row.what.strip_prefix("training, ") {
            Some(how) => format!("{} {how}", row.model),
            None => row.model.clone(),
        };
        let figure = compared(&training, "training with LoRA", "tokens/s", |row| (name(row), row.tokens_per_second));
        drawn.extend(trade_off(&figure, &folder.join("training"))?);
    }
    Ok(drawn)
}

/// Inputs and outputs of a product; `LoRA` where it has one.
fn place(row: &Row) -> String {
    let dimensions: Vec<&str> = row.shape.split('x').collect();
    match (row.what.as_str(), dimensions.as_slice()) {
        ("product", [_, inputs, outputs]) => format!("{inputs}x{outputs}"),
        (what, [_, inputs, outputs]) if what.starts_with("product") => format!("{inputs}x{outputs} LoRA"),
        (what, _) => what.to_owned(),
    }
}

fn compared(rows: &[(&str, Row)], of: &str, unit: &str, figure: impl Fn(&Row) -> (String, f64)) -> TradeOff {
    let mut words: Vec<String> = vec![];
    for (_, row) in rows {
        let (word, _) = figure(row);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let mut lines: Vec<Line> = vec![];
    for (who, row) in rows {
        let (word, value) = figure(row);
        let at = words.iter().position(|w| *w == word).expect("just collected");
        let place = Place { x: Estimate::of(&[at as f64]), y: Estimate::of(&[value]).expect("one value") };
        match lines.iter_mut().find(|l| l.label == *who) {
            Some(line) => line.places.push(place),
            None => lines.push(Line { label: (*who).to_owned(), places: vec![place] }),
        }
    }
    let axis = |label: String, words| Axis { label, base_unit: "", words };
    TradeOff { x: axis(of.to_owned(), words), y: axis(unit.to_owned(), vec![]), lines }
}
