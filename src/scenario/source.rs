//! A scenario's text and the way from it to a [`Scenario`].

use super::error::{AppliedOverride, Complaint, Issue, Locator, Place, ScenarioError};
use super::key_path::{KeyPath, Step};
use super::names::Tables;
use super::positions::{self, Mark};
use super::schema::Scenario;
use super::{overrides, raw, validate};
use serde_yaml::Value;
use std::path::{Path, PathBuf};

/// A larger file is not a scenario. One of 100,000 cells with a server each is 33 MB when its defaults are written out.
const MOST_BYTES: u64 = 1 << 26;

/// The text of a scenario and where it came from.
#[derive(Clone, Debug)]
pub struct ScenarioSource {
    /// The file as the user named it; messages begin with it.
    pub path: PathBuf,
    pub text: String,
    tables: Tables,
}

impl ScenarioSource {
    /// Reads the file at `path`; a scenario's own relative paths will start at its folder.
    ///
    /// # Errors
    /// It must be a file of at most 64 MiB in UTF-8.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ScenarioError> {
        let path = path.as_ref();
        let fail = |message: String, help: &str| {
            let issue = Issue::new(KeyPath::default(), Complaint::Unreadable(message)).help(help.to_owned());
            let file = path.display().to_string();
            Locator { file: &file, text: "", spots: None, overrides: &[] }.error(vec![issue])
        };
        let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => fail("there is no such file".into(), "check the path"),
            _ => fail(format!("cannot be read: {e}"), "check the path and its permissions"),
        })?;
        if meta.is_dir() {
            return Err(fail("this is a folder, not a scenario file".into(), "name a .yaml file inside it"));
        }
        if meta.len() > MOST_BYTES {
            let message = format!("the file has {} bytes, allowed are at most {MOST_BYTES}", meta.len());
            return Err(fail(message, "a scenario is a few kilobytes of text; is this the right file?"));
        }
        let bytes = std::fs::read(path)
            .map_err(|e| fail(format!("cannot be read: {e}"), "check the path and its permissions"))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text, tables: Tables::default() }),
            Err(e) => {
                let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
                let line = 1 + valid.iter().filter(|b| **b == b'\n').count();
                let message = format!("the file is not text in UTF-8: line {line} holds other bytes");
                Err(fail(message, "save it in UTF-8"))
            }
        }
    }

    /// A scenario that is in no file; messages call it `name`, and relative paths start at the working folder.
    pub fn from_text(name: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: name.into(), text: text.into(), tables: Tables::default() }
    }

    /// The scenario as its file describes it.
    ///
    /// # Errors
    /// Everything found wrong with it.
    pub fn resolve(&self) -> Result<Scenario, ScenarioError> {
        self.resolve_with(&[])
    }

    /// The scenario with some keys set to other values, in order: dotted key (`technique.split_point`,
    /// `devices[0].count`) and value. Sections that the file leaves out come into being as needed.
    ///
    /// # Errors
    /// Everything found wrong with it; what lies at an override names that.
    pub fn resolve_with(&self, overrides: &[(String, serde_json::Value)]) -> Result<Scenario, ScenarioError> {
        self.resolved(overrides, true)
    }

    /// Like [`Self::resolve_with`], for one trial of a search: the search section is left out and not checked again.
    ///
    /// # Errors
    /// As for [`Self::resolve_with`].
    pub fn resolve_trial(&self, overrides: &[(String, serde_json::Value)]) -> Result<Scenario, ScenarioError> {
        self.resolved(overrides, false)
    }

    fn resolved(&self, set: &[(String, serde_json::Value)], with_search: bool) -> Result<Scenario, ScenarioError> {
        let file = self.path.display().to_string();
        let mut locator = Locator { file: &file, text: &self.text, spots: None, overrides: &[] };
        if self.text.len() as u64 > MOST_BYTES {
            let message = format!("the text has {} bytes, allowed are at most {MOST_BYTES}", self.text.len());
            return Err(locator.error(vec![Issue::new(KeyPath::default(), Complaint::Unreadable(message))]));
        }
        let spots = positions::index(&self.text).map_err(|issues| locator.error(issues))?;
        let Some(spots) = spots else {
            let empty = Issue::new(KeyPath::default(), Complaint::Unreadable("the file is empty".into()));
            let help =
                "a scenario needs at least name, model, technique and devices; start from a copy of quickstart.yaml";
            return Err(locator.error(vec![empty.help(help.to_owned())]));
        };
        locator.spots = Some(&spots);
        let mut value: Value = serde_yaml::from_str(&self.text).map_err(|e| {
            let mark =
                e.location().map_or(Mark { line: 1, column: 1 }, |l| Mark { line: l.line(), column: l.column() });
            locator.error(vec![positions::syntax(mark, &e.to_string())])
        })?;

        let mut applied = Vec::with_capacity(set.len());
        for (key, new) in set {
            let shown = format!("{key}={new}");
            let outcome = overrides::parse_key(key).and_then(|path| {
                applied.push(AppliedOverride { path: path.clone(), shown: shown.clone() });
                self.apply(&mut value, &path, new)
            });
            if let Err(issue) = outcome {
                return Err(refused(&file, shown, issue));
            }
        }
        locator.overrides = &applied;
        self.interpret(value, with_search).map_err(|issues| locator.error(issues))
    }

    /// From values to a scenario.
    fn interpret(&self, mut value: Value, with_search: bool) -> Result<Scenario, Vec<Issue>> {
        let raw: raw::Scenario = raw::read(&value)?;
        let search = raw.search.clone().filter(|_| with_search);
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let around = validate::Surroundings { folder, tables: &self.tables };
        let mut scenario = validate::scenario(raw, &around)?;
        let Some(search) = search else { return Ok(scenario) };

        if let Value::Mapping(map) = &mut value {
            map.remove("search");
        }
        let attempt = |settings: &[(String, serde_json::Value)]| {
            let mut value = value.clone();
            for (key, new) in settings {
                let path = overrides::parse_key(key).map_err(|issue| vec![issue])?;
                self.apply(&mut value, &path, new).map_err(|issue| vec![issue])?;
            }
            self.interpret(value, false).map(drop)
        };
        scenario.search = Some(validate::search(search, attempt)?);
        Ok(scenario)
    }

    /// Sets one key. A list that the file leaves to its default is written out first, so that `cells[0]` exists.
    fn apply(&self, value: &mut Value, path: &KeyPath, new: &serde_json::Value) -> Result<(), Issue> {
        if let Some(list) = overrides::missing_list(value, path) {
            let defaults = self.interpret(value.clone(), false).ok().and_then(|s| serde_yaml::to_value(s).ok());
            let default = defaults.and_then(|defaults| at(&defaults, &list).cloned());
            if let Some(default) = default.filter(Value::is_sequence) {
                overrides::set(value, &list, default)?;
            }
        }
        let new = serde_yaml::to_value(new)
            .map_err(|e| Issue::conflict(path.clone(), format!("this value cannot be written in YAML: {e}")))?;
        overrides::set(value, path, new)
    }
}

