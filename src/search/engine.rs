//! Runs the trials of a search on all cores of this machine.

use super::SearchError;
use super::report::Report;
use super::space::{Candidate, candidates};
use super::trial::{self, Numbers, TrialResult, TrialStatus};
use crate::experiment::{self, Options, WhenToCompute};
use crate::learning::Store;
use crate::results::ResultsError;
use crate::scenario::{Scenario, ScenarioSource};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How a search is run; none of it changes the results.
pub struct Settings<'a> {
    /// Folder of the trials' files and of the report.
    pub folder: &'a Path,
    /// Take over trials that an earlier search has finished; those that failed are tried again.
    pub resume: bool,
    pub threads: usize,
    pub version: &'a str,
    /// Called after each trial with (done, all).
    pub watch: &'a (dyn Fn(usize, usize) + Sync),
}

/// Runs every trial of the scenario's search section and reports on them. `overrides` hold for every trial.
pub fn search(
    source: &ScenarioSource,
    overrides: &[(String, Value)],
    store: &Arc<Store>,
    settings: &Settings<'_>,
) -> Result<Report, SearchError> {
    let base = source.resolve_with(overrides)?;
    let Some(spec) = &base.search else {
        return Err(SearchError::NothingToSearch { scenario: source.path.display().to_string() });
    };
    let trials: Vec<(Candidate, u64)> = candidates(spec, base.seed)
        .into_iter()
        .flat_map(|c| (0..base.replications).map(move |replication| (c.clone(), replication)))
        .collect();
    let search = Search { source, overrides, target: spec.objective.target_accuracy, store, settings };
    let results = search.run_all(&trials)?;
    Ok(Report::new(spec, results))
}

struct Search<'a> {
    source: &'a ScenarioSource,
    overrides: &'a [(String, Value)],
    target: f64,
    store: &'a Arc<Store>,
    settings: &'a Settings<'a>,
}

impl Search<'_> {
    /// The results in the order of `trials`, whoever finishes first.
    fn run_all(&self, trials: &[(Candidate, u64)]) -> Result<Vec<TrialResult>, ResultsError> {
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<TrialResult>>> = Mutex::new(vec![None; trials.len()]);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.settings.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some((candidate, replication)) = trials.get(index) else { break };
                        match self.run_one(candidate, *replication) {
                            Ok(result) => {
                                results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
                                (self.settings.watch)(done.fetch_add(1, Ordering::Relaxed) + 1, trials.len());
                            }
                            Err(error) => {
                                // A result that cannot be written ends the search: the disk will not get better.
                                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                                next.store(trials.len(), Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()),
        }
    }

    fn run_one(&self, candidate: &Candidate, replication: u64) -> Result<TrialResult, ResultsError> {
        let Candidate { variant, combination, settings } = candidate;
        let result =
            |status| TrialResult { variant: variant.clone(), combination: combination.clone(), replication, status };
        let mut set = self.overrides.to_vec();
        set.extend(settings.iter().cloned());
        let scenario = match self.source.resolve_trial(&set) {
            Ok(scenario) => scenario,
            Err(error) => return Ok(result(TrialStatus::Failed { cause: error.to_string() })),
        };
        let path = self.path(&scenario, replication);
        if self.settings.resume
            && let Some(stored) = trial::load(&path).filter(|t| matches!(t.status, TrialStatus::Done(_)))
        {
            return Ok(result(stored.status));
        }
        let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {}, journal: None };
        let status = match experiment::run_replication(&scenario, replication, self.store, &options) {
            Ok(record) => TrialStatus::Done(Numbers::of(&record, self.target)),
            Err(error) => TrialStatus::Failed { cause: error.to_string() },
        };
        let result = result(status);
        trial::store(&path, &result)?;
        Ok(result)
    }

    fn path(&self, scenario: &Scenario, replication: u64) -> PathBuf {
        let folder = self.settings.folder.join("trials");
        trial::path(&folder, &scenario.to_yaml(), self.settings.version, replication, self.target)
    }
}
