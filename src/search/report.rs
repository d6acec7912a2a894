//! What a search found: one row a trial, one a combination, and the Pareto front.

use super::space::Combination;
use super::trade_off;
use super::trial::{Numbers, TrialResult, TrialStatus};
use crate::results::plots::{ParetoOptions, ParetoPoint, pareto, pareto_front};
use crate::results::{ResultsError, stats, write_whole};
use crate::scenario::{PlotSpec, SearchSpec};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One combination over its replications.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub variant: Option<String>,
    pub combination: Combination,
    pub replications: usize,
    pub failed: usize,
    /// Mean; `None` unless every replication reached the target.
    pub seconds_to_target: Option<f64>,
    pub final_accuracy: Option<f64>,
    /// Mean; `None` if all replications failed.
    pub simulated_seconds: Option<f64>,
    /// Whether no other combination is both faster to the target and more accurate in the end.
    pub on_front: bool,
}

/// The outcome of a search.
pub struct Report {
    target_accuracy: f64,
    has_variants: bool,
    /// Every key that is searched by some variant.
    keys: Vec<String>,
    plots: Vec<PlotSpec>,
    pub trials: Vec<TrialResult>,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn new(spec: &SearchSpec, trials: Vec<TrialResult>) -> Self {
        let mut findings: Vec<Finding> = vec![];
        let mut rest = trials.as_slice();
        // Replications of one combination stand side by side.
        while let Some(first) = rest.first() {
            let same = |t: &&TrialResult| t.variant == first.variant && t.combination == first.combination;
            let n = rest.iter().take_while(same).count();
            findings.push(Finding::of(&rest[..n]));
            rest = &rest[n..];
        }
        let reached: Vec<usize> = (0..findings.len()).filter(|&i| findings[i].point().is_some()).collect();
        let points: Vec<ParetoPoint> = reached.iter().filter_map(|&i| findings[i].point()).collect();
        for i in pareto_front(&points) {
            findings[reached[i]].on_front = true;
        }
        let spaces = spec.variants.iter().map(|v| &v.space).chain([&spec.space]);
        let keys: BTreeSet<String> = spaces.flat_map(|s| s.keys().cloned()).collect();
        Self {
            target_accuracy: spec.objective.target_accuracy,
            has_variants: !spec.variants.is_empty(),
            keys: keys.into_iter().collect(),
            plots: spec.plots.clone(),
            trials,
            findings,
        }
    }

    /// Trials that failed, with their causes.
    pub fn failures(&self) -> impl Iterator<Item = (&TrialResult, &str)> {
        self.trials.iter().filter_map(|t| match &t.status {
            TrialStatus::Failed { cause } => Some((t, cause.as_str())),
            TrialStatus::Done(_) => None,
        })
    }

