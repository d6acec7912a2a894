//! `deft run`: play a scenario, show progress, write results.

use super::Failure;
use super::common::{ComputeArguments, ScenarioArguments, VERSION};
use super::progress::RunProgress;
use crate::experiment::{self, FinalModels, Options, WhenToCompute};
use crate::results::{self, RunDescription};
use clap::Args;
use std::io::Write as _;
use std::time::Instant;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
    #[command(flatten)]
    compute: ComputeArguments,
    /// Also write trace.json, a timeline of who computed and sent what and when, for ui.perfetto.dev
    #[arg(long)]
    trace: bool,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let scenario = arguments.scenario.resolve()?;
    let threads = arguments.compute.set_threads()?;
    let store = arguments.compute.store()?;
    let started = Instant::now();
    let progress = RunProgress::new(&scenario, arguments.compute.quiet);
    let watch = |replication, p| progress.round(replication, &p);
    let options = Options { when: WhenToCompute::AsRoundsEnd, trace: arguments.trace, watch: &watch };
    let trial = experiment::run(&scenario, &store, &options)?;
    progress.finish();
    let adapters = trial.models.as_ref().map(FinalModels::adapters).transpose()?.unwrap_or_default();

    let resolved_yaml = scenario.to_yaml();
    let description = RunDescription {
        scenario_name: &scenario.name,
        resolved_yaml: &resolved_yaml,
        version: VERSION,
        seed: scenario.seed,
        wall_seconds: started.elapsed().as_secs_f64(),
        threads,
        backend: if scenario.training.is_some() { "cpu" } else { "none" },
        score: scenario.training.as_ref().map_or("accuracy", |t| t.task.score()),
        adapters: &adapters,
    };
    let mut write_trace = |out: &mut dyn std::io::Write| out.write_all(trial.trace.as_deref().unwrap_or_default());
    let trace: Option<results::TraceWriter<'_>> = trial.trace.is_some().then_some(&mut write_trace as _);
    let folder = results::write_run(&arguments.compute.out, &description, &trial.record, trace)?;

    let mut out = std::io::stdout().lock();
    results::print_table(&trial.record, Some(folder.path()), &mut out)?;
    writeln!(out, "Took {:.1} s on {threads} threads.", started.elapsed().as_secs_f64())?;
    Ok(())
}
