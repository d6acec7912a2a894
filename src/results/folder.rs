//! A run's folder `<root>/<scenario>/<id>`: found by what was run, written all at once, read back without loss.
//!
//! The id is a hash of the resolved scenario and the program's version, so the same scenario always lands in the
//! same place. A folder is filled under a hidden name and renamed when complete: whatever has a visible name is whole.

use super::error::ResultsError;
use super::manifest::{FORMAT_VERSION, Manifest};
use super::{csv_tables, files, plots, summary::Summary};
use crate::adapter::AdapterFile;
use crate::experiment::Record;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub const MANIFEST: &str = "manifest.json";
pub const SUMMARY: &str = "summary.json";
pub const SCENARIO: &str = "scenario.resolved.yaml";
pub const TRACE: &str = "trace.json";
pub const REPORT: &str = "report.html";
pub const PLOTS: &str = "plots";
pub const ADAPTERS: &str = "adapters";
/// What an adapter's file name ends with.
const ADAPTER_ENDING: &str = "safetensors";

/// What a run was, beside its record.
#[derive(Clone, Copy, Debug)]
pub struct RunDescription<'a> {
    pub scenario_name: &'a str,
    /// The scenario with every default filled in, as YAML that can be run again.
    pub resolved_yaml: &'a str,
    /// The program's version: another version may give other numbers, so it is part of the id.
    pub version: &'a str,
    pub seed: u64,
    /// Wall-clock time the run took.
    pub wall_seconds: f64,
    pub threads: usize,
    /// Which kernels did the arithmetic: `cpu`, `cuda`, or `none` without training.
    pub backend: &'a str,
    /// The trained parameters that the first replication ended with, by name: `global`, or one a device.
    pub adapters: &'a [(String, AdapterFile)],
}

/// Writes the timeline trace to the file that it is given.
pub type TraceWriter<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// A complete result on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunFolder {
    path: PathBuf,
}

/// The id of a run: 12 hexadecimal digits of SHA-256 over the two texts, each preceded by its length.
pub fn identity(resolved_yaml: &str, version: &str) -> String {
    let mut hash = Sha256::new();
    for part in [version, resolved_yaml] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a run: tables, summary, plots, report, scenario, manifest, adapters, and the trace if there is one.
///
/// A result that is already there is replaced: it can only differ in its manifest.
///
/// # Errors
/// [`ResultsError`] naming the file that could not be written; nothing visible has changed then.
pub fn write_run(
    root: &Path,
    run: &RunDescription<'_>,
    record: &Record,
    trace: Option<TraceWriter<'_>>,
) -> Result<RunFolder, ResultsError> {
    let folder = RunFolder::locate(root, run);
    let partial = files::hidden_sibling(&folder.path, "partial");
    files::remove_folder(&partial)?;
    fs::create_dir_all(&partial).map_err(ResultsError::write(&partial))?;
    let filled = fill(&partial, run, record, trace).and_then(|()| files::replace_folder(&partial, &folder.path));
    if filled.is_err() {
        // The first error is the one to report; what is left behind is hidden and never read.
        let _ = fs::remove_dir_all(&partial);
    }
    filled.map(|()| folder)
}

fn fill(
    folder: &Path,
    run: &RunDescription<'_>,
    record: &Record,
    trace: Option<TraceWriter<'_>>,
) -> Result<(), ResultsError> {
    csv_tables::write(folder, record)?;
    let summary = Summary::of(record);
    files::write_json(&folder.join(SUMMARY), &summary)?;
    files::write_whole(&folder.join(SCENARIO), |out| out.write_all(run.resolved_yaml.as_bytes()))?;
    if let Some(trace) = trace {
        files::write_whole(&folder.join(TRACE), trace)?;
    }
    for (name, adapter) in run.adapters {
        files::write_whole(&adapter_path(folder, name), |out| out.write_all(&adapter.to_bytes()))?;
    }
    let drawn = plots::draw_all(record, &folder.join(PLOTS))?;
    super::html::write_report(&folder.join(REPORT), run, &summary, &drawn)?;
    files::write_json(&folder.join(MANIFEST), &Manifest::of(run, record))
}

fn adapter_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(ADAPTERS).join(format!("{}.{ADAPTER_ENDING}", files::folder_name(name)))
}

impl RunFolder {
    /// Where the run's result lies or will lie.
    pub fn locate(root: &Path, run: &RunDescription<'_>) -> Self {
        Self::named(root, run.scenario_name, run.resolved_yaml, run.version)
    }

