//! The table that a run prints: one line a round, then totals.

use super::latency::LatencyParts;
use super::stats::{Estimate, mean};
use super::summary::{Metric, Summary};
use super::units::{self, Quantity};
use crate::experiment::{Outcome, Record, ReplicationRecord, RoundRecord};
use std::io::{self, Write};
use std::path::Path;

/// Runs with more rounds than this show every n-th only.
const MOST_ROWS: usize = 24;

/// Heads of the columns and what stands below them.
const HEAD: [[&str; 2]; 13] = [
    ["round", ""],
    ["ends at", "s"],
    ["device", "s"],
    ["uplink", "s"],
    ["edge", "s"],
    ["downlink", "s"],
    ["waiting", "s"],
    ["sent up", ""],
    ["sent down", ""],
    ["energy", "device"],
    ["memory", "peak"],
    ["loss", "train"],
    ["accuracy", "test"],
];

/// Prints the rounds and the totals of `record` as plain text of at most 120 columns, and where its files lie.
///
/// With several replications a round's numbers are means over those that played it; accuracy and totals carry the
/// half-width of their 95% confidence interval.
///
/// # Errors
/// Those of `out`.
pub fn print_table(record: &Record, results: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    let rounds = rounds_of(record);
    let shown = rounds_shown(&rounds);
    if !rounds.is_empty() {
        let means: Vec<RoundMeans> = shown.iter().map(|&i| RoundMeans::of(&rounds[i])).collect();
        out.write_all(align_right(&columns(&means)).as_bytes())?;
        if shown.len() < rounds.len() {
            writeln!(out, "{} of {} rounds; rounds.csv has them all.", shown.len(), rounds.len())?;
        }
        writeln!(out)?;
    }
    print_totals(&Summary::of(record), out)?;
    writeln!(out, "{}", outcomes(record))?;
    if let Some(path) = results {
        writeln!(out, "Results: {}", path.display())?;
    }
    Ok(())
}

/// The records of each round, one a replication that played it.
fn rounds_of(record: &Record) -> Vec<Vec<&RoundRecord>> {
    let count = record.replications.iter().map(|r| r.rounds.len()).max().unwrap_or(0);
    (0..count).map(|i| record.replications.iter().filter_map(|r| r.rounds.get(i)).collect()).collect()
}

/// Indices of the rounds to show: all of a short run; of a long one the first, every n-th and the last. Where there is
/// training the n-th of the evaluated rounds are taken, so that the accuracy column is never empty.
fn rounds_shown(rounds: &[Vec<&RoundRecord>]) -> Vec<usize> {
    let Some(last) = rounds.len().checked_sub(1) else { return Vec::new() };
    if rounds.len() <= MOST_ROWS {
        return (0..=last).collect();
    }
    let evaluated: Vec<usize> = (0..=last).filter(|&i| rounds[i].iter().any(|r| r.accuracy.is_some())).collect();
    let candidates = if evaluated.len() > 2 { evaluated } else { (0..=last).collect() };
    let step = candidates.len().div_ceil(MOST_ROWS - 2);
    let mut shown = vec![0];
    shown.extend(candidates.into_iter().skip(step - 1).step_by(step));
    shown.push(last);
    shown.dedup();
    shown
}

/// Means over the replications that played a round.
struct RoundMeans {
    round: usize,
    /// End of the round, then the five latency parts, in seconds.
    seconds: [f64; 6],
    uplink_bytes: f64,
    downlink_bytes: f64,
    device_joules: f64,
    peak_device_memory_bytes: f64,
    train_loss: Option<Estimate>,
    accuracy: Option<Estimate>,
}

impl RoundMeans {
    fn of(round: &[&RoundRecord]) -> Self {
        let over = |value: &dyn Fn(&RoundRecord) -> f64| {
            mean(&round.iter().map(|r| value(r)).collect::<Vec<_>>()).unwrap_or_default()
        };
        let known = |value: fn(&RoundRecord) -> Option<f64>| {
            Estimate::of(&round.iter().filter_map(|r| value(r)).collect::<Vec<_>>())
        };
        let part = |i: usize| over(&|r| LatencyParts::of_round(r).0[i]);
        Self {
            round: round.first().map_or(0, |r| r.round),
            seconds: [over(&|r| r.end_s), part(0), part(1), part(2), part(3), part(4)],
            uplink_bytes: over(&|r| r.uplink_bytes as f64).round(),
            downlink_bytes: over(&|r| r.downlink_bytes as f64).round(),
            device_joules: over(&|r| r.device_joules),
            peak_device_memory_bytes: over(&|r| r.peak_device_memory_bytes as f64).round(),
            train_loss: known(|r| r.train_loss),
            accuracy: known(|r| r.accuracy),
        }
    }
}

/// What a column shows of a round; `None` where nothing was measured.
type Cell<'a> = &'a dyn Fn(&RoundMeans) -> Option<String>;

