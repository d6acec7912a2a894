//! Files that are whole or absent: written under a hidden name, then renamed.

use super::error::ResultsError;
use serde::Serialize;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// `dir/.name.<purpose>-<process>` for `dir/name`: on the same file system, never listed, not shared by two processes.
pub(super) fn hidden_sibling(path: &Path, purpose: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{purpose}-{}", std::process::id()));
    path.with_file_name(name)
}

/// Creates or replaces the file at `path`, and folders on the way to it, by what `write` produces; on an error the old
/// file stays.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ResultsError> {
    let partial = hidden_sibling(path, "partial");
    let attempt = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let mut out = BufWriter::new(File::create(&partial)?);
        write(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().map_err(|source| {
        let _ = fs::remove_file(&partial);
        ResultsError::Write { path: path.to_owned(), source }
    })
}

/// Writes `value` as indented JSON with a final newline.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ResultsError> {
    write_whole(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// Moves the complete folder `new` to `target`, which is removed first if it is there.
///
/// If another process has put the same result there in the meantime, that one stays.
pub(super) fn replace_folder(new: &Path, target: &Path) -> Result<(), ResultsError> {
    let old = hidden_sibling(target, "old");
    remove_folder(&old)?;
    match fs::rename(target, &old) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(ResultsError::write(target)(e)),
        _ => (),
    }
    match fs::rename(new, target) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => remove_folder(new)?,
        Err(e) => {
            let _ = fs::rename(&old, target);
            return Err(ResultsError::write(target)(e));
        }
        Ok(()) => (),
    }
    remove_folder(&old)
}

/// Removes a folder and what is in it; does nothing where there is none.
pub(super) fn remove_folder(path: &Path) -> Result<(), ResultsError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ResultsError::write(path)(e)),
        _ => Ok(()),
    }
}

/// The sub-folders of `root` whose name does not start with a dot, sorted; none where `root` does not exist.
pub(super) fn visible_folders(root: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    visible(root, |path| path.is_dir())
}

/// The files of `root` whose name ends with `.ending` and does not start with a dot, sorted; none where `root` does not
/// exist.
pub(super) fn visible_files(root: &Path, ending: &str) -> Result<Vec<PathBuf>, ResultsError> {
    visible(root, |path| path.is_file() && path.extension().is_some_and(|e| e == ending))
}

fn visible(root: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, ResultsError> {
    let entries = match fs::read_dir(root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(ResultsError::read(root))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ResultsError::read(root))?;
        if wanted(&entry.path()) && !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// A scenario's name as the name of a folder: letters, digits, `-`, `_` and inner dots stay, the rest becomes `_`.
pub(super) fn folder_name(scenario: &str) -> String {
    let keep = |(i, c): (usize, char)| c.is_alphanumeric() || matches!(c, '-' | '_') || (c == '.' && i > 0);
    let name: String = scenario.chars().enumerate().map(|(i, c)| if keep((i, c)) { c } else { '_' }).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}
