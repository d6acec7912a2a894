//! What a run that may be killed leaves for the one that goes on: each metric as it becomes known, and, at checkpoints, the
//! states that the run still needs.
//!
//! A run is a pure function of its scenario, so a checkpoint need not hold the protocol, the clock or the queue: whoever
//! goes on plays the time plane again, finds every number that was known, and begins to compute where the first one is
//! missing, from the states found here. Whatever is not found is computed again, so no moment is a bad one to be killed.
//!
//! Metrics and final states lie in `lasting`, the states of checkpoint number n in `live-<n>`. A checkpoint is written
//! whole before the one before it is removed; a reader takes what it finds in any.

use super::LearningError;
use super::disk::DiskCache;
use super::identity::Identity;
use super::plane::{Learning, StateHandle};
use super::value::{Metric, State, Value};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LASTING: &str = "lasting";
const LIVE: &str = "live-";

pub(super) struct Journal {
    root: PathBuf,
    lasting: DiskCache,
    live: Mutex<Live>,
}

/// The states of the latest checkpoint, and of an older one that a kill left beside it.
#[derive(Default)]
struct Live {
    next_number: u64,
    checkpoints: Vec<PathBuf>,
    /// Which of them has a state.
    states: HashMap<Identity, usize>,
    /// Operations that the run had computed by then; what was computed since is not in it.
    computed: u64,
}

impl Journal {
    pub fn open(root: &Path) -> Result<Self, LearningError> {
        let lasting = DiskCache::open(&root.join(LASTING))?;
        let mut numbered: Vec<(u64, PathBuf)> = folders(root).filter_map(|path| Some((number(&path)?, path))).collect();
        numbered.sort();
        let next_number = numbered.last().map_or(0, |(number, _)| number + 1);
        let mut live = Live { next_number, ..Live::default() };
        for (place, (_, path)) in numbered.into_iter().enumerate() {
            live.states.extend(DiskCache::open(&path)?.states().map(|identity| (identity, place)));
            live.checkpoints.push(path);
        }
        Ok(Self { root: root.to_owned(), lasting, live: Mutex::new(live) })
    }

    pub fn read_metric(&self, identity: Identity) -> Option<Metric> {
        self.lasting.read_metric(identity)
    }

    pub fn write_metric(&self, identity: Identity, metric: Metric) -> Result<(), LearningError> {
        self.lasting.write_metric(identity, metric).map_err(of_a_checkpoint)
    }

    pub fn read_state(&self, identity: Identity) -> Option<State> {
        let live = self.lock();
        let checkpoint = live.states.get(&identity).map(|&place| live.checkpoints[place].clone());
        drop(live);
        let from_live = checkpoint.and_then(|path| DiskCache::open(&path).ok()?.read_state(identity));
        from_live.or_else(|| self.lasting.read_state(identity))
    }

    /// Keeps a state for as long as the journal lasts.
    pub fn write_state(&self, identity: Identity, state: &State) -> Result<(), LearningError> {
        self.lasting.write_state(identity, state).map_err(of_a_checkpoint)
    }

