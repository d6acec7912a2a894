//! Options that several commands share.

use super::Failure;
use crate::experiment::ExperimentError;
use crate::learning::{BackendChoice, Processor, Store};
use crate::scenario::{Scenario, ScenarioError, ScenarioSource, parse_override};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Part of every run's identity: another version may give other numbers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Which scenario, and what to change in it.
#[derive(Args)]
pub struct ScenarioArguments {
    /// Scenario file (YAML); docs/scenario.md explains its keys
    pub scenario: PathBuf,
    /// Set a key for this run only, as in technique.rounds=20 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Shorthand for --set seed=N
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Shorthand for --set replications=N
    #[arg(long, value_name = "N")]
    replications: Option<u64>,
}

impl ScenarioArguments {
    pub fn source(&self) -> Result<ScenarioSource, Failure> {
        ScenarioSource::read(&self.scenario).map_err(usage)
    }

    pub fn overrides(&self) -> Result<Vec<(String, Value)>, Failure> {
        let mut overrides = self.set.iter().map(|s| parse_override(s).map_err(usage)).collect::<Result<Vec<_>, _>>()?;
        overrides.extend(self.seed.map(|n| ("seed".to_owned(), Value::from(n))));
        overrides.extend(self.replications.map(|n| ("replications".to_owned(), Value::from(n))));
        Ok(overrides)
    }

    /// The scenario with its overrides, resolved.
    pub fn resolve(&self) -> Result<Scenario, Failure> {
        self.source()?.resolve_with(&self.overrides()?).map_err(usage)
    }
}

/// A scenario's errors are the user's to mend.
pub fn usage(error: ScenarioError) -> Failure {
    Failure::Usage(error.to_string())
}

/// So are files that a run finds wrong only when it reads them.
pub fn of_experiment(error: ExperimentError) -> Failure {
    if error.is_of_input() { Failure::Usage(error.to_string()) } else { error.into() }
}

/// What computes.
#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    /// The CPU
    Cpu,
    /// An NVIDIA GPU: models in fp16 only
    Cuda,
    /// A GPU for models in fp16 where one can be used, else the CPU
    Auto,
}

/// How to compute and where to put things.
#[derive(Args)]
pub struct ComputeArguments {
    /// What trains models; a GPU computes `model.precision: fp16` only
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    backend: Backend,
    /// Folder for results
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Folder in which computed numbers are kept between runs [default: <OUT>/.cache]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Compute everything anew and keep nothing
    #[arg(long)]
    no_cache: bool,
    /// Print no progress
    #[arg(long, short)]
    pub quiet: bool,
}

impl ComputeArguments {
    /// Number of threads; also makes the arithmetic use that many.
    pub fn set_threads(&self) -> Result<usize, Failure> {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(all, usize::from);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        Ok(threads)
    }

    /// What trains the models of `scenario`.
    pub fn processor(&self, scenario: &Scenario) -> Result<Processor, Failure> {
        let half_precision = scenario.training.is_some() && scenario.model.trains_in_half_precision();
        let choice = match self.backend {
            Backend::Cpu => BackendChoice::Cpu,
            Backend::Cuda => BackendChoice::Cuda,
            Backend::Auto => BackendChoice::Auto,
        };
        if matches!(self.backend, Backend::Cuda) && scenario.training.is_some() && !half_precision {
            let found = "--backend cuda computes in half precision, and the scenario's `model.precision` is another";
            return Err(Failure::Usage(format!("{found}; add --set model.precision=fp16")));
        }
        let chosen = Processor::choose(choice, half_precision);
        let (processor, unused) = chosen.map_err(|why| Failure::Usage(format!("--backend cuda: {why}")))?;
        if let Some(why) = unused {
            eprintln!("note: computing on the CPU: {why}");
        }
        processor.left_out().iter().for_each(|line| eprintln!("note: {line}"));
        Ok(processor)
    }

    /// What computed numbers are kept in, with a journal of the run in `journal` if it has one.
    pub fn store(&self, processor: &Processor, journal: Option<&Path>) -> Result<Arc<Store>, Failure> {
        let default = self.out.join(".cache");
        let cache = (!self.no_cache).then(|| self.cache.as_deref().unwrap_or(&default));
        let store = Store::open_on(processor.clone(), cache)?;
        Ok(Arc::new(match journal {
            Some(folder) => store.with_journal(folder)?,
            None => store,
        }))
    }
}
