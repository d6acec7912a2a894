//! The folder of a run that is not over: what the next one needs to go on from there if this one is killed.
//!
//! It is a hidden sibling of the run's folder and goes when that is complete.

use super::error::ResultsError;
use super::files;
use super::folder::RunFolder;
use crate::experiment::{Journal, ReplicationRecord};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;

const SETTINGS: &str = "settings.json";

/// How a run keeps itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settings {
    every_rounds: usize,
}

/// The checkpoints of one run.
#[derive(Clone, Debug)]
pub struct CheckpointFolder {
    path: PathBuf,
    every_rounds: usize,
}

impl CheckpointFolder {
    /// Where checkpoints of the run that will lie in `run` are.
    fn path_for(run: &RunFolder) -> PathBuf {
        let name = run.path().file_name().unwrap_or_default().to_string_lossy();
        run.path().with_file_name(format!(".{name}.checkpoint"))
    }

    /// An empty folder for a run from its beginning.
    ///
    /// # Errors
    /// [`ResultsError::Write`].
    pub fn begin(run: &RunFolder, every_rounds: usize) -> Result<Self, ResultsError> {
        let path = Self::path_for(run);
        files::remove_folder(&path)?;
        Self { path, every_rounds }.noted()
    }

    /// What an earlier run left, if it left anything; `every_rounds` in place of its own where given.
    ///
    /// # Errors
    /// [`ResultsError::Write`].
    pub fn resume(run: &RunFolder, every_rounds: Option<usize>) -> Result<Option<Self>, ResultsError> {
        let path = Self::path_for(run);
        let settings = fs::read(path.join(SETTINGS)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let Some(Settings { every_rounds: before }) = settings else { return Ok(None) };
        Self::clear_away(run)?;
        Self { path, every_rounds: every_rounds.unwrap_or(before) }.noted().map(Some)
    }

    /// Removes what a run left that was killed while it wrote its result.
    fn clear_away(run: &RunFolder) -> Result<(), ResultsError> {
        let name = run.path().file_name().unwrap_or_default().to_string_lossy();
        let unfinished = ["partial", "old"].map(|purpose| format!(".{name}.{purpose}-"));
        for entry in run.path().parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten() {
            if unfinished.iter().any(|start| entry.file_name().to_string_lossy().starts_with(start)) {
                files::remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }

    fn noted(self) -> Result<Self, ResultsError> {
        files::write_json(&self.path.join(SETTINGS), &Settings { every_rounds: self.every_rounds })?;
        Ok(self)
    }

    /// Where the learning plane keeps what it needs.
    pub fn learning_path(&self) -> PathBuf {
        self.path.join("learning")
    }

    /// Removes everything: the run is over.
    ///
    /// # Errors
    /// [`ResultsError::Write`].
    pub fn remove(self) -> Result<(), ResultsError> {
        files::remove_folder(&self.path)
    }

    fn record_path(&self, replication: u64) -> PathBuf {
        self.path.join(format!("replication-{replication}.json"))
    }
}

impl Journal for CheckpointFolder {
    fn every_rounds(&self) -> usize {
        self.every_rounds
    }

    /// A file that is missing or was cut counts as none.
    fn finished(&self, replication: u64) -> Option<ReplicationRecord> {
        let record: ReplicationRecord = serde_json::from_slice(&fs::read(self.record_path(replication)).ok()?).ok()?;
        (record.replication == replication).then_some(record)
    }

    fn finish(&self, record: &ReplicationRecord) -> io::Result<()> {
        let write = |out: &mut dyn io::Write| Ok(serde_json::to_writer(out, record)?);
        files::write_whole(&self.record_path(record.replication), write).map_err(io::Error::other)
    }
}