    /// [`RunFolder::locate`] of a run that is yet to be described.
    pub fn named(root: &Path, scenario_name: &str, resolved_yaml: &str, version: &str) -> Self {
        Self { path: root.join(files::folder_name(scenario_name)).join(identity(resolved_yaml, version)) }
    }

    /// Whether a complete result is there.
    pub fn exists(&self) -> bool {
        self.path.join(MANIFEST).is_file()
    }

    /// The finished run at `path`.
    ///
    /// # Errors
    /// [`ResultsError::Read`] where `path` holds no manifest.
    pub fn open(path: &Path) -> Result<Self, ResultsError> {
        let manifest = path.join(MANIFEST);
        fs::metadata(&manifest).map_err(ResultsError::read(&manifest))?;
        Ok(Self { path: path.to_owned() })
    }

    /// All finished runs under `root`, sorted by scenario and id; none where `root` does not exist.
    ///
    /// # Errors
    /// [`ResultsError::Read`] where a folder cannot be listed.
    pub fn list(root: &Path) -> Result<Vec<Self>, ResultsError> {
        let mut runs = Vec::new();
        for scenario in files::visible_folders(root)? {
            runs.extend(files::visible_folders(&scenario)?.into_iter().map(|path| Self { path }));
        }
        runs.retain(Self::exists);
        Ok(runs)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the adapter called `name`; of the only one, if none is named.
    ///
    /// # Errors
    /// [`ResultsError::Adapter`] if there is none, or several and none is named; says which there are.
    pub fn adapter(&self, name: Option<&str>) -> Result<PathBuf, ResultsError> {
        let folder = self.path.join(ADAPTERS);
        let mut found = files::visible_files(&folder, ADAPTER_ENDING)?;
        let wanted = name.map(|name| adapter_path(&self.path, name));
        match wanted {
            Some(path) if found.contains(&path) => return Ok(path),
            None if found.len() == 1 => return Ok(found.remove(0)),
            _ => {}
        }
        let names = found.iter().filter_map(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
        let names = names.collect::<Vec<_>>().join(", ");
        let detail = match name {
            _ if names.is_empty() => "the run trained nothing, or no round was played".to_owned(),
            Some(name) => format!("none is called `{name}`; there are {names}"),
            None => format!("there are several; name one of {names}"),
        };
        Err(ResultsError::Adapter { path: folder, detail })
    }

    /// The folder of the run's plots; [`plots::draw_all`] says which there are.
    pub fn plots_path(&self) -> PathBuf {
        self.path.join(PLOTS)
    }

    /// # Errors
    /// [`ResultsError::Manifest`] or [`ResultsError::Format`] where another version wrote it.
    pub fn manifest(&self) -> Result<Manifest, ResultsError> {
        let path = self.path.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(ResultsError::read(&path))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|source| ResultsError::Manifest { path: path.clone(), source })?;
        match manifest.format_version {
            FORMAT_VERSION => Ok(manifest),
            found => Err(ResultsError::Format { path, found, expected: FORMAT_VERSION }),
        }
    }

    /// The record, equal to the one that was written.
    ///
    /// # Errors
    /// [`ResultsError`] where a file is missing, of another version, or of another run.
    pub fn load(&self) -> Result<Record, ResultsError> {
        let manifest = self.manifest()?;
        let mut record = csv_tables::read(&self.path)?;
        let listed: Vec<_> = manifest.replications.iter().map(|r| (r.replication, r.digest)).collect();
        let read: Vec<_> = record.replications.iter().map(|r| (r.replication, r.digest)).collect();
        if listed != read {
            let detail = format!("{MANIFEST} and {} disagree on the replications' digests", csv_tables::REPLICATIONS);
            return Err(ResultsError::Inconsistent { path: self.path.clone(), detail });
        }
        for (replication, entry) in record.replications.iter_mut().zip(manifest.replications) {
            replication.learning = entry.learning;
        }
        Ok(record)
    }

    /// The resolved scenario, as YAML.
    ///
    /// # Errors
    /// [`ResultsError::Read`] where the file is missing.
    pub fn scenario_yaml(&self) -> Result<String, ResultsError> {
        let path = self.path.join(SCENARIO);
        fs::read_to_string(&path).map_err(ResultsError::read(&path))
    }

    /// Draws the plots anew from the stored tables and returns the files written.
    ///
    /// # Errors
    /// As [`load`](Self::load), and [`ResultsError::Plot`].
    pub fn redraw(&self) -> Result<Vec<PathBuf>, ResultsError> {
        plots::draw_all(&self.load()?, &self.plots_path())
    }
}
