//! Where each device's time went: stacked horizontal bars.

use super::axes::{BELOW, Frame, RIGHT};
use super::figure::{
    Align, Canvas, Drawn, FIGURE_WIDTH, Figure, GREY, INK, Key, NOTE_TEXT, PART_COLORS, TICK_TEXT, pt, short_name,
};
use super::scale::{Ticks, time_unit};
use crate::experiment::Record;
use crate::results::latency::{LatencyParts, PART_NAMES};
use plotters::prelude::DrawingBackend;
use std::collections::BTreeMap;

/// More devices than this are drawn as a sample at equal quantiles of their total time.
const MOST_DEVICES: usize = 40;
const ROW_PT: f64 = 12.0;

/// A stacked bar for every device: the mean over replications of the time it spent.
pub(super) struct DeviceTime {
    devices: Vec<Device>,
    /// Number of devices that the shown ones are drawn from.
    total: usize,
    replications: usize,
}

#[derive(Clone)]
struct Device {
    name: String,
    group: String,
    parts: LatencyParts,
}

impl DeviceTime {
    /// `None` without devices.
    pub fn of(record: &Record) -> Option<Self> {
        // In the order of first appearance, which is that of the scenario.
        let mut place: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found: Vec<(Device, Vec<LatencyParts>)> = Vec::new();
        for d in record.replications.iter().flat_map(|r| &r.devices) {
            let at = *place.entry(&d.device).or_insert_with(|| {
                let (name, group) = (short_name(&d.device), short_name(&d.group));
                found.push((Device { name, group, parts: LatencyParts::default() }, Vec::new()));
                found.len() - 1
            });
            found[at].1.push(LatencyParts::of_device(d));
        }
        let devices: Vec<Device> =
            found.into_iter().map(|(device, parts)| Device { parts: LatencyParts::mean(&parts), ..device }).collect();
        let total = devices.len();
        (total > 0).then(|| Self {
            devices: at_most(devices, MOST_DEVICES),
            total,
            replications: record.replications.len(),
        })
    }

    fn is_sample(&self) -> bool {
        self.devices.len() < self.total
    }

    fn note(&self) -> Option<String> {
        let mean = (self.replications > 1).then(|| format!("mean over {} replications", self.replications));
        let sample = self.is_sample().then(|| {
            format!("{} of {} devices, at equal quantiles of their total time", self.devices.len(), self.total)
        });
        let parts: Vec<String> = sample.into_iter().chain(mean).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Runs of neighbours of one group: name, first and last row. Empty for a sample, which is sorted by time, and for a
    /// single group, whose name every device carries.
    fn groups(&self) -> Vec<(&str, usize, usize)> {
        let mut groups: Vec<(&str, usize, usize)> = Vec::new();
        for (row, device) in self.devices.iter().enumerate().filter(|_| !self.is_sample()) {
            match groups.last_mut() {
                Some((name, _, last)) if *name == device.group => *last = row,
                _ => groups.push((&device.group, row, row)),
            }
        }
        if groups.len() > 1 { groups } else { Vec::new() }
    }
}

/// All devices, or `most` of them sorted by total time at equal quantiles, the fastest and the slowest included.
fn at_most(mut devices: Vec<Device>, most: usize) -> Vec<Device> {
    if devices.len() <= most {
        return devices;
    }
    devices.sort_by(|a, b| a.parts.total_seconds().total_cmp(&b.parts.total_seconds()));
    let last = devices.len() - 1;
    (0..most).map(|i| devices[(i * last + (most - 1) / 2) / (most - 1)].clone()).collect()
}

impl Figure for DeviceTime {
    fn size_pt(&self) -> (f64, f64) {
        let note = if self.note().is_some() { 10.0 } else { 0.0 };
        (FIGURE_WIDTH, 38.0 + note + BELOW + ROW_PT * self.devices.len() as f64)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn {
        let legend: Vec<_> = PART_NAMES.iter().zip(PART_COLORS).map(|(n, c)| (n.to_string(), Key::Swatch(c))).collect();
        let mut top = canvas.legend(pt(7.0), &legend)?;
        if let Some(note) = self.note() {
            canvas.text(&note, (canvas.width() / 2, top + pt(4.0)), NOTE_TEXT, Align::Middle, GREY)?;
            top += pt(10.0);
        }

        let longest = self.devices.iter().map(|d| d.parts.total_seconds()).fold(0.0, f64::max);
        let unit = time_unit(longest);
        let groups = self.groups();
        let group_width = canvas.widest(groups.iter().map(|g| g.0), TICK_TEXT)?;
        let frame = Frame {
            left: pt(14.0) + canvas.widest(self.devices.iter().map(|d| d.name.as_str()), TICK_TEXT)?,
            top: top + pt(3.0),
            right: canvas.width() - pt(RIGHT) - if groups.is_empty() { 0 } else { group_width + pt(8.0) },
            bottom: canvas.height() - pt(BELOW),
            x: (0.0, (longest / unit.size).max(1e-9) * 1.03),
            y: (self.devices.len() as f64 - 0.4, -0.6),
        };
        let label = format!("Time of a device over the run ({})", unit.name);
        frame.x_axis(canvas, &Ticks::within(frame.x.0, frame.x.1, 6), &label, true)?;

        let half = pt(ROW_PT * 0.37).min((frame.bottom - frame.top) / 3);
        for (row, device) in self.devices.iter().enumerate() {
            let y = frame.y_at(row as f64);
            canvas.text(&device.name, (frame.left - pt(5.0), y), TICK_TEXT, Align::Right, INK)?;
            let mut before = 0.0;
            for (seconds, color) in device.parts.0.iter().zip(PART_COLORS) {
                let (from, to) = (frame.x_at(before / unit.size), frame.x_at((before + seconds) / unit.size));
                if to > from {
                    canvas.rect([(from, y - half), (to, y + half)], color)?;
                }
                before += seconds;
            }
        }
        for (name, first, last) in groups {
            let x = frame.right + pt(4.0);
            let (from, to) = (frame.y_at(first as f64) - half, frame.y_at(last as f64) + half);
            canvas.line(&[(x, from), (x, to)], GREY, 1.0)?;
            canvas.text(name, (x + pt(4.0), (from + to) / 2), TICK_TEXT, Align::Left, INK)?;
        }
        frame.edges(canvas)
    }
}
