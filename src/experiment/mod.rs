//! One trial: a scenario in, a record out.
//!
//! Builds both planes, lets the scenario's protocol drive them, resolves the handles that it left, and puts what
//! happened into plain rows. Knows nothing of files or screens.

mod assemble;
pub mod calibration;
mod estimate;
mod final_models;
mod journal;
mod record;

pub use estimate::{Estimate, MemoryNeed, estimate};
pub use final_models::FinalModels;
pub use journal::Journal;
pub use record::{
    DeviceRecord, FlowRecord, LearningCounts, MeasureRecord, Outcome, Record, ReplicationRecord, RoundRecord,
};

use crate::deft::{self, Run};
pub use crate::deft::{Progress, WhenToCompute};
use crate::fomo::{self, Architecture, CheckpointError, ConfigError, FomoError, ModelFiles};
use crate::learning::{self, Learning, LearningError, Store, Task};
use crate::random::Streams;
use crate::scenario::Scenario;
use crate::sim::{Sim, SimError};
use crate::world::{Demand, World, WorldError};
use std::sync::Arc;

/// What can stop a trial.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    #[error(transparent)]
    Learning(#[from] LearningError),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Fomo(#[from] FomoError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the model `{name}` is not known; `deft list models` names all")]
    UnknownModel { name: String },
    #[error(transparent)]
    Time(#[from] SimError),
    #[error("{0}")]
    Journal(std::io::Error),
}

impl ExperimentError {
    /// Whether a file that the user brought, or what is asked of it, is what is wrong.
    pub fn is_of_input(&self) -> bool {
        match self {
            Self::Learning(error) => error.is_of_input(),
            Self::Checkpoint(_) | Self::Config(_) | Self::UnknownModel { .. } => true,
            Self::World(_) | Self::Fomo(_) | Self::Time(_) | Self::Journal(_) => false,
        }
    }
}

/// How a trial is run; none of it changes the record.
pub struct Options<'a> {
    pub when: WhenToCompute,
    /// Keep a timeline of the first replication.
    pub trace: bool,
    /// Called at the end of each round with the replication's number, where numbers are computed as rounds end.
    pub watch: &'a dyn Fn(u64, Progress),
    /// Where the trial is kept while it runs, with numbers computed as rounds end; the store needs a journal too.
    pub journal: Option<&'a dyn Journal>,
}

/// A record, a timeline if one was asked for (Chrome trace-event JSON), and the models of the first replication.
pub struct Trial {
    pub record: Record,
    pub trace: Option<Vec<u8>>,
    /// `None` without training.
    pub models: Option<FinalModels>,
}

/// Runs all replications of `scenario`.
pub fn run(scenario: &Scenario, store: &Arc<Store>, options: &Options<'_>) -> Result<Trial, ExperimentError> {
    let architecture = architecture(scenario)?;
    let mut trial = Trial { record: Record { replications: vec![] }, trace: None, models: None };
    for replication in 0..scenario.replications {
        let trace = options.trace && replication == 0;
        // The first one is played again for what is no part of its record.
        let plain = replication > 0 || !(options.trace || scenario.training.is_some());
        if let Some(record) = options.journal.filter(|_| plain).and_then(|j| j.finished(replication)) {
            trial.record.replications.push(record);
            continue;
        }
        let replicated = replicate(scenario, &architecture, replication, store, options, trace)?;
        if let Some(journal) = options.journal.filter(|_| plain && replication + 1 < scenario.replications) {
            journal.finish(&replicated.record).map_err(ExperimentError::Journal)?;
        }
        trial.record.replications.push(replicated.record);
        trial.trace = trial.trace.or(replicated.timeline);
        trial.models = trial.models.or(replicated.models);
    }
    Ok(trial)
}

/// Runs one replication of `scenario`.
pub fn run_replication(
    scenario: &Scenario,
    replication: u64,
    store: &Arc<Store>,
    options: &Options<'_>,
) -> Result<ReplicationRecord, ExperimentError> {
    let architecture = architecture(scenario)?;
    Ok(replicate(scenario, &architecture, replication, store, options, false)?.record)
}

/// The geometry of the scenario's model: that of its name, or else what its checkpoint says of itself.
pub fn architecture(scenario: &Scenario) -> Result<Architecture, ExperimentError> {
    let model = &scenario.model;
    match (&model.architecture, model.checkpoint.path()) {
        (Some(name), _) => fomo::preset(name).ok_or_else(|| ExperimentError::UnknownModel { name: name.clone() }),
        (None, Some(path)) => ModelFiles::open(path)?
            .architecture()?
            .ok_or_else(|| ExperimentError::UnknownModel { name: path.display().to_string() }),
        (None, None) => Err(ExperimentError::UnknownModel { name: String::new() }),
    }
}

/// Reads the tokenizer that `scenario` trains with, if it does so with texts.
///
/// # Errors
/// If it cannot be read, or has tokens that the model does not know.
pub fn check_tokenizer(scenario: &Scenario) -> Result<(), ExperimentError> {
    let architecture = architecture(scenario)?;
    if scenario.training.is_some() && architecture.image.is_none() {
        learning::tokenizer(&scenario.model.checkpoint, &architecture)?;
    }
    Ok(())
}

/// One replication as it was played.
struct Replicated {
    record: ReplicationRecord,
    timeline: Option<Vec<u8>>,
    models: Option<FinalModels>,
}

fn replicate(
    scenario: &Scenario,
    architecture: &Architecture,
    replication: u64,
    store: &Arc<Store>,
    options: &Options<'_>,
    trace: bool,
) -> Result<Replicated, ExperimentError> {
    let streams = Streams::new(scenario.seed, replication);
    let task = Arc::new(Task::new(scenario, architecture, streams, store)?);
    let learn = Learning::new(task, store.clone());
    let sim = if trace { Sim::with_trace() } else { Sim::new() };
    let world = World::new(scenario, Demand::new(scenario, architecture)?, streams, sim.clone())?;
    let watch = |progress: Progress| {
        (options.watch)(replication, progress);
        match options.journal {
            Some(journal) if (progress.round + 1).is_multiple_of(journal.every_rounds().max(1)) => learn.checkpoint(),
            _ => Ok(()),
        }
    };
    let run = Run::new(&world, &learn, &scenario.technique, scenario.training.as_ref(), options.when, &watch);
    sim.run(deft::play(&run))??;
    let played = run.finish();
    let models = played.models.clone();
    if options.journal.is_some() && replication == 0 {
        learn.keep_final(&models)?;
    }
    let record = assemble::replication(replication, &world, &learn, played)?;
    let timeline = trace.then(|| {
        let mut json = vec![];
        world.trace().write_json(&mut json).expect("writing to memory does not fail");
        json
    });
    let models = FinalModels::new(&world, learn, &models);
    Ok(Replicated { record, timeline, models })
}