    /// Writes `trials.csv`, `combinations.csv`, `measures.csv` where there are any, the plot of the front and the plots
    /// that the search asks for into `folder`.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, ResultsError> {
        let files = [folder.join("trials.csv"), folder.join("combinations.csv")];
        write_whole(&files[0], |out| self.write_trials(out))?;
        write_whole(&files[1], |out| self.write_combinations(out))?;
        let mut written = files.to_vec();
        if self.done().any(|(_, n)| !n.measures.is_empty()) {
            let measures = folder.join("measures.csv");
            write_whole(&measures, |out| self.write_measures(out))?;
            written.push(measures);
        }
        let points: Vec<ParetoPoint> = self.findings.iter().filter_map(Finding::point).collect();
        let options = ParetoOptions {
            time_label: format!("Simulated time to accuracy {:.2}", self.target_accuracy),
            category_label: if self.has_variants { None } else { self.keys.first().cloned() }.unwrap_or_default(),
        };
        written.extend(pareto(&points, &options, &folder.join("pareto"))?.into_iter().flatten());
        for plot in &self.plots {
            written.extend(trade_off::draw(plot, &self.trials, folder)?);
        }
        Ok(written)
    }

    fn done(&self) -> impl Iterator<Item = (&TrialResult, &Numbers)> {
        self.trials.iter().filter_map(|t| match &t.status {
            TrialStatus::Done(n) => Some((t, n)),
            TrialStatus::Failed { .. } => None,
        })
    }

    /// The columns that say what was tried.
    fn tried_columns(&self) -> impl Iterator<Item = &str> {
        self.has_variants.then_some("variant").into_iter().chain(self.keys.iter().map(String::as_str))
    }

    /// What was tried, column by column; keys that the variant does not search are empty.
    fn tried(&self, variant: Option<&String>, combination: &Combination) -> Vec<String> {
        let value = |key: &String| {
            combination.iter().find(|(k, _)| k == key).map_or_else(String::new, |(_, value)| cell(value))
        };
        self.has_variants
            .then(|| variant.cloned().unwrap_or_default())
            .into_iter()
            .chain(self.keys.iter().map(value))
            .collect()
    }

    fn write_measures(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.tried_columns().chain(["replication", "measure", "value"]))?;
        for (trial, numbers) in self.done() {
            for (name, value) in &numbers.measures {
                let mut row = self.tried(trial.variant.as_ref(), &trial.combination);
                row.extend([trial.replication.to_string(), name.clone(), value.to_string()]);
                csv.write_record(row)?;
            }
        }
        csv.flush()
    }

    fn write_trials(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let columns = "replication,status,simulated_seconds,seconds_to_target,final_accuracy,uplink_bytes,downlink_bytes,\
                       device_joules,edge_joules,cost_usd,peak_device_memory_bytes,events,digest";
        csv.write_record(self.tried_columns().chain(columns.split(',')))?;
        for t in &self.trials {
            let mut row = self.tried(t.variant.as_ref(), &t.combination);
            row.push(t.replication.to_string());
            match &t.status {
                TrialStatus::Failed { cause } => {
                    row.push(format!("failed: {cause}"));
                    row.resize(self.tried_columns().count() + columns.split(',').count(), String::new());
                }
                TrialStatus::Done(n) => {
                    row.push("done".to_owned());
                    row.extend(number_cells(n));
                }
            }
            csv.write_record(row)?;
        }
        csv.flush()
    }

    fn write_combinations(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let columns =
            ["replications", "failed", "seconds_to_target", "final_accuracy", "simulated_seconds", "on_front"];
        csv.write_record(self.tried_columns().chain(columns))?;
        for f in &self.findings {
            let mut row = self.tried(f.variant.as_ref(), &f.combination);
            row.extend([f.replications.to_string(), f.failed.to_string()]);
            row.extend([optional(f.seconds_to_target), optional(f.final_accuracy)]);
            row.extend([optional(f.simulated_seconds), f.on_front.to_string()]);
            csv.write_record(row)?;
        }
        csv.flush()
    }

    /// The best as text: the front, fastest first, or all combinations by time where nothing was trained.
    pub fn print_best(&self, out: &mut impl Write) -> std::io::Result<()> {
        if self.findings.iter().any(|f| f.final_accuracy.is_some()) {
            return self.print_front(out);
        }
        let mut by_time: Vec<&Finding> = self.findings.iter().collect();
        by_time.sort_by(|a, b| {
            a.simulated_seconds.unwrap_or(f64::MAX).total_cmp(&b.simulated_seconds.unwrap_or(f64::MAX))
        });
        writeln!(out, "Combinations by simulated time, mean over replications (nothing was trained)")?;
        writeln!(out, "{:>12}  combination", "time (s)")?;
        for f in by_time {
            writeln!(out, "{:>12.3}  {}", f.simulated_seconds.unwrap_or(f64::NAN), f.describe())?;
        }
        Ok(())
    }

    fn print_front(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut front: Vec<&Finding> = self.findings.iter().filter(|f| f.on_front).collect();
        front.sort_by(|a, b| {
            a.seconds_to_target.unwrap_or(f64::MAX).total_cmp(&b.seconds_to_target.unwrap_or(f64::MAX))
        });
        if front.is_empty() {
            return writeln!(
                out,
                "No combination reached accuracy {} in all of its replications; lower search.objective.target_accuracy \
                 or allow more rounds.",
                self.target_accuracy
            );
        }
        writeln!(out, "Pareto front: simulated time to accuracy {} against final accuracy", self.target_accuracy)?;
        writeln!(out, "{:>12}  {:>9}  combination", "time (s)", "accuracy")?;
        for f in front {
            let (seconds, accuracy) = (f.seconds_to_target.unwrap_or(f64::NAN), f.final_accuracy.unwrap_or(f64::NAN));
            writeln!(out, "{seconds:>12.3}  {accuracy:>9.4}  {}", f.describe())?;
        }
        Ok(())
    }
}

impl Finding {
    fn of(trials: &[TrialResult]) -> Self {
        let done: Vec<&Numbers> = trials
            .iter()
            .filter_map(|t| match &t.status {
                TrialStatus::Done(n) => Some(n),
                TrialStatus::Failed { .. } => None,
            })
            .collect();
        let all = |of: fn(&Numbers) -> Option<f64>| {
            let values: Vec<f64> = done.iter().filter_map(|n| of(n)).collect();
            stats::mean(&values).filter(|_| values.len() == trials.len())
        };
        Self {
            variant: trials[0].variant.clone(),
            combination: trials[0].combination.clone(),
            replications: trials.len(),
            failed: trials.len() - done.len(),
            seconds_to_target: all(|n| n.seconds_to_target),
            final_accuracy: all(|n| n.final_accuracy),
            simulated_seconds: stats::mean(&done.iter().map(|n| n.simulated_seconds).collect::<Vec<_>>()),
            on_front: false,
        }
    }

    /// Its place in the plot; `None` unless every replication reached the target.
    fn point(&self) -> Option<ParetoPoint> {
        // The variant gives the colour, or else the first key.
        let first = self.combination.first().map_or_else(String::new, |(_, value)| cell(value));
        let (category, rest) = match &self.variant {
            Some(name) => (name.clone(), self.combination.as_slice()),
            None => (first, self.combination.get(1..).unwrap_or_default()),
        };
        Some(ParetoPoint {
            label: rest.iter().map(|(_, v)| cell(v)).collect::<Vec<_>>().join(", "),
            seconds: self.seconds_to_target?,
            accuracy: self.final_accuracy?,
            category,
        })
    }
}

impl Finding {
    fn describe(&self) -> String {
        let keys = self.combination.iter().map(|(key, value)| format!("{key}={}", cell(value)));
        self.variant.iter().cloned().chain(keys).collect::<Vec<_>>().join("  ")
    }
}

fn number_cells(n: &Numbers) -> Vec<String> {
    vec![
        n.simulated_seconds.to_string(),
        optional(n.seconds_to_target),
        optional(n.final_accuracy),
        n.uplink_bytes.to_string(),
        n.downlink_bytes.to_string(),
        n.device_joules.to_string(),
        n.edge_joules.to_string(),
        n.cost_usd.to_string(),
        n.peak_device_memory_bytes.to_string(),
        n.events.to_string(),
        format!("{:016x}", n.digest),
    ]
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

/// A value as people write it; of a map such as an aggregation, the words that set it apart.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| if v.is_string() { cell(v) } else { format!("{k}={}", cell(v)) })
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}
