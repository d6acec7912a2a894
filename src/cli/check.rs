//! `deft check`: what a scenario means and what it would take, without running it.

use super::Failure;
use super::common::{ScenarioArguments, of_experiment};
use crate::experiment::{self, Estimate};
use crate::results::units::Quantity;
use clap::Args;
use std::io::{self, Write};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let scenario = arguments.scenario.resolve()?;
    let estimate = experiment::estimate(&scenario).map_err(of_experiment)?;
    experiment::check_tokenizer(&scenario).map_err(of_experiment)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", scenario.to_yaml())?;
    print_estimate(&estimate, &mut out)?;
    Ok(())
}

fn print_estimate(estimate: &Estimate, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# Memory for one training step")?;
    for need in &estimate.memory {
        let verdict = if need.fits() { "fits" } else { "DOES NOT FIT: who depends on it takes no part" };
        writeln!(
            out,
            "#   {:<18} {:<18} needs {:>10} of {:>10}  {verdict}",
            need.who,
            need.hardware,
            Quantity::Bytes.show(need.needed_bytes as f64),
            Quantity::Bytes.show(need.available_bytes as f64)
        )?;
    }
    match estimate.bytes_per_device_round {
        Some(bytes) => writeln!(out, "# Traffic of one device and round: {}", Quantity::Bytes.show(bytes as f64))?,
        None => writeln!(out, "# Traffic: each device uploads its raw data once")?,
    }
    if estimate.download_once_bytes > 0 {
        let bytes = Quantity::Bytes.show(estimate.download_once_bytes as f64);
        writeln!(out, "# Emulator, downloaded once by each device: {bytes}")?;
    }
    writeln!(out, "# Events of the time plane: about {:.0}", estimate.events)?;
    writeln!(out, "# Local steps of the learning plane: {}", estimate.local_steps)
}
