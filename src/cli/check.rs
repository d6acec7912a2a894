//! `deft check`: what a scenario means and what it would take, without running it.

use super::Failure;
use super::common::{ScenarioArguments, of_experiment};
use crate::experiment::{self, Estimate};
use crate::results::units::Quantity;
use clap::Args;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let scenario = arguments.scenario.resolve()?;
    let estimate = experiment::estimate(&scenario).map_err(of_experiment)?;
    experiment::check_tokenizer(&scenario).map_err(of_experiment)?;
    print!("{}", scenario.to_yaml());
    println!();
    print_estimate(&estimate);
    Ok(())
}

fn print_estimate(estimate: &Estimate) {
    println!("# Memory for one training step");
    for need in &estimate.memory {
        let verdict = if need.fits() { "fits" } else { "DOES NOT FIT: who depends on it takes no part" };
        println!(
            "#   {:<18} {:<18} needs {:>10} of {:>10}  {verdict}",
            need.who,
            need.hardware,
            Quantity::Bytes.show(need.needed_bytes as f64),
            Quantity::Bytes.show(need.available_bytes as f64)
        );
    }
    match estimate.bytes_per_device_round {
        Some(bytes) => println!("# Traffic of one device and round: {}", Quantity::Bytes.show(bytes as f64)),
        None => println!("# Traffic: each device uploads its raw data once"),
    }
    if estimate.download_once_bytes > 0 {
        let bytes = Quantity::Bytes.show(estimate.download_once_bytes as f64);
        println!("# Emulator, downloaded once by each device: {bytes}");
    }
    println!("# Events of the time plane: about {:.0}", estimate.events);
    println!("# Local steps of the learning plane: {}", estimate.local_steps);
}
