//! The command line: one file a command. Commands parse, call the library and print; they hold no logic of their own.

mod adapter;
mod calibrate;
mod check;
mod common;
mod compare;
mod explain;
mod list;
mod plot;
mod progress;
mod run;
mod search;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// What a user did wrong, as opposed to what went wrong.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  deft run scenarios/quickstart.yaml                     fine-tune a real model over an emulated 5G cell
  deft run scenarios/quickstart.yaml --set technique.split_point=4 --set radio.bandwidth_mhz=20
  deft check scenarios/quickstart.yaml                   what would run, does it fit, how long will it take
  deft search scenarios/search/split_and_aggregation.yaml --resume
  deft compare results/quickstart/*                      several runs on one plot
  deft explain results/quickstart/<id> --device phone-0  one transfer, from metres to seconds
  deft adapter export results/quickstart/<id>            what was trained, for Hugging Face's peft
  deft calibrate --check                                 how fast this machine trains, as hardware for scenarios
  deft list hardware                                     names that scenarios may use

Emulates device-edge cooperative fine-tuning of foundation models: time, traffic and energy by discrete-event
simulation, accuracy by real training. docs/scenario.md explains every key of a scenario.

Exit codes: 0 done; 2 the command line, the scenario or a file that it names is wrong, and the message says what; 1 all else.";

/// Device-edge cooperative fine-tuning of foundation models over wireless networks, emulated.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play a scenario and write its results
    Run(run::Arguments),
    /// Check a scenario and say what it would take, without running it
    ///
    /// Reads the scenario, its data and adapter, and the model's geometry and tokenizer. The model's weights are read by
    /// `run` alone: a tensor that is missing or not finite is found there.
    Check(check::Arguments),
    /// Try many values of some keys and find the best
    Search(search::Arguments),
    /// Draw the plots of a finished run again
    Plot(plot::Arguments),
    /// Put several finished runs on one plot
    Compare(compare::Arguments),
    /// Walk through one device's transfers, from metres to seconds
    Explain(explain::Arguments),
    /// Export, import and look at trained parameters
    Adapter(adapter::Arguments),
    /// Time this machine's own training and write it as hardware that scenarios may name
    Calibrate(calibrate::Arguments),
    /// List the names that scenarios may use
    List(list::Arguments),
}

/// Why a command ended badly.
enum Failure {
    /// The user can mend it: exit code 2.
    Usage(String),
    /// Something else: exit code 1.
    Other(String),
    /// Nobody reads on, as behind `| head`: no failure at all.
    NobodyReads,
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let any: &(dyn Error + 'static) = &error;
        let own = any.downcast_ref::<io::Error>().map(io::Error::kind);
        let in_json = || any.downcast_ref::<serde_json::Error>()?.io_error_kind();
        match own.or_else(in_json) {
            Some(io::ErrorKind::BrokenPipe) => Failure::NobodyReads,
            _ => Failure::Other(error.to_string()),
        }
    }
}

/// Parses the command line, obeys it, and says how that went.
pub fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is an unoptimised build, some thirty times slower; use cargo run --release");
    }
    let outcome = match Cli::parse().command {
        Command::Run(arguments) => run::execute(&arguments),
        Command::Check(arguments) => check::execute(&arguments),
        Command::Search(arguments) => search::execute(&arguments),
        Command::Plot(arguments) => plot::execute(&arguments),
        Command::Compare(arguments) => compare::execute(&arguments),
        Command::Explain(arguments) => explain::execute(&arguments),
        Command::Adapter(arguments) => adapter::execute(&arguments),
        Command::Calibrate(arguments) => calibrate::execute(&arguments),
        Command::List(arguments) => list::execute(&arguments),
    };
    match outcome {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Other(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(matches!(Failure::from(closed()), Failure::NobodyReads));
        assert!(matches!(Failure::from(serde_json::Error::io(closed())), Failure::NobodyReads));
        assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)), Failure::Other(_)));
    }
}
