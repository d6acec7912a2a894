//! What is wrong with a scenario, said so that its author can mend it.

use super::key_path::KeyPath;
use super::positions::{Mark, Spot};
use std::fmt;

/// Everything found wrong with one scenario; its `Display` is the message for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioError {
    /// The file as the user named it.
    pub file: String,
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    pub place: Place,
    /// Dotted key such as `technique.split_point`; empty where the whole file is meant.
    pub path: String,
    pub complaint: Complaint,
    pub help: Option<String>,
    /// The line of the file that `place` points into.
    source_line: Option<String>,
}

/// Where a problem was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// Both counted from 1; a column counts characters.
    At { line: usize, column: usize },
    /// Not in the file but in an override, written `key=value`.
    Override(String),
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Complaint {
    /// The text never got as far as being read.
    #[error("{0}")]
    Unreadable(String),
    #[error("not valid YAML: {0}")]
    Syntax(String),
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    #[error("key `{key}` is written twice, first in line {first_line}")]
    DuplicateKey { key: String, first_line: usize },
    #[error("this key is missing")]
    Missing,
    #[error("found {found}, allowed {allowed}")]
    Value { found: String, allowed: String },
    /// A value that is fine alone but not beside another one.
    #[error("{0}")]
    Conflict(String),
}

/// Which half of `key: value` a message points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Key,
    Value,
}

/// A problem before its line is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Issue {
    pub path: KeyPath,
    pub side: Side,
    /// Set where the position cannot be looked up from `path`.
    pub mark: Option<Mark>,
    pub complaint: Box<Complaint>,
    pub help: Option<String>,
}

impl Issue {
    pub fn new(path: KeyPath, complaint: Complaint) -> Self {
        let side = match complaint {
            Complaint::UnknownKey(_) | Complaint::DuplicateKey { .. } => Side::Key,
            _ => Side::Value,
        };
        Self { path, side, mark: None, complaint: Box::new(complaint), help: None }
    }

    pub fn value(path: KeyPath, found: impl fmt::Display, allowed: impl fmt::Display) -> Self {
        Self::new(path, Complaint::Value { found: found.to_string(), allowed: allowed.to_string() })
    }

    pub fn conflict(path: KeyPath, message: impl Into<String>) -> Self {
        Self::new(path, Complaint::Conflict(message.into()))
    }

    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    pub fn at(mut self, mark: Mark) -> Self {
        self.mark = Some(mark);
        self
    }
}

/// An override as the user wrote it, for messages.
pub(crate) struct AppliedOverride {
    pub path: KeyPath,
    pub shown: String,
}

/// Turns issues into an error by finding their lines.
pub(crate) struct Locator<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub spots: Option<&'a Spot>,
    pub overrides: &'a [AppliedOverride],
}

impl Locator<'_> {
    pub fn error(&self, issues: Vec<Issue>) -> ScenarioError {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut problems: Vec<Problem> = issues.into_iter().map(|issue| self.problem(issue, &lines)).collect();
        problems.sort_by_key(|p| match p.place {
            Place::File => (0, 0),
            Place::At { line, column } => (line, column),
            Place::Override(_) => (usize::MAX, 0),
        });
        ScenarioError { file: self.file.to_owned(), problems }
    }

    fn problem(&self, issue: Issue, lines: &[&str]) -> Problem {
        let place = match issue.mark {
            Some(Mark { line, column }) => Place::At { line, column },
            None => self.place(&issue),
        };
        let source_line = match place {
            Place::At { line, .. } => lines.get(line - 1).map(|line| (*line).to_owned()),
            _ => None,
        };
        Problem { place, path: issue.path.to_string(), complaint: *issue.complaint, help: issue.help, source_line }
    }

    /// The override that wrote the place; else the place in the file; else what it would lie in.
    fn place(&self, issue: &Issue) -> Place {
        let Some(spots) = self.spots else { return Place::File };
        let overriding = |test: &dyn Fn(&KeyPath) -> bool| {
            self.overrides.iter().rev().find(|o| test(&o.path)).map(|o| Place::Override(o.shown.clone()))
        };
        if let Some(place) = overriding(&|path| issue.path.starts_with(path)) {
            return place;
        }
        for (distance, path) in issue.path.with_ancestors().enumerate() {
            if let Some(spot) = spots.find(&path) {
                let mark = match (distance, issue.side, spot.key) {
                    // A missing or unwritten key is looked for where its section is named.
                    (0, Side::Key, Some(key)) | (1.., _, Some(key)) => key,
                    _ => spot.value,
                };
                return Place::At { line: mark.line, column: mark.column };
            }
            if let Some(place) = overriding(&|overridden| overridden.starts_with(&path)) {
                return place;
            }
        }
        Place::File
    }
}

/// More would scroll the first one off the screen.
const PROBLEMS_SHOWN: usize = 20;

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().take(PROBLEMS_SHOWN).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            problem.render(&self.file, f)?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more problems"),
        }
    }
}

impl std::error::Error for ScenarioError {}

impl Problem {
    fn render(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File => write!(f, "{file}: ")?,
            Place::At { line, column } => write!(f, "{file}:{line}:{column}: ")?,
            Place::Override(shown) => write!(f, "{file} with override {shown}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.complaint)?;
        if let (Place::At { line, column }, Some(source)) = (&self.place, &self.source_line) {
            let (shown, caret) = excerpt(source, *column);
            let margin = line.to_string().len();
            write!(f, "\n  {line} | {shown}\n  {:margin$} | {:caret$}^", "", "")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// A line fit for a terminal (no control characters, at most 100 of its characters around `column`) and how many
/// characters stand before the caret.
fn excerpt(source: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let start = if source.chars().count() <= WIDTH { 0 } else { (column - 1).saturating_sub(WIDTH / 2) };
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = source.chars().skip(start).take(WIDTH).map(printable).collect();
    (shown, column - 1 - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let (shown, caret) = excerpt(&line, 301);
        assert_eq!(shown.chars().count(), 100);
        assert_eq!(shown.chars().nth(caret), Some('X'));
        assert_eq!(excerpt("\tkey: 1", 2), (" key: 1".to_owned(), 1));
    }
}
