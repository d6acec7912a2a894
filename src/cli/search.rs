//! `deft search`: run a scenario's search section.

use super::Failure;
use super::common::{ComputeArguments, ScenarioArguments, VERSION, usage};
use super::progress;
use crate::results;
use crate::search::{self, SearchError, Settings};
use clap::Args;
use std::io::Write as _;
use std::time::Instant;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
    #[command(flatten)]
    compute: ComputeArguments,
    /// Take over the trials that an earlier, perhaps killed, search has finished
    #[arg(long)]
    resume: bool,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let source = arguments.scenario.source()?;
    let overrides = arguments.scenario.overrides()?;
    let scenario = source.resolve_with(&overrides).map_err(usage)?;
    let threads = arguments.compute.set_threads()?;
    let store = arguments.compute.store(&arguments.compute.processor(&scenario)?, None)?;
    let id = results::identity(&scenario.to_yaml(), VERSION);
    let folder = arguments.compute.out.join(&scenario.name).join(format!("search-{id}"));
    let started = Instant::now();
    let bar = progress::bar(0, arguments.compute.quiet, "{bar:30} {pos}/{len} trials, {eta} left");
    let watch = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let settings = Settings { folder: &folder, resume: arguments.resume, threads, version: VERSION, watch: &watch };
    let report = search::search(&source, &overrides, &store, &settings).map_err(|error| match error {
        SearchError::Scenario(_) | SearchError::NothingToSearch { .. } => Failure::Usage(error.to_string()),
        SearchError::Results(_) => Failure::Other(error.to_string()),
    })?;
    bar.finish_and_clear();
    let written = report.write(&folder)?;

    let mut out = std::io::stdout().lock();
    report.print_best(&mut out)?;
    for (trial, cause) in report.failures() {
        writeln!(out, "failed: {:?} replication {}: {cause}", trial.combination, trial.replication)?;
    }
    let counts = store.counts();
    writeln!(
        out,
        "{} trials, {} combinations. Learning operations: {} asked for, {} computed. Took {:.1} s on {threads} threads.",
        report.trials.len(),
        report.findings.len(),
        counts.asked,
        counts.computed,
        started.elapsed().as_secs_f64()
    )?;
    for file in written {
        writeln!(out, "  {}", file.display())?;
    }
    Ok(())
}