    /// Replaces what the latest checkpoint holds: `held` are states in memory, `awaited` those that the run may still need
    /// and has not asked for since it went on.
    fn checkpoint(
        &self,
        computed: u64,
        held: &[(Identity, Arc<State>)],
        awaited: &[Identity],
    ) -> Result<(), LearningError> {
        let mut live = self.lock();
        // A run that goes on and has computed nothing has not yet come to where the one before it stopped.
        if computed == 0 || computed == live.computed {
            return Ok(());
        }
        let path = self.root.join(format!("{LIVE}{}", live.next_number));
        let fresh = DiskCache::open(&path).map_err(of_a_checkpoint)?;
        let mut states = HashMap::new();
        for (identity, state) in held {
            fresh.write_state(*identity, state).map_err(of_a_checkpoint)?;
            states.insert(*identity, 0);
        }
        for identity in awaited {
            let Some(&place) = live.states.get(identity) else { continue };
            if let Some(state) = DiskCache::open(&live.checkpoints[place])?.read_state(*identity) {
                fresh.write_state(*identity, &state).map_err(of_a_checkpoint)?;
                states.insert(*identity, 0);
            }
        }
        for old in std::mem::take(&mut live.checkpoints) {
            fs::remove_dir_all(&old).map_err(|cause| failed(&old, &cause))?;
        }
        *live = Live { next_number: live.next_number + 1, checkpoints: vec![path], states, computed };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Learning {
    /// Writes the states that the run still needs to the store's journal, if it has one.
    ///
    /// # Errors
    /// [`LearningError::Journal`] if they cannot be written.
    pub fn checkpoint(&self) -> Result<(), LearningError> {
        let Some(journal) = self.store.journal() else { return Ok(()) };
        let graph = self.graph.borrow();
        let (mut held, mut awaited) = (vec![], vec![]);
        for node in &graph.nodes {
            match &node.value {
                Some(Value::State(state)) => held.push((node.identity, state.clone())),
                None if !node.operation.is_metric() && !node.is_done() => awaited.push(node.identity),
                _ => {}
            }
        }
        journal.checkpoint(graph.computed, &held, &awaited)
    }

    /// Lets `models`, with which the run ends, stay in the store's journal, if it has one.
    ///
    /// # Errors
    /// [`LearningError::Journal`] if they cannot be written; others if one cannot be computed.
    pub fn keep_final(&self, models: &[StateHandle]) -> Result<(), LearningError> {
        let Some(journal) = self.store.journal() else { return Ok(()) };
        for &model in models {
            if let Some(state) = self.state(model)? {
                journal.write_state(self.graph.borrow().nodes[model.0].identity, &state)?;
            }
        }
        Ok(())
    }
}

fn folders(root: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(root).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(LIVE)?.parse().ok()
}

fn of_a_checkpoint(error: LearningError) -> LearningError {
    match error {
        LearningError::Cache { path, cause } => LearningError::Journal { path, cause },
        other => other,
    }
}

fn failed(path: &Path, cause: &std::io::Error) -> LearningError {
    LearningError::Journal { path: path.display().to_string(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::identity::IdentityBuilder;

    fn identity(n: u64) -> Identity {
        IdentityBuilder::new("test").word(n).finish()
    }

    fn state(value: f32) -> Arc<State> {
        Arc::new(State { parameters: vec![value], moments: None, loss: None })
    }

    #[test]
    fn a_checkpoint_replaces_the_one_before_it_but_for_what_is_awaited() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::open(folder.path()).expect("a journal");
        let held: Vec<_> = (0..3).map(|n| (identity(n), state(n as f32))).collect();
        journal.checkpoint(5, &held, &[]).expect("written");
        drop(journal);

        let journal = Journal::open(folder.path()).expect("a journal");
        journal.checkpoint(0, &[], &[]).expect("nothing to do");
        assert_eq!(
            journal.read_state(identity(2)),
            Some((*state(2.0)).clone()),
            "a replay leaves the checkpoint alone"
        );
        journal.checkpoint(1, &[(identity(7), state(7.0))], &[identity(1), identity(8)]).expect("written");
        for journal in [journal, Journal::open(folder.path()).expect("a journal")] {
            let found = |n| journal.read_state(identity(n)).map(|s| s.parameters[0]);
            assert_eq!([0, 1, 2, 7, 8].map(found), [None, Some(1.0), None, Some(7.0), None]);
        }
    }

    #[test]
    fn two_checkpoints_that_a_kill_left_are_both_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for n in 0..2 {
            let path = folder.path().join(format!("live-{n}"));
            DiskCache::open(&path).and_then(|d| d.write_state(identity(n), &state(n as f32))).expect("written");
        }
        let journal = Journal::open(folder.path()).expect("a journal");
        assert!((0..2).all(|n| journal.read_state(identity(n)).is_some()));
        journal.checkpoint(1, &[(identity(3), state(3.0))], &[]).expect("written");
        assert_eq!(folders(folder.path()).filter_map(|f| number(&f)).collect::<Vec<_>>(), [2]);
    }
}
