//! What each round's latency is made of: stacked bars by round.

use super::axes::Frame;
use super::figure::{Align, Canvas, Drawn, FIGURE_WIDTH, Figure, GREY, Key, NOTE_TEXT, PART_COLORS, pt};
use super::scale::{Ticks, time_unit};
use crate::experiment::Record;
use crate::results::latency::{LatencyParts, PART_NAMES};
use plotters::prelude::DrawingBackend;

/// Longer runs are drawn in groups of rounds.
const MOST_BARS: usize = 40;

/// A stacked bar for every round, or for every `group` rounds: the mean over them and over the replications.
pub(super) struct LatencyBreakdown {
    /// Number of the first round.
    first: usize,
    group: usize,
    bars: Vec<LatencyParts>,
    rounds: usize,
    replications: usize,
}

impl LatencyBreakdown {
    /// `None` where no round was played.
    pub fn of(record: &Record) -> Option<Self> {
        let rounds = record.replications.iter().map(|r| r.rounds.len()).max().filter(|&n| n > 0)?;
        let first = record.replications.iter().find_map(|r| r.rounds.first())?.round;
        let group = group_size(rounds);
        let bar = |start: usize| {
            let within = |r: &[_]| r.iter().skip(start).take(group).map(LatencyParts::of_round).collect::<Vec<_>>();
            LatencyParts::mean(&record.replications.iter().flat_map(|r| within(&r.rounds)).collect::<Vec<_>>())
        };
        let bars = (0..rounds).step_by(group).map(bar).collect();
        Some(Self { first, group, bars, rounds, replications: record.replications.len() })
    }

    fn note(&self) -> Option<String> {
        let rounds = (self.group > 1).then(|| format!("{} consecutive rounds", self.group));
        let replications = (self.replications > 1).then(|| format!("{} replications", self.replications));
        let of: Vec<String> = rounds.into_iter().chain(replications).collect();
        (!of.is_empty()).then(|| format!("each bar: mean over {}", of.join(" and ")))
    }
}

/// Rounds in a bar: the smallest round number that needs no more than [`MOST_BARS`] bars.
fn group_size(rounds: usize) -> usize {
    let sizes = (0..).flat_map(|p| [1, 2, 5].map(|f: usize| f * 10usize.pow(p)));
    sizes.into_iter().find(|size| rounds.div_ceil(*size) <= MOST_BARS).unwrap_or(rounds)
}

impl Figure for LatencyBreakdown {
    fn size_pt(&self) -> (f64, f64) {
        (FIGURE_WIDTH, 225.0)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        let legend: Vec<_> = PART_NAMES.iter().zip(PART_COLORS).map(|(n, c)| (n.to_string(), Key::Swatch(c))).collect();
        let mut top = canvas.legend(pt(7.0), &legend)?;
        if let Some(note) = self.note() {
            canvas.text(&note, (canvas.width() / 2, top + pt(4.0)), NOTE_TEXT, Align::Middle, GREY)?;
            top += pt(10.0);
        }

        let highest = self.bars.iter().map(LatencyParts::total_seconds).fold(0.0, f64::max);
        let unit = time_unit(highest);
        let y_range = (0.0, (highest / unit.size).max(1e-9) * 1.05);
        let x_range = (self.first as f64 - 0.6, (self.first + self.rounds) as f64 - 0.4);
        let y_ticks = Ticks::within(y_range.0, y_range.1, 6);
        let frame = Frame::below(canvas, top + pt(3.0), x_range, y_range, &y_ticks)?;
        frame.y_axis(canvas, &y_ticks, &format!("Latency of a round ({})", unit.name))?;
        frame.x_axis(canvas, &Ticks::whole(x_range.0, x_range.1, 12), "Round", false)?;

        for (k, bar) in self.bars.iter().enumerate() {
            let start = self.first + k * self.group;
            let count = self.group.min(self.first + self.rounds - start);
            let middle = start as f64 + (count - 1) as f64 / 2.0;
            let room = frame.x_at(middle + count as f64 / 2.0) - frame.x_at(middle - count as f64 / 2.0);
            let half = (room * 2 / 5).min(pt(22.0));
            let mut below = 0.0;
            for (seconds, color) in bar.0.iter().zip(PART_COLORS) {
                let (low, high) = (frame.y_at(below / unit.size), frame.y_at((below + seconds) / unit.size));
                let x = frame.x_at(middle);
                if low > high {
                    canvas.rect([(x - half, high), (x + half, low)], color)?;
                }
                below += seconds;
            }
        }
        frame.edges(canvas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_round_numbers_and_never_more_than_fit() {
        assert_eq!([1, 40, 41, 81, 200, 201, 1000].map(group_size), [1, 1, 2, 5, 5, 10, 50]);
    }
}
