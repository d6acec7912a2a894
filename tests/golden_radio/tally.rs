//! Counting what was checked, and reading the reference files.

use serde_json::Value;
use std::collections::BTreeMap;

/// Rows checked and the largest deviation, as a fraction of what is allowed: at most 1.
#[derive(Default)]
pub struct Tally {
    pub rows: usize,
    pub skipped: usize,
    pub worst: f64,
}

impl Tally {
    pub fn check(&mut self, what: &str, got: f64, expected: f64, tolerance: f64) {
        let used = (got - expected).abs() / tolerance;
        assert!(used <= 1.0, "{what}: {got}, expected {expected} within {tolerance}");
        self.rows += 1;
        self.worst = self.worst.max(used);
    }

    pub fn exact(&mut self, what: &str, got: f64, expected: f64) {
        assert_eq!(got, expected, "{what}");
        self.rows += 1;
    }

    /// A closed form: 1e-9 relative.
    pub fn closed(&mut self, what: &str, got: f64, expected: f64) {
        self.check(what, got, expected, 1e-9 * expected.abs().max(1e-300));
    }

    /// An own simulation: within four standard errors, or to rounding where all samples are one.
    pub fn simulated(&mut self, what: &str, samples: impl Iterator<Item = f64>, expected: f64) {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for x in samples {
            (n, sum, squares) = (n + 1.0, sum + x, squares + x * x);
        }
        let mean: f64 = sum / n;
        let variance: f64 = squares / n - mean * mean;
        let rounding = (1e-9 * expected.abs()).max(1e-300);
        self.check(what, mean, expected, (4.0 * (variance.max(0.0) / n).sqrt()).max(rounding));
    }
}

pub type Row = BTreeMap<String, String>;

pub fn csv_rows(text: &str) -> Vec<Row> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

pub fn get(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

pub fn json_items(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

pub fn field(item: &Value, name: &str) -> f64 {
    let value = &item[name];
    value.as_f64().or_else(|| value["value"].as_f64()).unwrap_or_else(|| panic!("no {name} in {item}"))
}

pub fn list(item: &Value, name: &str) -> Vec<f64> {
    item[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}