/// The table by columns, heads included. The decimals of a column of seconds are those of its largest number; a
/// column of what nothing was measured of (no training) is left out.
fn columns(rounds: &[RoundMeans]) -> Vec<Vec<String>> {
    let seconds = |i: usize| {
        let largest = rounds.iter().map(|r| r.seconds[i]).fold(0.0, f64::max);
        let decimals = units::decimals_for(largest, 4).min(6);
        move |r: &RoundMeans| Some(format!("{:.decimals$}", r.seconds[i]))
    };
    let accuracy = |e: Estimate| match e.half_width_95 {
        Some(h) => format!("{:.3} ± {h:.3}", e.mean),
        None => format!("{:.3}", e.mean),
    };
    let cells: [Cell<'_>; 13] = [
        &|r| Some(r.round.to_string()),
        &seconds(0),
        &seconds(1),
        &seconds(2),
        &seconds(3),
        &seconds(4),
        &seconds(5),
        &|r| Some(Quantity::Bytes.show(r.uplink_bytes)),
        &|r| Some(Quantity::Bytes.show(r.downlink_bytes)),
        &|r| Some(Quantity::Joules.show(r.device_joules)),
        &|r| Some(Quantity::Bytes.show(r.peak_device_memory_bytes)),
        &|r| r.train_loss.map(|e| format!("{:.3}", e.mean)),
        &|r| r.accuracy.map(accuracy),
    ];
    let column = |(head, cell): ([&str; 2], Cell<'_>)| {
        let cells: Vec<Option<String>> = rounds.iter().map(cell).collect();
        let known = cells.iter().any(Option::is_some);
        let cells = cells.into_iter().map(|c| c.unwrap_or_else(|| "-".to_owned()));
        known.then(|| head.iter().map(|h| h.to_string()).chain(cells).collect())
    };
    HEAD.into_iter().zip(cells).filter_map(column).collect()
}

fn print_totals(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    match summary.replications {
        1 => writeln!(out, "Totals")?,
        n => writeln!(out, "Totals, mean ± half-width of the 95% confidence interval over {n} replications")?,
    }
    let shown = |m: Metric| m.estimate.map(|e| (m.name, m.quantity.show_with_half_width(e.mean, e.half_width_95)));
    let known: Vec<(&str, String)> = summary.metrics().into_iter().filter_map(shown).collect();
    // Two columns, filled top to bottom.
    let half = known.len().div_ceil(2);
    let (left, right) = known.split_at(half);
    for (i, (name, value)) in left.iter().enumerate() {
        let beside = right.get(i).map(|(name, value)| format!("    {name:<20}{value:>24}"));
        writeln!(out, "  {name:<20}{value:>24}{}", beside.unwrap_or_default())?;
    }
    let reached = summary.time_to_accuracy_s.iter().filter_map(|(target, e)| Some((target, e.as_ref()?)));
    let reached: Vec<String> = reached
        .map(|(target, e)| {
            let partly = e.count < summary.replications;
            let of = if partly { format!(" ({} of {})", e.count, summary.replications) } else { String::new() };
            format!("{target}: {}{of}", Quantity::Seconds.show(e.mean))
        })
        .collect();
    for (i, line) in reached.chunks(5).enumerate() {
        writeln!(out, "  {:<20}{}", if i == 0 { "time to accuracy" } else { "" }, line.join("   "))?;
    }
    Ok(())
}

/// Why the replications ended, and how much of the arithmetic came from the cache.
fn outcomes(record: &Record) -> String {
    let count = |outcome: Outcome| record.replications.iter().filter(|r| r.outcome == outcome).count();
    let kinds = [
        (count(Outcome::Completed), "played all rounds"),
        (count(Outcome::ReachedAccuracy), "stopped at the wanted accuracy"),
        (count(Outcome::NoDevicesLeft), "ended because no device was left"),
    ];
    let total = record.replications.len();
    let parts = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} of {total} {words}"));
    let mut text = format!("Replications: {}.", parts.collect::<Vec<_>>().join(", "));
    let sum = |value: fn(&ReplicationRecord) -> u64| record.replications.iter().map(value).sum::<u64>();
    let (asked, computed) = (sum(|r| r.learning.operations_asked), sum(|r| r.learning.operations_computed));
    if asked > 0 {
        text += &format!(" Learning operations: {computed} computed of {asked} asked for.");
    }
    text
}

/// Lines of the right-aligned cells of `columns`, which are equally long; two blanks between columns.
fn align_right(columns: &[Vec<String>]) -> String {
    let width = |column: &Vec<String>| column.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let rows = columns.first().map_or(0, Vec::len);
    let line = |row: usize| {
        let cells: Vec<String> = columns.iter().zip(&widths).map(|(c, &w)| format!("{:>w$}", c[row])).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    (0..rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(rounds: usize, evaluate_every: usize) -> Vec<RoundRecord> {
        let accuracy = |n: usize| n.is_multiple_of(evaluate_every).then_some(0.5);
        (1..=rounds).map(|n| RoundRecord { round: n, accuracy: accuracy(n), ..RoundRecord::default() }).collect()
    }

    #[test]
    fn long_runs_show_first_last_and_evaluated_rounds() {
        for (rounds, every) in [(1, 1), (24, 5), (25, 1), (200, 3), (1000, 10), (1000, 2000)] {
            let records = played(rounds, every);
            let by_round: Vec<Vec<&RoundRecord>> = records.iter().map(|r| vec![r]).collect();
            let shown = rounds_shown(&by_round);
            assert!(shown.len() <= MOST_ROWS && shown.is_sorted_by(|a, b| a < b), "{rounds} rounds: {shown:?}");
            assert_eq!((shown[0], shown[shown.len() - 1]), (0, rounds - 1));
            let inner = &shown[1..shown.len().max(2) - 1];
            let evaluated = inner.iter().all(|&i| records[i].accuracy.is_some());
            assert!(rounds <= MOST_ROWS || every > rounds || evaluated, "{shown:?}");
        }
    }
}