/// Reads an override as a command line spells it: `technique.rounds=20`, the value in YAML.
///
/// # Errors
/// There must be a `=`, a key that names a place before it and valid YAML after it.
pub fn parse_override(text: &str) -> Result<(String, serde_json::Value), ScenarioError> {
    let refuse = |message: String| {
        let issue = Issue::new(KeyPath::default(), Complaint::Unreadable(message));
        let issue =
            issue.help("write key=value, for example technique.rounds=20 or peft.targets=[query,key]".to_owned());
        refused("command line", text.to_owned(), issue)
    };
    let (key, value) = text.split_once('=').ok_or_else(|| refuse("an override needs a `=`".to_owned()))?;
    overrides::parse_key(key.trim()).map_err(|issue| refused("command line", text.to_owned(), issue))?;
    // The index refuses what would cost the reader time.
    if let Err(issues) = positions::index(value) {
        let reasons: Vec<String> = issues.iter().map(|issue| issue.complaint.to_string()).collect();
        return Err(refuse(reasons.join("; ")));
    }
    let value = serde_yaml::from_str::<serde_json::Value>(value).map_err(|e| refuse(format!("the value: {e}")))?;
    Ok((key.trim().to_owned(), value))
}

/// An error about an override that could not even be applied.
fn refused(file: &str, shown: String, issue: Issue) -> ScenarioError {
    let overrides = [AppliedOverride { path: KeyPath::default(), shown }];
    let mut error = Locator { file, text: "", spots: None, overrides: &overrides }.error(vec![issue]);
    let [AppliedOverride { shown, .. }] = overrides;
    for problem in &mut error.problems {
        problem.place = Place::Override(shown.clone());
    }
    error
}

fn at<'a>(value: &'a Value, path: &KeyPath) -> Option<&'a Value> {
    path.steps().iter().try_fold(value, |value, step| match step {
        Step::Key(name) => value.get(name.as_str()),
        Step::Index(index) => value.get(*index),
    })
}
