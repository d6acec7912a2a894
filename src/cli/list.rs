//! `deft list`: the names that scenarios may use.

use super::Failure;
use crate::scenario::{PEFT_METHODS, TECHNIQUES};
use crate::{compute, data, fomo, radio};
use clap::{Args, ValueEnum};
use std::io::{self, Write};

#[derive(Args)]
pub struct Arguments {
    /// What to list [default: all]
    what: Option<What>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Techniques,
    Methods,
    Models,
    Datasets,
    Hardware,
    Radios,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let wanted = |what| arguments.what.is_none_or(|w| w == what);
    if wanted(What::Techniques) {
        writeln!(out, "Techniques (below `technique`)")?;
        let width = TECHNIQUES.iter().map(|t| t.setting.len()).max().unwrap_or(0);
        for t in TECHNIQUES {
            writeln!(out, "  {:<width$}  {}", t.setting, t.about)?;
            writeln!(out, "  {:<width$}  {}", "", t.paper)?;
        }
    }
    if wanted(What::Methods) {
        writeln!(out, "Fine-tuning methods (peft.method)")?;
        for (name, about) in PEFT_METHODS {
            writeln!(out, "  {name:<18} {about}")?;
        }
    }
    if wanted(What::Models) {
        writeln!(out, "Models (model.architecture)")?;
        for name in fomo::preset_names() {
            let Some(a) = fomo::preset(name) else { continue };
            let millions = a.parameters() as f64 / 1e6;
            writeln!(
                out,
                "  {name:<18} {:>9.1} M parameters, {:>2} blocks, hidden {}",
                millions,
                a.blocks(),
                a.hidden
            )?;
        }
    }
    if wanted(What::Datasets) {
        writeln!(out, "Data sets (training.dataset)")?;
        for set in data::VENDORED {
            let tasks: Vec<&str> = set.tasks().iter().map(|t| t.name()).collect();
            writeln!(out, "  {:<18} {:>6} train, {:>5} test  {}", set.name, set.train, set.test, set.description)?;
            writeln!(out, "  {:<18} serves {}; {}", "", tasks.join(", "), set.licence)?;
        }
    }
    if wanted(What::Hardware) {
        writeln!(out, "Hardware (devices.hardware, edge_servers.hardware)")?;
        for name in compute::names() {
            let Some(h) = compute::profile(name) else { continue };
            writeln!(
                out,
                "  {name:<18} {:>8.1} TFLOP/s fp16, {:>6.0} GB/s, {:>5.0} GB  {}",
                h.fp16_gflops / 1e3,
                h.memory_bandwidth_gb_per_s,
                h.memory_gb,
                h.title
            )?;
        }
    }
    if wanted(What::Radios) {
        writeln!(out, "Radios (radio.preset)")?;
        for p in radio::presets::presets() {
            writeln!(
                out,
                "  {:<18} {:>6.1} GHz, {:>6.0} MHz, path loss {}",
                p.name, p.carrier_ghz, p.bandwidth_mhz, p.path_loss
            )?;
        }
    }
    Ok(())
}
