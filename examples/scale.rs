//! What a device-round costs as devices, cells and rounds grow: `scenarios/scale/town.yaml` with other counts, time alone.
//!
//! `cargo run --release --example scale -- --plot scale.png` plays each size in a process of its own, on one thread, prints
//! a line for each and draws them. `--largest 10000` stops there.

use clap::Parser;
use deft::experiment::{self, Options, WhenToCompute};
use deft::learning::Store;
use deft::scenario::ScenarioSource;
use des_load::Watch;
use plotters::prelude::*;
use plotters::style::register_font;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

mod des_load;

const TOWN: &str = include_str!("../scenarios/scale/town.yaml");
const FONT: &[u8] = include_bytes!("../assets/fonts/DejaVuSans.ttf");
const HEAD: &str = "sweep,devices,cells,drawn,rounds,events,cpu_s,us_per_device_round,peak_mb";

#[derive(Parser)]
struct Args {
    /// Leaves out sizes with more devices than this.
    #[arg(long, default_value_t = 100_000)]
    largest: usize,
    /// Takes each size so many times; the cheapest counts.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Plays one size: devices, cells, devices drawn a round, rounds.
    #[arg(long, num_args = 4)]
    one: Option<Vec<usize>>,
}

#[derive(Clone, Copy)]
struct Size {
    devices: usize,
    cells: usize,
    drawn: usize,
    rounds: usize,
}

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    events: u64,
    cpu_s: f64,
    peak_mb: f64,
}

/// Sizes by what grows, and which of their numbers that is.
fn sweeps() -> Vec<(&'static str, Vec<Size>)> {
    let town = |devices: usize, rounds| Size { devices, cells: devices / 100, drawn: devices / 10, rounds };
    let sizes = [100, 300, 1000, 3000, 10_000, 30_000, 100_000];
    vec![
        ("city", sizes.map(|devices| town(devices, 20)).into()),
        ("cells", [100, 300, 1000, 3000, 10_000].map(|cells| Size { cells, ..town(10_000, 20) }).into()),
        ("rounds", [10, 30, 100, 300, 1000, 3000].map(|rounds| town(1000, rounds)).into()),
        ("idle", sizes.map(|devices| Size { drawn: 10, ..town(devices, 200) }).into()),
    ]
}

fn main() {
    let args = Args::parse();
    if let Some(one) = &args.one {
        let &[devices, cells, drawn, rounds] = one.as_slice() else { unreachable!("clap wants four") };
        let cost = play(Size { devices, cells, drawn, rounds });
        return println!("{} {} {}", cost.events, cost.cpu_s, cost.peak_mb);
    }
    println!("{HEAD}");
    let mut measured = vec![];
    for (sweep, sizes) in sweeps() {
        for size in sizes.into_iter().filter(|s| s.devices <= args.largest) {
            let costs = (0..args.repeats.max(1)).map(|_| elsewhere(size));
            let cost = costs.min_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s)).expect("at least one");
            let Size { devices, cells, drawn, rounds } = size;
            let Cost { events, cpu_s, peak_mb } = cost;
            let each = microseconds(size, cost);
            println!("{sweep},{devices},{cells},{drawn},{rounds},{events},{cpu_s:.3},{each:.1},{peak_mb:.0}");
            measured.push((sweep, size, cost));
        }
    }
    if let Some(path) = &args.plot {
        draw(path, &measured).expect("the plot is written");
    }
}

fn microseconds(size: Size, cost: Cost) -> f64 {
    cost.cpu_s * 1e6 / (size.drawn * size.rounds) as f64
}

/// In a process of its own, whose memory nobody else has touched.
fn elsewhere(size: Size) -> Cost {
    let numbers = [size.devices, size.cells, size.drawn, size.rounds].map(|n| n.to_string());
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this).arg("--one").args(numbers).output().expect("it starts again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    Cost { events: numbers[0] as u64, cpu_s: numbers[1], peak_mb: numbers[2] }
}

/// Everything that `deft run` does but the files: reading, building, playing, and the rows of the tables.
fn play(size: Size) -> Cost {
    let watch = Watch::start();
    let set = [
        ("devices.0.count", json!(size.devices)),
        ("cells.0.count", json!(size.cells)),
        ("edge_servers.0.count", json!(size.cells)),
        ("technique.devices_per_round", json!(size.drawn)),
        ("technique.rounds", json!(size.rounds)),
    ];
    let set = set.map(|(key, value)| (key.to_owned(), value));
    let scenario = ScenarioSource::from_text("town.yaml", TOWN).resolve_with(&set).expect("a valid scenario");
    let store = Arc::new(Store::open(None).expect("a store in memory"));
    let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
    let trial = experiment::run(&scenario, &store, &options).expect("it runs");
    let events = trial.record.replications.iter().map(|r| r.events).sum();
    Cost { events, cpu_s: watch.stop().cpu_seconds, peak_mb: peak_mb() }
}

/// The most memory that this process has held, where the system tells (Linux).
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}

type Measured = (&'static str, Size, Cost);
/// A sweep, what is written below its axis, and which number grows.
type Panel = (&'static str, &'static str, fn(&Size) -> usize);

fn draw(path: &PathBuf, measured: &[Measured]) -> Result<(), Box<dyn std::error::Error>> {
    register_font("sans-serif", FontStyle::Normal, FONT).map_err(|_| "the font")?;
    let root = BitMapBackend::new(path, (1200, 800)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels: [Panel; 4] = [
        ("city", "devices, 100 a cell, a tenth drawn in each of 20 rounds", |s| s.devices),
        ("cells", "cells and servers, 10,000 devices, 20 rounds", |s| s.cells),
        ("rounds", "rounds, 1,000 devices", |s| s.rounds),
        ("idle", "devices, 10 of them drawn in each of 200 rounds", |s| s.devices),
    ];
    for (area, (sweep, label, grows)) in root.split_evenly((2, 2)).iter().zip(panels) {
        let points: Vec<(f64, f64)> = (measured.iter().filter(|(name, ..)| *name == sweep))
            .map(|(_, size, cost)| (grows(size) as f64, microseconds(*size, *cost)))
            .collect();
        let span = |of: fn(&(f64, f64)) -> f64| {
            let values = points.iter().map(of);
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((left, right), (_, top)) = (span(|p| p.0), span(|p| p.1));
        let mut chart = ChartBuilder::on(area)
            .margin(18)
            .margin_right(40)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d((left..right).log_scale(), 0.0..1.15 * top)?;
        chart
            .configure_mesh()
            .x_desc(label)
            .y_desc("microseconds a device-round")
            .label_style(("sans-serif", 16))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()?;
        let blue = RGBColor(0x00, 0x72, 0xb2);
        chart.draw_series(LineSeries::new(points.iter().copied(), blue.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|p| Circle::new(*p, 4, blue.filled())))?;
    }
    root.present()?;
    Ok(())
}
