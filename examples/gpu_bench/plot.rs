//! The tables of `scripts/gpu_check.sh` as plots: products and attention of each model, and training, beside torch where it was
//! there.

use deft::results::plots::{Axis, Line, Place, TradeOff, trade_off};
use deft::results::stats::Estimate;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
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
    let (ceilings, kernels): (Vec<_>, Vec<_>) = kernels.into_iter().partition(|(_, row)| row.model == "ceiling");
    let models: BTreeSet<String> = kernels.iter().map(|(_, row)| row.model.clone()).collect();
    let mut drawn = vec![];
    for model in models {
        let points = kernels.iter().filter(|(_, row)| row.model == model);
        let points = points.map(|(who, row)| (label(who, row), place(row), row.tflop_per_second));
        let mut figure = compared(points.collect(), &model, "TFLOP/s");
        // The best that a product of whoever it is reaches on this card.
        let products = ceilings.iter().filter(|(_, row)| row.what == "product");
        figure.lines.extend(products.map(|(who, row)| Line {
            label: format!("{who} {}", row.shape),
            places: vec![Place { x: None, y: Estimate::of(&[row.tflop_per_second]).expect("one value") }],
        }));
        drawn.extend(trade_off(&figure, &folder.join(format!("kernels_{model}")))?);
    }
    drawn.extend(draw_ways(folder)?);
    if !training.is_empty() {
        let points =
            training.iter().map(|(who, row)| (label(who, row), row.model.clone(), row.tokens_per_second / 1e3));
        let figure = compared(points.collect(), "training with LoRA", "1000 tokens/s");
        drawn.extend(trade_off(&figure, &folder.join("training"))?);
    }
    Ok(drawn)
}

/// The ways of large products beside each other, a figure for each model and kind of product.
fn draw_ways(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let path = folder.join("ways.csv");
    if !path.exists() {
        return Ok(vec![]);
    }
    let mut figures: BTreeMap<(String, String), Vec<Point>> = BTreeMap::new();
    for row in csv::Reader::from_path(path)?.deserialize() {
        let row: Row = row?;
        let (kind, way) = row.what.split_once(" by ").ok_or("a product without its way")?;
        let (_, layer) = row.shape.split_once('x').ok_or("a shape without inputs")?;
        let point = (way.to_owned(), layer.to_owned(), row.tflop_per_second);
        figures.entry((row.model.clone(), kind.to_owned())).or_default().push(point);
    }
    let mut drawn = vec![];
    for ((model, kind), points) in figures {
        let figure = compared(points, &format!("{model}, {kind}"), "TFLOP/s");
        drawn.extend(trade_off(&figure, &folder.join(format!("ways_{model}_{}", kind.to_lowercase())))?);
    }
    Ok(drawn)
}

/// Whose figure it is, and what of: `torch compiled`, `deft with LoRA`.
fn label(who: &str, row: &Row) -> String {
    match (row.what.strip_prefix("training, "), row.what.contains("LoRA")) {
        (Some(how), _) => format!("{who} {how}"),
        (None, true) => format!("{who} with LoRA"),
        (None, false) => who.to_owned(),
    }
}

/// Inputs and outputs of a product, or what it is.
fn place(row: &Row) -> String {
    let dimensions: Vec<&str> = row.shape.split('x').collect();
    match dimensions.as_slice() {
        [_, inputs, outputs] if row.what.starts_with("product") => format!("{inputs}x{outputs}"),
        _ => row.what.clone(),
    }
}

/// A line's label, the place along x, and the value.
type Point = (String, String, f64);

fn compared(points: Vec<Point>, of: &str, unit: &str) -> TradeOff {
    let (mut words, mut lines): (Vec<String>, Vec<Line>) = (vec![], vec![]);
    for (label, word, value) in points {
        let at = words.iter().position(|w| *w == word).unwrap_or_else(|| {
            words.push(word);
            words.len() - 1
        });
        let place = Place { x: Estimate::of(&[at as f64]), y: Estimate::of(&[value]).expect("one value") };
        match lines.iter_mut().find(|l| l.label == label) {
            Some(line) => line.places.push(place),
            None => lines.push(Line { label, places: vec![place] }),
        }
    }
    let axis = |label: &str, words| Axis { label: label.to_owned(), base_unit: "", words, most: None };
    TradeOff { x: axis(of, words), y: axis(unit, vec![]), lines }
}
