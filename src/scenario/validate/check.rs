//! Checks of single values. Each notes what is wrong and returns something usable, so that one reading finds all.

use crate::scenario::error::{Complaint, Issue, Side};
use crate::scenario::key_path::KeyPath;
use crate::scenario::suggest;
use std::fmt;
use std::ops::RangeInclusive;

/// The problems found so far.
#[derive(Default)]
pub(super) struct Check {
    pub issues: Vec<Issue>,
}

/// Allowed values of a number. `NaN` is never allowed, nor is infinity: every range ends.
#[derive(Clone, Copy)]
pub(super) struct Range {
    low: f64,
    low_allowed: bool,
    high: f64,
}

pub(super) const fn from_to(low: f64, high: f64) -> Range {
    Range { low, low_allowed: true, high }
}

/// Values above `low`, up to and including `high`.
pub(super) const fn above_to(low: f64, high: f64) -> Range {
    Range { low, low_allowed: false, high }
}

impl Range {
    fn contains(&self, x: f64) -> bool {
        x <= self.high && if self.low_allowed { x >= self.low } else { x > self.low }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.low_allowed {
            true => write!(f, "{} to {}", self.low, self.high),
            false => write!(f, "more than {}, at most {}", self.low, self.high),
        }
    }
}

impl Check {
    /// The number written at `at`.`key`, or `default`.
    pub fn number(&mut self, at: &KeyPath, key: &str, written: Option<f64>, default: f64, range: Range) -> f64 {
        match written {
            Some(x) if !range.contains(x) => {
                self.issues.push(Issue::value(at.key(key), x, range));
                default
            }
            Some(x) => x,
            None => default,
        }
    }

    /// The count written at `at`.`key`, or `default`.
    pub fn count(
        &mut self,
        at: &KeyPath,
        key: &str,
        written: Option<u64>,
        default: usize,
        allowed: RangeInclusive<usize>,
    ) -> usize {
        self.count_because(at, key, written, default, allowed, "")
    }

    /// Like [`Check::count`]; `reason` says where the limit comes from.
    pub fn count_because(
        &mut self,
        at: &KeyPath,
        key: &str,
        written: Option<u64>,
        default: usize,
        allowed: RangeInclusive<usize>,
        reason: &str,
    ) -> usize {
        let Some(n) = written else { return default };
        match usize::try_from(n) {
            Ok(n) if allowed.contains(&n) => n,
            _ => {
                let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                let allowed = format!("{}..={}{reason}", allowed.start(), allowed.end());
                self.issues.push(Issue::value(at.key(key), n, allowed));
                default
            }
        }
    }

    /// What is written at `at`.`key`; notes its absence with an example of the line to add.
    pub fn required<T>(&mut self, at: &KeyPath, key: &str, written: Option<T>, example: &str) -> Option<T> {
        if written.is_none() {
            let section = if at.is_root() { "at the top level".to_owned() } else { format!("under `{at}`") };
            let issue = Issue::new(at.key(key), Complaint::Missing);
            self.issues.push(issue.help(format!("add {section}, for example: {example}")));
        }
        written
    }

    /// Whether `word` is one of `known`; `list` tells where a user sees them all.
    pub fn known<S: AsRef<str>>(&mut self, path: KeyPath, word: &str, known: &[S], list: &str) -> bool {
        let is_known = known.iter().any(|name| name.as_ref() == word);
        if !is_known {
            self.unknown(path, word, known, list);
        }
        is_known
    }

    /// Notes that `word` is none of `known`.
    pub fn unknown<S: AsRef<str>>(&mut self, path: KeyPath, word: &str, known: &[S], list: &str) {
        const SHOWN: usize = 8;
        // Whoever has so many mistakes or so many names is not helped by the nearest one, which takes long to find.
        const GUESSED: usize = 100;
        let compared = if self.issues.len() < GUESSED { known.len().min(10_000) } else { 0 };
        let mut names: Vec<&str> = known.iter().take(SHOWN).map(AsRef::as_ref).collect();
        if known.len() > SHOWN {
            names.push("...");
        }
        let help = suggest::for_word(word, known[..compared].iter().map(AsRef::as_ref))
            .map_or(list.to_owned(), |suggestion| format!("{suggestion} {list}"));
        let issue = Issue::value(path, quoted(word), if names.is_empty() { "none".into() } else { names.join(", ") });
        self.issues.push(issue.help(help));
    }

    /// Whether `name` can stand in file names and tables: 1 to 64 letters, digits, `.`, `-` and `_`, a letter or
    /// digit first.
    pub fn name(&mut self, path: KeyPath, name: &str) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let fine = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 64;
        if !fine || !name.chars().all(allowed) {
            let issue = Issue::value(path, quoted(name), "1 to 64 letters, digits, `.`, `-` and `_`");
            self.issues
                .push(issue.help("names become parts of files and tables; start with a letter or digit".to_owned()));
        }
    }

    /// Notes a key that the chosen kind has no use for.
    pub fn unused(&mut self, at: &KeyPath, keys: &[(&str, bool)], kind: &str, keys_of_kind: &str) {
        for (key, _) in keys.iter().filter(|(_, written)| *written) {
            let issue = Issue::conflict(at.key(key), format!("`{kind}` has no such key"));
            self.issues.push(Issue { side: Side::Key, ..issue.help(format!("its keys: {keys_of_kind}")) });
        }
    }

    pub fn conflict(&mut self, path: KeyPath, message: impl Into<String>, help: &str) {
        self.issues.push(Issue::conflict(path, message).help(help.to_owned()));
    }
}

/// A word as messages show it, cut where it is absurdly long.
pub(super) fn quoted(word: &str) -> String {
    match word.char_indices().nth(60) {
        Some((cut, _)) => format!("\"{}...\"", &word[..cut]),
        None => format!("\"{word}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_range_lets_the_unmeasurable_through() {
        for range in [from_to(0.0, 1.0), above_to(-1.0, 1e300)] {
            for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(!range.contains(x), "{x} in {range}");
            }
        }
        assert!(from_to(0.0, 1.0).contains(0.0) && !above_to(0.0, 1.0).contains(0.0));
    }
}
