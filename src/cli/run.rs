//! `deft run`: play a scenario, show progress, write results.

use super::Failure;
use super::common::{ComputeArguments, ScenarioArguments, VERSION, of_experiment};
use super::progress::RunProgress;
use crate::experiment::{self, FinalModels, Journal, Options, WhenToCompute};
use crate::results::{self, CheckpointFolder, RunDescription, RunFolder};
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
    /// Keep what a killed run needs to go on, every so many rounds; removed when the run is over
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(1..))]
    checkpoint_every: Option<u32>,
    /// Go on from what a killed run of the same scenario left
    #[arg(long)]
    resume: bool,
}

impl Arguments {
    /// Where the run is kept while it goes on, if at all.
    fn checkpoints(&self, run: &RunFolder) -> Result<Option<CheckpointFolder>, Failure> {
        let every = self.checkpoint_every.map(|rounds| rounds as usize);
        let left = if self.resume { CheckpointFolder::resume(run, every)? } else { None };
        match (left, every) {
            (Some(left), _) => Ok(Some(left)),
            (None, Some(every)) => Ok(Some(CheckpointFolder::begin(run, every)?)),
            (None, None) if self.resume => Err(Failure::Usage(format!(
                "no run of this scenario with these settings left a checkpoint beside {}; \
                 start one with --checkpoint-every ROUNDS, which may stand beside --resume",
                run.path().display()
            ))),
            (None, None) => Ok(None),
        }
    }
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let scenario = arguments.scenario.resolve()?;
    let threads = arguments.compute.set_threads()?;
    let processor = arguments.compute.processor(&scenario)?;
    let started = Instant::now();
    let resolved_yaml = scenario.to_yaml();
    let folder = RunFolder::named(&arguments.compute.out, &scenario.name, &resolved_yaml, VERSION);
    let checkpoints = arguments.checkpoints(&folder)?;
    let store =
        arguments.compute.store(&processor, checkpoints.as_ref().map(CheckpointFolder::learning_path).as_deref())?;
    let progress = RunProgress::new(&scenario, arguments.compute.quiet);
    let watch = |replication, p| progress.round(replication, &p);
    let options = Options {
        when: WhenToCompute::AsRoundsEnd,
        trace: arguments.trace,
        watch: &watch,
        journal: checkpoints.as_ref().map(|c| c as &dyn Journal),
    };
    let trial = experiment::run(&scenario, &store, &options).map_err(of_experiment)?;
    progress.finish();
    let adapters = trial.models.as_ref().map(FinalModels::adapters).transpose()?.unwrap_or_default();

    let backend = match scenario.training {
        Some(_) => processor.description(scenario.model.trains_in_half_precision()),
        None => "none".to_owned(),
    };
    let description = RunDescription {
        scenario_name: &scenario.name,
        resolved_yaml: &resolved_yaml,
        version: VERSION,
        seed: scenario.seed,
        wall_seconds: started.elapsed().as_secs_f64(),
        threads,
        backend: &backend,
        adapters: &adapters,
    };
    let mut write_trace = |out: &mut dyn std::io::Write| out.write_all(trial.trace.as_deref().unwrap_or_default());
    let trace: Option<results::TraceWriter<'_>> = trial.trace.is_some().then_some(&mut write_trace as _);
    let folder = results::write_run(&arguments.compute.out, &description, &trial.record, trace)?;
    checkpoints.map(CheckpointFolder::remove).transpose()?;

    let mut out = std::io::stdout().lock();
    results::print_table(&trial.record, Some(folder.path()), &mut out)?;
    writeln!(out, "Took {:.1} s on {threads} threads.", started.elapsed().as_secs_f64())?;
    Ok(())
}
